// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let times = vec![1, 2];
    let rdd = ctx.parallelize([1, 2]).flat_map({
        let times: &'static [i32] = times.leak();
        move |n| times.iter().map(move |t| n * t) // by a reference
    }); // here
    drop(rdd);
}
