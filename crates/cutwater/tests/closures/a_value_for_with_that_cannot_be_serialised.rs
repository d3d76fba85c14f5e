// refused: `Instant` cannot be a record of a stream or dataset

fn main() {
    let ctx = cutwater::Context::local(1);
    let rdd = ctx.parallelize([1, 2]).with(std::time::Instant::now()).map(|_, n| n); // here
    drop(rdd);
}
