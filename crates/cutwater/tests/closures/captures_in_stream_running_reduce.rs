// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

use std::time::Duration;

fn main() {
    let harness = cutwater::testing::Harness::new(Duration::from_secs(1));
    let cap = 3;
    let stream = harness.input([vec![(1, 2)]]).running_reduce(move |a, b| cap.min(a + b)); // here
    drop(stream);
}
