use std::ops::ControlFlow;

use cutwater_core::TaskError;

/// What an operator answers after each record, and after a partition: go on, or stop. `?` hands a
/// stop upwards through every operator of the chain.
pub(crate) type Flow = ControlFlow<Stop>;

/// Why no more records are wanted.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Whoever reads has what it needs (`take`).
    Enough,
    /// The task failed. Boxed, since this is returned for every record.
    Failed(Box<TaskError>),
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Lets `?` carry a task error out of an operator.
pub(crate) fn or_stop<T>(result: Result<T, TaskError>) -> ControlFlow<Stop, T> {
    match result {
        Ok(value) => ControlFlow::Continue(value),
        Err(error) => ControlFlow::Break(error.into()),
    }
}
