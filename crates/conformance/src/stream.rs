//! Cases of streams: an expression over sources, run interval by interval under a driven clock.

mod body;
mod each;
mod expected;
mod program;
mod restart;
mod seen;
mod state;
mod windows;

use serde_json::Value as Json;

use self::{
    expected::Expected,
    program::Program,
    seen::{Run, Seen},
};
use crate::{Case, Difference, Options, Verdict};

pub(crate) use restart::become_program;

/// Runs a case of streams.
pub fn run(case: &Case, options: &Options) -> Verdict {
    match answer(case, options) {
        Ok(differences) if differences.is_empty() => Verdict::Passed,
        Ok(differences) => Verdict::Failed(differences),
        Err(Trouble::Inexpressible(why)) => Verdict::Skipped(why),
        Err(Trouble::Malformed(what)) => {
            Verdict::differs(None, case.expected_text(), format!("a case that cannot be read: {what}"))
        }
    }
}

fn answer(case: &Case, options: &Options) -> Result<Vec<Difference>, Trouble> {
    let expected = Expected::of(case)?;
    if let Some(crash_after) = case.field("restart_after_batch").as_u64() {
        return restart::answer(case, options, &expected, crash_after);
    }
    let program = Program::build(case, options.builder(), options)?;
    let seen = Seen::watching(&program);
    let run = Run::of(&program, expected.intervals, options.kill_worker_after);
    Ok(expected.compare(&program, &run, &seen))
}

/// Why a case has no answer.
#[derive(Debug)]
enum Trouble {
    /// There is no such operation or function.
    Inexpressible(String),
    /// The case does not say what it should.
    Malformed(String),
}

impl Trouble {
    /// `operation` names a function in its field `name` that there is not.
    fn unknown(operation: &Json, name: &str) -> Self {
        Self::Inexpressible(format!("{} does not know the function {}", operation["op"], operation[name]))
    }

    fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

/// A word of an operation; empty if it has none.
fn word<'a>(operation: &'a Json, name: &str) -> &'a str {
    operation[name].as_str().unwrap_or_default()
}

/// A number of an operation, if it has it.
fn number(operation: &Json, name: &str) -> Option<u64> {
    operation[name].as_u64()
}

/// How many partitions an operation is to make, if it says.
fn partitions(operation: &Json) -> Option<u32> {
    ["partitions", "n"].iter().find_map(|name| u32::try_from(number(operation, name)?).ok())
}

/// The expressions that an operation is on: `of` is one or a list.
fn operands(operation: &Json) -> &[Json] {
    match &operation["of"] {
        Json::Array(many) => many,
        one => std::slice::from_ref(one),
    }
}
