// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let more = 1;
    let sum = ctx.parallelize([1, 2]).fold(0, move |a, b| a + b + more); // here
    drop(sum);
}
