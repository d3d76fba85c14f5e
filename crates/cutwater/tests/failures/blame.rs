//! An error names the operation, the line of the program where it is called and the name it was given,
//! and what the function said and where.

use std::{
    fmt,
    panic::Location,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use cutwater::{Context, DStream, Error, ErrorKind, Record, testing::Harness};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{SECOND, harness};

/// That the error blames `operation` and the line of this file where it is called, which is one of the
/// next few after the caller's.
#[track_caller]
fn assert_blames(text: &str, operation: &str) {
    let label = format!("`{operation}` at {}:", file!());
    let at = text.find(&label).unwrap_or_else(|| panic!("{label} is not in: {text}"));
    let digits: String = text[at + label.len()..].chars().take_while(char::is_ascii_digit).collect();
    let line: usize = digits.parse().unwrap();
    let there = include_str!("blame.rs").lines().nth(line - 1).unwrap();
    assert!(there.contains(&format!(".{operation}")), "line {line} is {there:?}: {text}");
    let near = Location::caller().line() as usize;
    assert!(line.abs_diff(near) < 20, "line {line} is not near {near}: {text}");
}

/// Runs two intervals of a program, of which the first fails with 13 in its input, on one thread and on
/// four; the error must blame `operation` and have all of `wanted` in it. The second interval must be
/// none the worse.
#[track_caller]
fn fails_with<T: Record>(
    operation: &str,
    wanted: &[&str],
    program: impl Fn(&DStream<i64>, &Harness) -> DStream<T>,
) -> String {
    let mut text = String::new();
    for threads in [1, 4] {
        let harness = harness(threads);
        let input = harness.input([vec![1, 13, 2, 13], vec![4]]);
        let _watched = harness.watch(&program(&input, &harness));
        let error = harness.advance(1).expect_err("13 is in it");
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        text = error.to_string();
        assert!(text.starts_with("interval 1970-01-01T00:00:01Z: "), "{text}");
        assert_blames(&text, operation);
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted:?} is not in: {text}");
        }
        harness.advance(1).unwrap_or_else(|error| panic!("the next interval fails too: {error}"));
    }
    text
}

fn unlucky(n: i64) -> i64 {
    assert!(n != 13, "{n} is unlucky");
    n
}

#[test]
fn operations_of_one_record() {
    let text = fails_with("map", &["panicked: 13 is unlucky, at "], |s, _| s.map(unlucky));
    assert!(text.contains(&format!(", at {}:", file!())), "the place of the panic: {text}");

    fails_with("filter", &["unlucky"], |s, _| s.filter(|n| unlucky(*n) > 0));
    fails_with("flat_map", &["unlucky"], |s, _| s.flat_map(|n| [unlucky(n)]));
    fails_with("flat_map", &["unlucky"], |s, _| s.flat_map(|n| (0..2).map(move |_| unlucky(n))));
    fails_with("map_partitions", &["unlucky"], |s, _| s.map_partitions(|all| all.into_iter().map(unlucky)));
    fails_with("pairs", &["unlucky"], |s, _| s.pairs(|n, emit| emit("n", unlucky(*n))));
    fails_with("pairs", &["unlucky"], |s, _| {
        s.pairs(|n, emit| emit("n", unlucky(*n))).reduce_by_key(|a, b| a + b)
    });
    fails_with("pairs", &["unlucky"], |s, _| {
        s.with(1).pairs(|one, n, emit| emit("n", unlucky(*n) + one)).running_reduce(|a, b| a + b)
    });
    fails_with("reduce_by_key", &["unlucky"], |s, _| {
        s.pairs(|n, emit| emit("n", *n)).reduce_by_key(|a, b| unlucky(a) + unlucky(b))
    });
    fails_with("filter", &["unlucky"], |s, _| {
        s.filter(|n| unlucky(*n) > 0).pairs(|n, emit| emit("n", *n)).reduce_by_key(|a, b| a + b)
    });
    fails_with("map", &["unlucky"], |s, _| s.with(1).map(|one, n| unlucky(n) + one));
    fails_with("map_values", &["unlucky"], |s, _| s.map(|n| (n, n)).map_values(unlucky));
}

/// In a chain that runs as one task, the one to blame is named and nobody else.
#[test]
fn the_one_in_the_middle() {
    let text = fails_with("filter", &[], |s, _| {
        s.map(|n| n).filter(|n| unlucky(*n) != 0).flat_map(Some).reduce(|a, b| a + b)
    });
    assert!(!text.contains("`map`") && !text.contains("`flat_map`") && !text.contains("`reduce`"), "{text}");
    // What is cached is computed by the operation that makes it, under its own name.
    let text = fails_with("map", &[], |s, _| s.map(unlucky).cache().named("kept"));
    assert!(!text.contains("kept"), "{text}");
}

#[test]
fn functions_of_keys_and_reductions() {
    let keyed = |s: &DStream<i64>| s.map(|n| (0u8, n));
    fails_with("reduce_by_key", &["unlucky"], |s, _| keyed(s).reduce_by_key(|a, b| unlucky(a) + unlucky(b)));
    fails_with("reduce", &["unlucky"], |s, _| s.reduce(|a, b| unlucky(a) + unlucky(b)));
    fails_with("running_reduce", &["unlucky"], |s, _| {
        keyed(s).running_reduce(|a, b| unlucky(a) + unlucky(b))
    });
    fails_with("reduce_by_key_and_window", &["unlucky"], |s, _| {
        keyed(s).reduce_by_key_and_window(|a, b| unlucky(a) + unlucky(b), 2 * SECOND, SECOND)
    });
    fails_with("reduce_by_key_and_window", &["unlucky"], |s, _| {
        keyed(s).reduce_by_key_and_window_inverse(
            |a, b| unlucky(a) + unlucky(b),
            |a, b| a - b,
            SECOND,
            SECOND,
        )
    });
    fails_with("reduce_by_key_and_window", &["unlucky"], |s, _| {
        keyed(s).reduce_by_key_and_window_filtered(i64::max, |a, _| a, |_, n| unlucky(*n) > 0, SECOND, SECOND)
    });
}

/// The inverse runs only when something leaves.
#[test]
fn the_inverse_is_blamed_when_it_runs() {
    let harness = harness(2);
    let input = harness.input([vec![('a', 1)], vec![('a', 1)], vec![('a', 1)]]);
    let sums = input.reduce_by_key_and_window_inverse(
        |a, b| a + b,
        |_, _| panic!("no way back"),
        2 * SECOND,
        SECOND,
    );
    let _watched = harness.watch(&sums);
    harness.advance(2).unwrap();
    let text = harness.advance(1).unwrap_err().to_string();
    assert_blames(&text, "reduce_by_key_and_window");
    assert!(text.contains("no way back"), "{text}");
}

#[test]
fn sort_keys_on_either_side() {
    fails_with("sort_by", &["unlucky"], |s, _| s.transform(|rdd, _| rdd.sort_by(|n| unlucky(*n))));
    fails_with("sort_by", &["unlucky"], |s, _| s.transform(|rdd, _| rdd.sort_by_into(1, |n| unlucky(*n))));
    fails_with("top", &["unlucky"], |s, _| s.transform(|rdd, _| rdd.top_by(1, |n| unlucky(*n)).map(|_| rdd)));
}

/// Names stand beside the operation and its line, on both sides of a shuffle and for all that an
/// operation consists of.
#[test]
fn names_are_told() {
    fails_with("map", &["`fate`, "], |s, _| s.map(unlucky).named("fate"));
    let keyed = |s: &DStream<i64>| s.map(|n| (0u8, n));
    fails_with("reduce_by_key", &["`fate`, "], |s, _| {
        keyed(s).reduce_by_key(|a, b| unlucky(a) + unlucky(b)).named("fate")
    });
    fails_with("reduce", &["`fate`, "], |s, _| s.reduce(|a, b| unlucky(a) + unlucky(b)).named("fate"));
    fails_with("running_reduce", &["`fate`, "], |s, _| {
        keyed(s).running_reduce(|a, b| unlucky(a) + unlucky(b)).named("fate")
    });
    fails_with("reduce_by_key_and_window", &["`fate`, "], |s, _| {
        keyed(s).reduce_by_key_and_window(|a, b| unlucky(a) + unlucky(b), 2 * SECOND, SECOND).named("fate")
    });
    fails_with("reduce_by_key_and_window", &["`fate`, "], |s, _| {
        keyed(s)
            .reduce_by_key_and_window_inverse(|a, b| unlucky(a) + unlucky(b), |a, b| a - b, SECOND, SECOND)
            .named("fate")
    });
    // A name is for one operation, even where several stand in a line.
    let text = fails_with("map", &[], |s, _| s.map(unlucky).map(|n| n).named("innocent"));
    assert!(!text.contains("innocent"), "{text}");
}

/// Functions that run on the master are no different.
#[test]
fn functions_on_the_master() {
    fails_with("transform", &["panicked: 13 is unlucky, at "], |s, _| {
        s.transform(|rdd, _| {
            unlucky(rdd.take(2)?[1..].first().copied().unwrap_or(0));
            Ok(rdd)
        })
    });
    fails_with("transform", &["I refuse"], |s, _| {
        s.transform(|rdd, t| if t.as_ms() == 1000 { Err(Error::user("I refuse")) } else { Ok(rdd) })
    });

    for threads in [1, 4] {
        let harness = harness(threads);
        let input = harness.input([vec![1], vec![2], vec![3]]);
        input.for_each_rdd(|rdd, t| match t.as_ms() {
            1000 => panic!("at {t} with {:?}", rdd.collect()),
            2000 => Err(Error::user("not today")),
            _ => Ok(()),
        });
        let text = harness.advance(1).unwrap_err().to_string();
        assert_blames(&text, "for_each_rdd");
        assert!(text.contains("panicked: at 1970-01-01T00:00:01Z with Ok([1]), at "), "{text}");
        let text = harness.advance(1).unwrap_err().to_string();
        assert_blames(&text, "for_each_rdd");
        assert!(text.ends_with("not today"), "{text}");
        harness.advance(1).unwrap();
    }
}

/// Actions answer with an error wherever the function happens to run.
#[test]
fn actions() {
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        for partitions in [1, 4] {
            let rdd = ctx.parallelize_into(partitions, [1, 13, 2, 13]);
            let errors = [
                ("reduce", rdd.reduce(|a, b| unlucky(a) + unlucky(b)).unwrap_err()),
                ("fold", rdd.fold(0, |a, b| unlucky(a) + unlucky(b)).unwrap_err()),
                ("aggregate", rdd.aggregate(0, |a, _| a, |_, _| panic!("13 is unlucky")).unwrap_err()),
                ("foreach", rdd.foreach(|n| assert!(unlucky(n) > 0)).unwrap_err()),
                ("top", rdd.top_by(2, |n| unlucky(*n)).unwrap_err()),
                ("sort_by", rdd.sort_by(|n| unlucky(*n)).and_then(|rdd| rdd.collect()).unwrap_err()),
            ];
            for (operation, error) in errors {
                assert_eq!(error.kind(), ErrorKind::User, "{error}");
                assert_blames(&error.to_string(), operation);
                assert!(error.to_string().contains("13 is unlucky"), "{error}");
            }
            assert_eq!(rdd.count().unwrap(), 4, "the engine still works");
        }
    }
}

/// A key whose traits panic when they meet 13.
#[derive(Clone, Debug, Deserialize)]
struct Grudge(i64);

static SERIALISES: AtomicBool = AtomicBool::new(true);

impl Serialize for Grudge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 13 || SERIALISES.load(Relaxed), "13 is not written down");
        serializer.serialize_i64(self.0)
    }
}

impl PartialEq for Grudge {
    fn eq(&self, other: &Self) -> bool {
        assert!(self.0 != 13, "13 is like no other");
        self.0 == other.0
    }
}

impl Eq for Grudge {}

#[test]
fn traits_of_keys() {
    let keyed = |s: &DStream<i64>| s.map(|n| (Grudge(n), n));
    for (serialises, wanted) in [(true, "13 is like no other"), (false, "13 is not written down")] {
        SERIALISES.store(serialises, Relaxed);
        fails_with("reduce_by_key", &[wanted], |s, _| keyed(s).reduce_by_key(|a, _| a));
        fails_with("group_by_key", &[wanted], |s, _| keyed(s).group_by_key());
        fails_with("running_reduce", &[wanted], |s, _| keyed(s).running_reduce(|a, _| a));
        fails_with("join", &[wanted], |s, _| keyed(s).join(&keyed(s)));
        fails_with("cogroup", &[wanted], |s, _| keyed(s).cogroup(&keyed(s)));
        fails_with("reduce_by_key_and_window", &[wanted], |s, _| {
            keyed(s).reduce_by_key_and_window_inverse(|a, _| a, |a, _| a, SECOND, SECOND)
        });
    }
}

/// A record that cannot be copied.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unique(i64);

impl Clone for Unique {
    fn clone(&self) -> Self {
        Self(unlucky(self.0))
    }
}

#[test]
fn copies_of_records() {
    let unique = |s: &DStream<i64>| s.map(|n| (n, Unique(n)));
    fails_with("group_by_key", &["unlucky"], |s, _| unique(s).group_by_key());
    fails_with("repartition", &["unlucky"], |s, _| unique(s).repartition(3));
    fails_with("running_reduce", &["unlucky"], |s, _| unique(s).running_reduce(|a, _| a));
}

/// A value for `with` that does not survive the journey.
#[derive(Clone)]
struct Fragile(&'static str);

impl Serialize for Fragile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == "stays" {
            return Err(serde::ser::Error::custom("it will not leave"));
        }
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "arrives" => Ok(Self("arrives")),
            "panics" => panic!("it panics on arrival"),
            other => Err(serde::de::Error::custom(format_args!("{other} is broken"))),
        }
    }
}

impl fmt::Display for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[test]
fn values_that_do_not_survive_the_journey() {
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        let rdd = ctx.parallelize([1, 2, 3]);
        let labelled = |value| rdd.with(Fragile(value)).map(|value, n| format!("{value} {n}")).collect();
        assert_eq!(labelled("arrives").unwrap(), ["arrives 1", "arrives 2", "arrives 3"]);
        for (value, wanted) in [
            ("arrived", "did not survive the journey"),
            ("panics", "panicked: it panics on arrival"),
            ("stays", "cannot be serialised"),
        ] {
            let error = labelled(value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::User, "{error}");
            let text = error.to_string();
            assert_blames(&text, "map");
            assert!(text.contains(wanted), "{text}");
        }
        assert_eq!(rdd.count().unwrap(), 3);
    }
}
