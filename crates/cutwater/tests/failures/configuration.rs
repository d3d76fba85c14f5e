//! Faults of a program are listed when it is to start, all of them.

use std::time::Duration;

use cutwater::{Context, ErrorKind, testing::Harness};

use crate::{SECOND, harness};

fn refused(ctx: &Context) -> String {
    let error = ctx.run_for(1).expect_err("the program is wrong");
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn a_program_needs_an_output_and_a_source() {
    let ctx = Context::local(1);
    let text = refused(&ctx);
    assert!(
        text.contains("for 2 reasons") && text.contains("no output") && text.contains("no source"),
        "{text}"
    );

    let ctx = Context::local(1);
    let (_sender, numbers) = ctx.channel::<i32>("numbers");
    let _unused = numbers.map(|n| n + 1);
    let text = refused(&ctx);
    assert!(text.contains("no output") && !text.contains("reasons"), "{text}");
}

#[test]
fn every_bad_setting_is_listed() {
    let args =
        ["program", "--threads", "many", "--speed", "-1", "--interval-ms", "0", "--wrong", "--intervals"];
    let ctx = Context::builder("wrong")
        .interval(Duration::from_micros(1500))
        .threads(0)
        .speed(f64::NAN)
        .interval_records_max(0)
        .interval_bytes_max(0)
        .args(args.map(str::to_owned))
        .build()
        .unwrap();
    let text = refused(&ctx);
    for wanted in [
        "1.5ms is not",
        "threads(0)",
        "speed of NaN",
        "interval_records_max(0)",
        "interval_bytes_max(0)",
        "--threads many",
        "speed of -1",
        "interval of 0ns",
        "--wrong",
        "--intervals needs a value",
        "no output",
        "no source",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
    assert!(text.contains("for 12 reasons"), "{text}");
}

/// A switch takes no value: `--batch=false` must not turn it on.
#[test]
fn switches_take_no_value() {
    for arg in ["--batch=false", "--continue=no"] {
        let ctx = Context::builder("switch").args(["program", arg].map(str::to_owned)).build().unwrap();
        let text = refused(&ctx);
        assert!(text.contains(arg), "{text}");
    }
}

#[test]
fn settings_and_streams_are_listed_together() {
    let harness = Harness::with(Context::builder("both").interval(SECOND).threads(0), 1);
    let at = line!() + 1;
    harness.input([vec![1]]).window(SECOND / 3, SECOND).print();
    let text = harness.advance(1).unwrap_err().to_string();
    assert!(text.contains("for 2 reasons") && text.contains("threads(0)"), "{text}");
    assert!(text.contains(&format!("`window` at {}:{at}: ", file!())), "{text}");
}

#[test]
fn a_program_runs_once() {
    let ctx = Context::builder("once").interval(Duration::from_millis(1)).threads(1).build().unwrap();
    let (sender, numbers) = ctx.channel::<i32>("numbers");
    numbers.for_each_rdd(|_, _| ());
    drop(sender);
    ctx.run().unwrap();
    assert!(refused(&ctx).contains("has run already"));
    // Datasets of it are none the worse.
    assert_eq!(ctx.parallelize(0..10).count().unwrap(), 10);
}

#[test]
fn nothing_is_declared_after_the_start() {
    let harness = harness(1);
    let input = harness.input([vec![1], vec![2], vec![3]]);
    input.print();
    harness.advance(1).unwrap();
    let at = line!() + 1;
    input.map(|n| n + 1).print();
    let error = harness.advance(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for operation in ["map", "for_each_rdd"] {
        let wanted = format!("`{operation}` at {}:{at} was declared after the program started", file!());
        assert!(text.contains(&wanted), "{wanted:?} is not in {text}");
    }
}

#[test]
fn nothing_is_declared_from_within() {
    let ctx = Context::builder("late").interval(Duration::from_millis(1)).threads(1).build().unwrap();
    let (_sender, numbers) = ctx.channel::<i32>("numbers");
    let late = numbers.clone();
    numbers.for_each_rdd(move |_, _| drop(late.map(|n| n + 1)));
    let error = ctx.run_for(5).unwrap_err();
    assert!(error.to_string().contains("was declared after the program started"), "{error}");
}

#[test]
#[should_panic(expected = "datasets of different contexts cannot be brought together")]
fn datasets_of_two_contexts_are_kept_apart() {
    let (one, other) = (Context::local(1), Context::local(1));
    let _ = one.parallelize([1]).union(&other.parallelize([2]));
}
