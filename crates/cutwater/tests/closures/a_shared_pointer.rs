// refused: this function cannot travel to another machine
// refused: hand values over with `.with(values)`

fn main() {
    let ctx = cutwater::Context::local(1);
    let names = std::sync::Arc::new(vec!["low", "high"]);
    let rdd = ctx.parallelize([0, 1]).map(move |n: usize| names[n].len()); // here
    drop(rdd);
}
