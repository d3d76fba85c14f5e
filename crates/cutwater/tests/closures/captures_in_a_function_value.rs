// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let f: fn(i32) -> i32 = i32::abs; // a pointer, which is an address in this process
    let rdd = ctx.parallelize([1, 2]).map(f); // here
    drop(rdd);
}
