//! `queue_and_files`: queues of datasets.

use std::collections::BTreeSet;

use cutwater::{Context, Record, source::DatasetQueue, testing::Harness};
use serde_json::Value;

use super::{case, ms, rows};

/// Runs the script of a case with records read by `record`, and answers with what was not empty.
fn script<T: Record>(case: &Value, record: fn(&Value) -> T) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
    let harness =
        Harness::with(Context::builder("test").interval(ms(&case["batch_interval_ms"])).threads(2), 2);
    let one_at_a_time = case["one_at_a_time"].as_bool().unwrap();
    let (queue, stream): (DatasetQueue<T>, _) = harness.ctx().source("queue").queue(one_at_a_time);
    let watched = harness.watch(&stream);
    let records = |list: &Value| list.as_array().unwrap().iter().map(record).collect::<Vec<T>>();
    for datasets in rows(case, "enqueue_before_batch") {
        for dataset in datasets.as_array().unwrap() {
            queue.push(harness.ctx().parallelize(records(dataset))).unwrap();
        }
        harness.advance(1).unwrap();
    }
    // An empty queue gives an empty dataset, and never none.
    let seen: Vec<_> = watched.all().into_iter().map(Option::unwrap).collect();
    let expected = rows(case, "expected_nonempty").iter().map(records).collect();
    (seen.into_iter().filter(|records| !records.is_empty()).collect(), expected)
}

#[test]
fn queues_give_what_the_table_says() {
    let mut tested = BTreeSet::new();
    for number in 1..=4 {
        let case = case("queue_and_files", number);
        let is_text = case["enqueue_before_batch"][0][0][0].is_string();
        if is_text {
            let (seen, expected) = script(&case, |value| value.as_str().unwrap().to_owned());
            assert_eq!(seen, expected, "{}", case["id"]);
        } else {
            let (seen, expected) = script(&case, |value| value.as_i64().unwrap());
            assert_eq!(seen, expected, "{}", case["id"]);
        }
        tested.insert(case["one_at_a_time"].as_bool().unwrap());
    }
    assert_eq!(tested.len(), 2, "both ways");
}

/// `queue_and_files/005`. That a queue cannot be recovered belongs to recovery.
#[test]
fn an_empty_queue_gives_the_default_or_an_empty_dataset() {
    assert!(rows(&case("queue_and_files", 5), "rules")[0].as_str().unwrap().contains("EMPTY dataset"));
    let harness = Harness::new(std::time::Duration::from_secs(1));
    let ctx = harness.ctx();
    let (queue, plain) = ctx.source("plain").queue::<i32>(true);
    let (other, with_default) = ctx.source("default").queue_or(false, ctx.parallelize([1, 2]));
    let (plain, with_default) = (harness.watch(&plain), harness.watch(&with_default));
    queue.push(ctx.parallelize([7])).unwrap();
    other.push(ctx.parallelize([8])).unwrap();
    other.push(ctx.parallelize([9])).unwrap();
    harness.advance(2).unwrap();
    assert_eq!(plain.all(), [Some(vec![7]), Some(vec![])]);
    assert_eq!(with_default.all(), [Some(vec![8, 9]), Some(vec![1, 2])]);
}

#[test]
fn a_queue_refuses_what_it_cannot_hold() {
    let (ctx, other) = (Context::local(1), Context::local(1));
    let (queue, stream) = ctx.source("queue").queue::<i32>(true);
    let error = queue.push(other.parallelize([1])).unwrap_err();
    assert!(error.to_string().contains("another context"), "{error}");
    let one = ctx.parallelize([1]);
    let pushed = (0..1_000_000).take_while(|_| queue.push(one.clone()).is_ok()).count();
    assert_eq!(pushed, cutwater_core::limits::QUEUE_DATASETS_MAX);
    drop(stream);
}
