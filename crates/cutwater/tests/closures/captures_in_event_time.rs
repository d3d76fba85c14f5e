// refused: this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter

use cutwater::{Time, testing::Harness};

fn main() {
    let harness = Harness::new(std::time::Duration::from_secs(1));
    let offset_ms = 3;
    let events = harness.input([vec![1]]).event_time(move |ms| Time::from_ms(*ms + offset_ms)); // here
    drop(events);
}
