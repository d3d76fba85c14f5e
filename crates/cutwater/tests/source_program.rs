//! Records from the program itself: channels and generators.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{thread, time::Duration};

use cutwater::{Context, Error, ErrorKind, OnFailure, source::TrySendError, testing::Harness};
use support::{Watch, program};

#[test]
fn what_was_sent_before_the_start_is_processed_and_the_program_ends_with_its_senders() {
    let ctx = program();
    let (sender, numbers) = ctx.channel::<u32>("numbers");
    let seen = Watch::of(&numbers);
    let other = sender.clone();
    sender.send(1).unwrap();
    other.send(2).unwrap();
    drop(sender);
    let running = support::run(&ctx);
    seen.wait_for(2);
    other.send(3).unwrap();
    drop(other);
    running.wait().unwrap();
    assert_eq!(seen.all(), [1, 2, 3]);
}

/// `queue_and_files/011`.
#[test]
fn ten_threads_into_one_channel_lose_nothing() {
    let ctx = program();
    let (sender, numbers) = ctx.source("numbers").interval_records_max(500).channel::<(u32, u32)>();
    let (seen, reports) = (Watch::of(&numbers), support::reports(&ctx));
    let threads: Vec<_> = (0..10)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || (0..1_000).for_each(|n| sender.send((thread, n)).unwrap()))
        })
        .collect();
    drop(sender);
    support::run(&ctx).wait().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let all = seen.all();
    assert_eq!(all.len(), 10_000);
    for thread in 0..10 {
        let of: Vec<_> = all.iter().filter(|(by, _)| *by == thread).map(|(_, n)| *n).collect();
        assert_eq!(of, (0..1_000).collect::<Vec<_>>(), "those of a sender stay in order");
    }
    assert!(reports.taken().iter().all(|taken| taken.records <= 500));
}

#[test]
fn a_full_channel_says_so_and_a_program_that_is_over_takes_nothing() {
    let ctx = program();
    let (sender, numbers) = ctx.source("numbers").interval_records_max(2).channel::<u32>();
    let seen = Watch::of(&numbers);
    sender.send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    ctx.run_for(1).unwrap();
    assert_eq!(seen.all(), [1, 2]);
    assert_eq!(sender.try_send(3), Err(TrySendError::Stopped(3)));
    assert_eq!(sender.send(3).unwrap_err().kind(), ErrorKind::Stopped);
}

#[test]
fn intervals_of_a_channel_are_what_was_sent_between_them() {
    let harness = Harness::new(Duration::from_secs(1));
    let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
    let watched = harness.watch(&numbers);
    sender.send(1).unwrap();
    harness.advance(2).unwrap();
    sender.send(2).unwrap();
    sender.send(3).unwrap();
    harness.advance(1).unwrap();
    assert_eq!(watched.all(), [Some(vec![1]), Some(vec![]), Some(vec![2, 3])]);
}

/// `queue_and_files/012`.
#[test]
fn a_graceful_stop_processes_all_that_was_sent() {
    for _ in 0..4 {
        let ctx =
            Context::builder("test").interval(Duration::from_millis(100)).threads(2).handle_signals(false);
        let ctx = ctx.build().unwrap();
        let (sender, numbers) = ctx.channel::<u32>("numbers");
        let seen = Watch::of(&numbers);
        let running = support::run(&ctx);
        let producer = thread::spawn(move || (0..).take_while(|n| sender.send(*n).is_ok()).count());
        seen.wait_for(10);
        running.stop().unwrap();
        assert_eq!(seen.all().len(), producer.join().unwrap());
    }
}

#[test]
fn a_generator_gives_each_record_once_and_ends_with_the_last() {
    let ctx = program();
    let squares = ctx.source("squares").interval_records_max(40).rate_for(100, 2_000, |n| n * n);
    let (seen, reports) = (Watch::of(&squares), support::reports(&ctx));
    support::run(&ctx).wait().unwrap();
    assert_eq!(seen.all(), (0..100).map(|n| n * n).collect::<Vec<u64>>());
    assert!(reports.taken().iter().all(|taken| taken.records <= 40));
}

#[test]
fn a_generator_without_end_is_stopped_with_the_program() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("ticks").rate(1_000, |n| n));
    let running = support::run(&ctx);
    seen.wait_for(30);
    running.stop().unwrap();
    let all = seen.all();
    assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_generator_without_a_rate_is_a_fault() {
    let ctx = program();
    ctx.source("none").rate(0, |n| n).print();
    let error = ctx.run().unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("none: a rate of 0"), "{error}");
}

#[test]
fn a_generator_that_panics_fails_its_interval_and_has_ended() {
    let ctx = Context::builder("test").interval(Duration::from_millis(20)).threads(1).handle_signals(false);
    let ctx = ctx.on_failure(OnFailure::Continue).build().unwrap();
    ctx.source("broken").rate(1_000, |n| if n < 5 { n } else { panic!("no more than five") }).for_each_rdd(
        |rdd, _| {
            rdd.count()?;
            Ok::<(), Error>(())
        },
    );
    let (sender, failures) = std::sync::mpsc::channel();
    ctx.on_interval(move |report| {
        report.failure.iter().for_each(|error| sender.send(error.clone()).unwrap())
    });
    support::run(&ctx).wait().unwrap();
    drop(ctx);
    let failures: Vec<_> = failures.try_iter().collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].kind(), ErrorKind::User);
    assert!(
        failures[0].to_string().contains("broken: the receiver panicked: no more than five"),
        "{:?}",
        failures[0]
    );
}
