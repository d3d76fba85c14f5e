// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let one = 1;
    let rdd = ctx.parallelize(["a".to_owned()]).pairs(move |line, emit| emit(line, one)); // here
    drop(rdd);
}
