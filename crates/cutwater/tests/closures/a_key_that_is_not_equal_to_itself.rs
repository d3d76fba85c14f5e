// refused: `{float}: Eq`

fn main() {
    let ctx = cutwater::Context::local(1);
    let rdd = ctx.parallelize([(1.5, 2)]).reduce_by_key(|a, b| a + b); // here
    drop(rdd);
}
