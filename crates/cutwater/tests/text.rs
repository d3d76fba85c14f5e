//! Text looked at where it lies: the same answers as with a string of its own for every line and word.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use cutwater::{Context, DStream, Error, ErrorKind, ErrorPolicy, Rdd, testing::Harness};
use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);

type Counts = BTreeMap<String, u64>;

/// Words of which some come again and again, some are empty, and some are of any characters.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]{0,2}", 1 => "[^\n]{0,12}", 1 => Just("cutwater".to_owned())]
}

fn line() -> impl Strategy<Value = String> {
    vec(word(), 0..8).prop_map(|words| words.join(" "))
}

/// A text with line ends of both kinds, of which the last may be missing.
fn text() -> impl Strategy<Value = String> {
    (vec((line(), any::<bool>()), 0..150), any::<bool>()).prop_map(|(lines, ends)| {
        let end = |dos| if dos { "\r\n" } else { "\n" };
        let mut text: String = lines.iter().flat_map(|(line, dos)| [line.as_str(), end(*dos)]).collect();
        if !ends {
            text.pop();
        }
        text
    })
}

fn counted<'a>(lines: impl IntoIterator<Item = &'a str>) -> Counts {
    let mut counts = Counts::new();
    for word in lines.into_iter().flat_map(|line| line.split(' ')) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

fn words(lines: &DStream<String>) -> DStream<(String, u64)> {
    lines.pairs(|line, emit| line.split(' ').for_each(|word| emit(word, 1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A file however it is cut into ranges, looked at, kept, and taken home.
    #[test]
    fn lines_of_files(text in text(), threads in 1..=4usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::write(&path, &text).unwrap();
        let ctx = Context::local(threads);
        let lines = ctx.text_files([&path]).unwrap();
        let expected: Vec<&str> = text.lines().collect();
        prop_assert_eq!(lines.count().unwrap(), expected.len() as u64);

        let some: Vec<&str> = expected.iter().copied().filter(|line| line.contains('a')).collect();
        let both: Vec<&str> = some.iter().copied().filter(|line| line.contains('b')).collect();
        for lines in [lines.clone(), lines.cache()] {
            let found = lines.filter(|line| line.contains('a'));
            prop_assert_eq!(&found.collect().unwrap(), &some);
            prop_assert_eq!(found.count().unwrap(), some.len() as u64);
            prop_assert_eq!(&found.take(3).unwrap(), &some[..some.len().min(3)]);
            prop_assert_eq!(&found.filter(|line| line.contains('b')).collect().unwrap(), &both);

            let words = lines.pairs(|line, emit| line.split(' ').for_each(|word| emit(word, word.len())));
            let owned: Vec<_> =
                expected.iter().flat_map(|line| line.split(' ')).map(|word| (word.to_owned(), word.len())).collect();
            prop_assert_eq!(words.collect().unwrap(), owned);
            for words in [words.clone(), words.cache()] {
                let counts = words.map_values(|_| 1).reduce_by_key(|a, b| a + b).collect_as_map().unwrap();
                prop_assert_eq!(counts, counted(expected.iter().copied()));
                let lengths = words.reduce_by_key(usize::max).collect_as_map().unwrap();
                prop_assert!(lengths.iter().all(|(word, length)| word.len() == *length));
                prop_assert_eq!(lengths.len(), counted(expected.iter().copied()).len());
            }
        }
        let joined = word_counts(&lines.union(&lines.map(|line| line)));
        prop_assert_eq!(joined, counted(expected.iter().chain(&expected).copied()));
    }

    /// Streams of lines, from blocks and made by a function, over all of the past and over windows.
    #[test]
    fn lines_of_intervals(
        input in vec(vec(line(), 0..90), 1..7),
        (threads, partitions) in (1..=3usize, 1..=3u32),
        window in 1..=3usize,
    ) {
        let builder = Context::builder("text").interval(SECOND).threads(threads);
        let harness = Harness::with(builder, partitions);
        let lines = harness.input(input.clone());
        let (span, intervals) = (window as u32 * SECOND, input.len());
        let each = harness.watch(&words(&lines).reduce_by_key(|a, b| a + b));
        let made = harness.watch(&words(&lines.map(|line| line)).reduce_by_key(|a, b| a + b));
        let running = harness.watch(&words(&lines.filter(|line| !line.is_empty())).running_reduce(|a, b| a + b));
        let merged = harness.watch(&words(&lines).reduce_by_key_and_window(|a, b| a + b, span, SECOND));
        let slid = harness.watch(&words(&lines).reduce_by_key_and_window_filtered(
            |a, b| a + b, |a, b| a - b, |_, n| *n > 0, span, SECOND,
        ));
        let kept = harness.watch(&words(&lines.window(span, SECOND)).reduce_by_key(|a, b| a + b));
        harness.advance(intervals as u64).unwrap();

        let of = |intervals: &[Vec<String>]| counted(intervals.iter().flatten().map(String::as_str));
        let map = |records: &Option<Vec<(String, u64)>>| -> Counts { records.iter().flatten().cloned().collect() };
        for t in 0..intervals {
            prop_assert_eq!(map(&each.all()[t]), of(&input[t..=t]));
            prop_assert_eq!(&made.all()[t], &each.all()[t]);
            let past: Vec<String> = input[..=t].concat().into_iter().filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(map(&running.all()[t]), of(&[past]));
            let in_window = of(&input[(t + 1).saturating_sub(window)..=t]);
            for windows in [&merged, &slid, &kept] {
                prop_assert_eq!(map(&windows.all()[t]), in_window.clone());
            }
        }
    }
}

fn word_counts(lines: &Rdd<String>) -> Counts {
    let words = lines.pairs(|line, emit| line.split(' ').for_each(|word| emit(word, 1)));
    words.reduce_by_key(|a, b| a + b).collect_as_map().unwrap()
}

/// Keys may lie in a field of the record, and in the values handed over.
#[test]
fn keys_of_records() {
    let ctx = Context::local(2);
    let views = ctx.parallelize([("/a".to_owned(), 3u64), ("/b".to_owned(), 4), ("/a".to_owned(), 5)]);
    let bytes = views.pairs(|(url, bytes), emit| emit(url, *bytes)).reduce_by_key(|a, b| a + b);
    let expected = [("/a".to_owned(), 8), ("/b".to_owned(), 4)];
    assert_eq!(bytes.collect_as_map().unwrap(), BTreeMap::from(expected.clone()));
    let names = ["few".to_owned(), "many".to_owned()];
    let sizes = views.with(names).pairs(|names, (_, bytes), emit| emit(&names[usize::from(*bytes > 3)], 1));
    let sizes = sizes.fold_by_key(0, |a, b| a + b);
    let expected = [("few".to_owned(), 1), ("many".to_owned(), 2)];
    assert_eq!(sizes.collect_as_map().unwrap(), BTreeMap::from(expected));
    // Whatever is done with pairs goes on with pairs.
    let groups = views.pairs(|(url, bytes), emit| emit(url, *bytes)).group_by_key().collect_as_map().unwrap();
    assert_eq!(groups["/a"], [3, 5]);
}

/// A record that counts how often it is cloned.
#[derive(Serialize, Deserialize)]
struct Page(String);

static CLONES: AtomicU64 = AtomicU64::new(0);

impl Clone for Page {
    fn clone(&self) -> Self {
        CLONES.fetch_add(1, Relaxed);
        Self(self.0.clone())
    }
}

/// What is only looked at is not cloned, and of what is filtered only what passes.
#[test]
fn looking_clones_nothing() {
    let ctx = Context::local(2);
    let pages = ctx.parallelize((0..500).map(|n| Page(format!("/{}", n % 10))));
    let kept = pages.cache();
    assert_eq!(kept.count().unwrap(), 500);
    for pages in [&pages, &pages.union(&pages), &kept] {
        CLONES.store(0, Relaxed);
        let some = pages.filter(|page| page.0 != "/0").filter(|page| page.0.as_str() > "/8");
        let passing = some.count().unwrap();
        assert_eq!(
            passing,
            pages.pairs(|page, emit| emit(&page.0, 1)).filter(|(url, _)| url == "/9").count().unwrap()
        );
        let counts = some.pairs(|page, emit| emit(&page.0, 1)).reduce_by_key(|a, b| a + b).collect().unwrap();
        assert_eq!(counts, [("/9".to_owned(), passing)]);
        assert_eq!(CLONES.load(Relaxed), 0);
        assert_eq!(some.map(|page| page.0).count().unwrap(), passing);
        assert_eq!(CLONES.load(Relaxed), passing);
    }
}

/// One record may have more pairs than are looked up together, or none.
#[test]
fn many_pairs_of_a_record() {
    let ctx = Context::local(1);
    let lines: Vec<String> = (0..5).map(|n| format!("{} ", n % 2).repeat(n * 100)).collect();
    let words = ctx.parallelize(lines.clone());
    let words = words.pairs(|line, emit| line.split_whitespace().for_each(|word| emit(word, 1u64)));
    let counts = words.reduce_by_key(|a, b| a + b).collect_as_map().unwrap();
    assert_eq!(counts, BTreeMap::from([("0".to_owned(), 600), ("1".to_owned(), 400)]));
}

/// Lines longer than what is read at once, among short ones.
#[test]
fn long_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long");
    let lines: Vec<String> = (0..300)
        .map(|n| if n % 70 == 3 { "long ".repeat(60_000 + n) } else { format!("short {n}") })
        .collect();
    fs::write(&path, lines.join("\r\n")).unwrap();
    for threads in 1..=3 {
        let ctx = Context::local(threads);
        let read = ctx.text_files([&path]).unwrap();
        let long = read.filter(|line| line.starts_with("long"));
        assert_eq!(long.count().unwrap(), 5);
        let expected: Vec<_> = lines.iter().filter(|line| line.starts_with("long")).cloned().collect();
        assert!(long.collect().unwrap() == expected);
        let counts = word_counts(&read);
        assert_eq!(counts, counted(lines.iter().map(String::as_str)));
    }
}

/// What is not text goes to the policy, whoever looks at the rest.
#[test]
fn lines_that_are_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mixed");
    let mut bytes = Vec::new();
    for n in 0..200 {
        bytes.extend_from_slice(if n % 50 == 7 { b"b\xffd a\n" } else { b"good a\n" });
    }
    fs::write(&path, bytes).unwrap();
    let run = |policy| {
        let ctx = Context::builder("mixed").threads(2).batch(true).progress(false).build().unwrap();
        let lines = ctx.source("mixed").on_error(policy).text_files([&path], 400);
        let (seen, found) = (std::sync::Arc::<AtomicU64>::default(), std::sync::Arc::<AtomicU64>::default());
        let (total, malformed) = (seen.clone(), found.clone());
        words(&lines).filter(|(word, _)| word == "a").running_reduce(|a, b| a + b).for_each_rdd(
            move |rdd, _| {
                total.store(rdd.values().fold(0, |a, b| a + b)?, Relaxed);
                Ok::<(), Error>(())
            },
        );
        let counts = words(&lines).running_reduce(|a, b| a + b);
        counts.for_each_rdd(|rdd, _| {
            let words: BTreeSet<String> = rdd.keys().collect()?.into_iter().collect();
            assert!(words.iter().map(String::as_str).eq(["a", "good"]));
            Ok::<(), Error>(())
        });
        ctx.on_interval(move |report| {
            malformed.fetch_add(report.sources[0].taken.malformed.len() as u64, Relaxed);
        });
        (ctx.run(), seen.load(Relaxed), found.load(Relaxed))
    };
    let (ran, seen, malformed) = run(ErrorPolicy::Skip);
    ran.unwrap();
    assert_eq!((seen, malformed), (196, 4));
    let (ran, ..) = run(ErrorPolicy::Fail);
    let message = ran.unwrap_err().to_string();
    assert!(
        message.contains("mixed") && message.contains("not UTF-8") && message.contains("at byte"),
        "{message}"
    );

    // The lines before it are had by whoever needs no more.
    let ctx = Context::local(1);
    let lines = ctx.text_files([&path]).unwrap().filter(|line| line.ends_with('a'));
    assert_eq!(lines.take(7).unwrap(), ["good a"; 7]);
    assert_eq!(lines.take(8).unwrap_err().kind(), ErrorKind::User);
}

/// The debug switch sees keys that are lent, and names whoever emits others the second time.
#[test]
fn run_twice() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let ctx = Context::builder("twice").threads(2).run_twice(true).build().unwrap();
    let lines = ctx.parallelize(["to be", "or not", "to be"].map(String::from));
    let counts =
        lines.filter(|line| line.len() > 1).pairs(|line, emit| emit(line, 1)).reduce_by_key(|a, b| a + b);
    assert_eq!(counts.collect_as_map().unwrap()["to be"], 2);
    let differs = lines.pairs(|line, emit| emit(line, CALLS.fetch_add(1, Relaxed)));
    let message = differs.reduce_by_key(|a, b| a + b).collect().unwrap_err().to_string();
    assert!(message.contains("`pairs` at") && message.contains("not deterministic"), "{message}");
}
