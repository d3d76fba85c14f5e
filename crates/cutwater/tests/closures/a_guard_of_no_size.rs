// refused: this function cannot travel to another machine
// refused: hand values over with `.with(values)`

/// Takes no room and stands for something that must be given back once.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {
    let ctx = cutwater::Context::local(1);
    let guard = Guard;
    let rdd = ctx.parallelize([1, 2]).map(move |n| { // here
        let _held = &guard;
        n + 1
    });
    drop(rdd);
}
