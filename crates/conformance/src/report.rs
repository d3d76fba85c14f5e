//! What came of the cases, line by line.

use std::fmt;

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything is as expected.
    Passed,
    /// Something differs.
    Failed(Vec<Difference>),
    /// The case cannot be expressed, for this reason.
    Skipped(String),
}

/// An answer that is not the one expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The time of the interval, for streams.
    pub interval: Option<i64>,
    /// What the table says.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl Verdict {
    /// A case in which one answer differs.
    pub fn differs(interval: Option<i64>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Failed(vec![Difference { interval, expected: expected.into(), got: got.into() }])
    }
}

/// How many cases passed, failed and were skipped. Its text is the last line of a run.
///
/// ```
/// use cutwater_conformance::{Report, Verdict};
///
/// let mut report = Report::default();
/// assert!(report.add("a", &Verdict::Passed).is_empty());
/// let lines = report.add("b", &Verdict::differs(Some(2000), "1", "2"));
/// assert_eq!(lines, ["b at 2000 ms: expected 1, got 2"]);
/// assert_eq!(report.add("c", &Verdict::Skipped("no such thing".into())), ["skipped c: no such thing"]);
/// assert_eq!(report.to_string(), "1 passed, 1 failed, 1 skipped");
/// assert!(!report.is_clean());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases in which everything is as expected.
    pub passed: usize,
    /// Cases in which something differs.
    pub failed: usize,
    /// Cases that cannot be expressed.
    pub skipped: usize,
}

/// The longest piece of an answer that is printed: enough to see what it is, short enough to read.
const ANSWER_CHARS_MAX: usize = 400;

impl Report {
    /// Counts a case, and answers with the lines to print about it.
    pub fn add(&mut self, id: &str, verdict: &Verdict) -> Vec<String> {
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                Vec::new()
            }
            Verdict::Failed(differences) => {
                self.failed += 1;
                differences.iter().map(|difference| format!("{id}{difference}")).collect()
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                vec![format!("skipped {id}: {why}")]
            }
        }
    }

    /// Whether nothing failed and nothing was skipped.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.skipped == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(interval) = self.interval {
            write!(f, " at {interval} ms")?;
        }
        write!(f, ": expected {}, got {}", shortened(&self.expected), shortened(&self.got))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ANSWER_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
