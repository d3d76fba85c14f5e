// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let (handed, captured) = (1, 2);
    let rdd = ctx.parallelize([1, 2]).with(handed).map(move |handed, n| n + handed + captured); // here
    drop(rdd);
}
