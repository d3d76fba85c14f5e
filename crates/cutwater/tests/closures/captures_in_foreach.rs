// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

fn main() {
    let ctx = cutwater::Context::local(1);
    let total = std::sync::atomic::AtomicI32::new(0);
    let total: &'static _ = Box::leak(Box::new(total));
    let done = ctx.parallelize([1, 2]).foreach(move |n| drop(total.fetch_add(n, std::sync::atomic::Ordering::Relaxed))); // here
    drop(done);
}
