// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let modulus = 3;
    let rdd = ctx.parallelize([1, 2]).key_by(move |n| n % modulus); // here
    drop(rdd);
}
