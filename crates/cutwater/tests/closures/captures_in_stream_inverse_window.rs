// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

use std::time::Duration;

fn main() {
    let harness = cutwater::testing::Harness::new(Duration::from_secs(1));
    let (second, more) = (Duration::from_secs(1), 0);
    let input = harness.input([vec![(1, 2)]]);
    let stream = input.reduce_by_key_and_window_inverse(|a, b| a + b, move |a, b| a - b - more, second, second); // here
    drop(stream);
}
