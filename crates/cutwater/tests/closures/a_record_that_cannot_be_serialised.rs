// refused: `Opaque` cannot be a record of a stream or dataset
// refused: derive `Clone`, `serde::Serialize` and `serde::Deserialize`

#[derive(Clone)]
struct Opaque;

fn main() {
    let ctx = cutwater::Context::local(1);
    let rdd = ctx.parallelize([1, 2]).map(|_| Opaque); // here
    drop(rdd);
}
