// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let sign = -1;
    let rdd = ctx.parallelize([1, 2]).sort_by(move |n| sign * n); // here
    drop(rdd);
}
