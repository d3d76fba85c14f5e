//! What an operator adds to accumulators while it computes a partition.
//!
//! Records are pushed through a chain of operators, so their functions run by turns on one thread. What is
//! added is put to the account of the operator whose turn it is, which is known without asking at every
//! record: an operator with accumulators changes the account when it begins, when it hands a record on, and
//! when it has it back. Operators without pay nothing.

use std::{
    any::Any,
    cell::{Cell, RefCell},
};

use serde::{Deserialize, Serialize};

use super::Accumulate;
use crate::Error;

/// What a partition added to one accumulator, in bytes, since it travels to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contribution {
    pub accumulator: u64,
    pub bytes: Vec<u8>,
}

/// The account of one partition of one operator.
#[derive(Default)]
struct Tally(Vec<Entry>);

struct Entry {
    accumulator: u64,
    sum: Box<dyn Any>,
    encode: fn(&dyn Any) -> Result<Vec<u8>, postcard::Error>,
}

thread_local! {
    /// Of the operator whose turn it is; `None` outside operators that were given accumulators.
    static CURRENT: RefCell<Option<Tally>> = const { RefCell::new(None) };
    static SEEN: Cell<bool> = const { Cell::new(false) };
}

/// An accumulator was decoded.
pub(super) fn note_accumulator() {
    SEEN.set(true);
}

/// Runs `decode` and says whether there were accumulators in what it decoded.
pub(crate) fn counts_in<R>(decode: impl FnOnce() -> R) -> (R, bool) {
    let outer = SEEN.replace(false);
    let decoded = decode();
    let seen = SEEN.replace(outer);
    (decoded, seen)
}

/// Adds to the account of the operator whose turn it is; gives the value back if there is none.
pub(super) fn add<T: Accumulate>(accumulator: u64, value: T) -> Result<(), T> {
    let Some(Tally(mut entries)) = CURRENT.take() else { return Err(value) };
    // The function of the program must not find the account borrowed.
    let entry = entries.iter_mut().find(|entry| entry.accumulator == accumulator);
    match entry.and_then(|entry| entry.sum.downcast_mut::<T>()) {
        Some(sum) => sum.merge(value),
        None => {
            let mut sum = T::default();
            sum.merge(value);
            entries.push(Entry { accumulator, sum: Box::new(sum), encode: encode::<T> });
        }
    }
    CURRENT.set(Some(Tally(entries)));
    Ok(())
}

fn encode<T: Accumulate>(sum: &dyn Any) -> Result<Vec<u8>, postcard::Error> {
    // It was put there as a `T`.
    sum.downcast_ref::<T>().map_or(Err(postcard::Error::SerdeSerCustom), postcard::to_allocvec)
}

/// The turn of one operator: its account is the thread's current one, and the one of the operator that
/// called it waits here. Swapped with every record that is handed on.
pub(crate) struct Turn(Option<Tally>);

impl Turn {
    fn begin() -> Self {
        Self(CURRENT.replace(Some(Tally::default())))
    }

    /// Hands over to whom the record goes, or takes over again.
    pub fn swap(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, &mut self.0));
    }

    fn end(mut self) -> Tally {
        self.swap();
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Turn {
    /// A panic ends the task, and nothing of it counts.
    fn drop(&mut self) {
        if std::thread::panicking() {
            CURRENT.set(None);
        }
    }
}

/// Runs an operator that was given accumulators, and says what it added.
pub(crate) fn tallied<R>(run: impl FnOnce(&mut Turn) -> R) -> (R, Result<Vec<Contribution>, Error>) {
    let mut turn = Turn::begin();
    let result = run(&mut turn);
    let Tally(entries) = turn.end();
    let contributions = entries.into_iter().map(|Entry { accumulator, sum, encode }| {
        let bytes = encode(&*sum).map_err(|error| {
            Error::user(format_args!("what was added to an accumulator cannot be serialised: {error}"))
        })?;
        Ok(Contribution { accumulator, bytes })
    });
    (result, contributions.collect())
}
