//! Runs the tables of expected answers, `tables/*.json`, through the public API of cutwater.
//!
//! A table holds cases: some input, one operation, and what must come of it. Every case that has an
//! `operation` is run; those without, and scripts, are rules for a single component and are tested there. A case
//! that cannot be expressed is *skipped* with the reason, and never passed over in silence.
//!
//! ```
//! use cutwater_conformance::{Options, Table, Verdict, run};
//!
//! let table = Table::parse(
//!     r#"{"cases": [{"id": "sum", "data": [1, 2, 3], "partitions": 2, "unordered": false,
//!                    "operation": {"op": "reduce", "fn": "add"}, "expected": 6}]}"#,
//! )?;
//! let verdict = run(&table.cases[0], &Options::default());
//! assert!(matches!(verdict, Some(Verdict::Passed)));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Layout
//! - [`case`]: a table and its cases, as they are written;
//! - [`value`]: a record of any of the types that tables use;
//! - [`functions`]: the functions that tables name;
//! - [`dataset`]: cases of one dataset and one operation;
//! - [`stream`]: cases of streams over intervals;
//! - [`report`]: what came of them, line by line.

pub mod case;
pub mod dataset;
pub mod functions;
pub mod report;
pub mod stream;
pub mod value;

use std::panic::{self, AssertUnwindSafe};

use cutwater::{Builder, Context};
use serde::{Deserialize, Serialize};

pub use case::{Case, Table};
pub use report::{Difference, Report, Verdict};
pub use value::Value;

/// How cases are run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Compute threads.
    pub threads: usize,
    /// Partitions where a case gives no number, if not as many as there are threads.
    pub parallelism: Option<u32>,
    /// Whether every task is run twice and what it gives compared.
    pub run_twice: bool,
    /// Whether intervals are begun while the ones before are being run.
    pub overlap: bool,
    /// Worker processes, each with as many threads; 0 runs everything in this process.
    pub workers: usize,
    /// After this interval of every case of streams one of the worker processes is killed; after the last but one
    /// in cases that have no more than so many, so that there is always an interval that has to do without.
    pub kill_worker_after: Option<u64>,
}

impl Options {
    /// The settings of a case's program.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Context::builder("conformance").threads(self.threads).run_twice(self.run_twice);
        let builder = builder.workers(self.workers);
        match self.parallelism {
            Some(partitions) => builder.parallelism(partitions),
            None => builder,
        }
    }
}

impl Default for Options {
    /// Two threads: enough for tasks to overtake each other.
    fn default() -> Self {
        Self {
            threads: 2,
            parallelism: None,
            run_twice: false,
            overlap: false,
            workers: 0,
            kill_worker_after: None,
        }
    }
}

/// Runs a case; `None` if it has no operation, or a script, and so is not for this runner.
///
/// A case of a program that is started again starts this process again as that program: with its arguments, or in a
/// test with the test's name. So nothing may come before the first call that should not be done again.
pub fn run(case: &Case, options: &Options) -> Option<Verdict> {
    stream::become_program();
    if !case.is_for_runner() {
        return None;
    }
    let run = || if case.is_stream() { stream::run(case, options) } else { dataset::run(case, options) };
    // A case that breaks the engine must not take the others with it. Each has a context of its own,
    // so nothing that was left half done is seen again.
    Some(panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Verdict::differs(None, case.expected_text(), format!("a panic: {}", text.unwrap_or_default()))
    }))
}
