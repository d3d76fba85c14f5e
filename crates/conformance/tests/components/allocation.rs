//! `block_tracker`: what is received is in exactly one interval. Cases 2 to 4 and 6 are about the log of a
//! program that is started again, and for the tests of recovery.

use std::time::Duration;

use cutwater::testing::Harness;

use super::{case, int, rows, text};

fn strings(value: &serde_json::Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|name| text(name).to_owned()).collect()
}

/// An interval is cut once, by the driver, in order: to allocate an older one again is not possible, and so
/// changes nothing, as the table wants it.
#[test]
fn blocks_are_allocated_to_one_interval() {
    let harness = Harness::new(Duration::from_secs(1));
    let (sender, blocks) = harness.ctx().channel::<String>("blocks");
    let watched = harness.watch(&blocks);
    let mut sent = Vec::new();
    let allocated = || watched.all().into_iter().map(Option::unwrap).collect::<Vec<_>>();
    let case = case("block_tracker", 1);
    for step in rows(&case, "script") {
        match text(&step[0]) {
            "add" => {
                for block in strings(&step[1]) {
                    sent.push(block.clone());
                    sender.send(block).unwrap();
                }
            }
            "allocate" if int(&step[1]) as usize > allocated().len() => harness.advance(1).unwrap(),
            "allocate" => {}
            "batch" => assert_eq!(allocated()[int(&step[1]) as usize - 1], strings(&step[2]), "{step}"),
            "unallocated" => assert_eq!(sent[allocated().concat().len()..], strings(&step[1]), "{step}"),
            "has_unallocated" => {
                assert_eq!(sent.len() > allocated().concat().len(), step[1].as_bool().unwrap(), "{step}");
            }
            unknown => panic!("{unknown} is not tested"),
        }
    }
    // And what is left is in the next one.
    harness.advance(1).unwrap();
    assert_eq!(allocated().concat(), sent);
}

#[test]
fn an_interval_may_have_very_many() {
    let count = int(&case("block_tracker", 5)["blocks"]);
    let harness = Harness::new(Duration::from_secs(1));
    let (sender, blocks) = harness.ctx().channel::<i64>("blocks");
    (0..count).for_each(|block| sender.send(block).unwrap());
    let all = harness.run(&blocks, 2).unwrap();
    assert_eq!(all, [(0..count).collect::<Vec<_>>(), Vec::new()]);
}
