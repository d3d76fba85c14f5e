//! Tasks: what a compute thread does. A chain of operators is run record by record through all of
//! them, each pushing into the next, so that nothing is collected in between. Operators that only
//! look at records have them lent, where they lie.

mod attempts;
mod blame;
mod flow;
mod lend;
mod node;
mod operator;
mod plan;
mod twice;

pub(crate) use attempts::{Attempts, Control};
pub(crate) use blame::{on_master, panic_message};
pub(crate) use flow::{Flow, Stop};
pub(crate) use lend::{KeyLender, LENT_RECORDS, LendKeys, Look};
pub(crate) use node::Node;
pub(crate) use operator::{AnyOperator, AnySpec, Emit, Operator, OperatorSpec, labelled};
pub(crate) use plan::{Fetched, Finding, Findings, Outcome, Plan, Step, TaskRun};
