// refused: cannot be a record of a stream or dataset
// refused: the trait `Send` is not implemented

fn main() {
    let ctx = cutwater::Context::local(1);
    let rdd = ctx.parallelize([1, 2]).map(|n| std::rc::Rc::new(n)); // here
    drop(rdd);
}
