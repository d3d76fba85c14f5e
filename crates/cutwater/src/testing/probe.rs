use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::step;
use crate::{
    Error, Record,
    output::{Commit, Part, Records, Sink},
};

/// A sink around another one that does to it whatever the engine may: several attempts at a time, attempts that fail,
/// attempts that come too late; with a step before and after each call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Probe<S: Record>(pub S);

/// What was computed, for attempts that come too late: `Vec<T>` by interval and partition.
static COMPUTED: Mutex<BTreeMap<(Time, u32), Box<dyn Any + Send>>> = Mutex::new(BTreeMap::new());

impl<S: Record> Probe<S> {
    /// An attempt of which nobody takes the token; one that fails half way if it is not `whole`.
    fn late<T: Record>(&self, interval: Time, epoch: u64, whole: bool)
    where
        S: Sink<T>,
    {
        let computed = COMPUTED.lock().unwrap_or_else(PoisonError::into_inner);
        let records = computed.get(&(interval, 0)).and_then(|records| records.downcast_ref::<Vec<T>>());
        let records = records.cloned().unwrap_or_default();
        drop(computed);
        // It may fail: its folder may be gone, for example.
        let count = if whole { records.len() } else { records.len() / 2 };
        let _ = Part::new(interval, 0, epoch).and_then(|part| write(&self.0, &part, &records, count));
    }
}

/// An attempt that is given the first `whole` of its records, and fails if these are not all.
fn write<T: Record, S: Sink<T>>(
    sink: &S,
    part: &Part,
    records: &[T],
    whole: usize,
) -> Result<S::Token, Error> {
    let mut read = |look: &mut dyn FnMut(&T) -> Result<(), Error>| {
        records[..whole].iter().try_for_each(look)?;
        if whole < records.len() {
            return Err(Error::external("the kit lets this attempt fail"));
        }
        Ok(())
    };
    sink.write(part, Records { read: &mut read })
}

impl<T: Record, S: Sink<T>> Sink<T> for Probe<S> {
    type Token = S::Token;

    fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        step("before open");
        let opened = self.0.open(epoch)?;
        step("after open");
        Ok(opened)
    }

    fn write(&self, part: &Part, records: Records<'_, T>) -> Result<S::Token, Error> {
        let mut all = Vec::new();
        records.each(|record| {
            all.push(record.clone());
            Ok(())
        })?;
        let another = || Part::new(part.interval, part.partition, part.epoch);
        if !all.is_empty() {
            // What the engine does with the answer is nothing; that there is one is the sink's affair.
            let _ = write(&self.0, &another()?, &all, all.len() / 2);
            step("after an attempt that failed");
        }
        let other = another()?;
        let (one, two) = thread::scope(|scope| {
            let two = scope.spawn(|| write(&self.0, &other, &all, all.len()));
            (write(&self.0, part, &all, all.len()), two.join())
        });
        step("after two attempts at the same time");
        let two = two.unwrap_or_else(|_| Err(Error::user("the second attempt panicked")));
        let mut computed = COMPUTED.lock().unwrap_or_else(PoisonError::into_inner);
        computed.insert((part.interval, part.partition), Box::new(all));
        // Either may count.
        if part.partition.is_multiple_of(2) { two.and_then(|two| one.map(|_| two)) } else { one }
    }

    fn commit(&self, commit: &Commit<'_, S::Token>) -> Result<(), Error> {
        self.late::<T>(commit.interval, commit.epoch, false);
        step("before commit");
        self.0.commit(commit)?;
        step("after commit");
        // As if the answer had been lost.
        self.0.commit(commit)?;
        self.late::<T>(commit.interval, commit.epoch, true);
        self.late::<T>(commit.interval, commit.epoch.saturating_sub(1), true);
        step("after late attempts");
        Ok(())
    }

    fn discard(&self, interval: Time, committed: &[S::Token]) -> Result<(), Error> {
        step("before discard");
        self.0.discard(interval, committed)?;
        step("after discard");
        Ok(())
    }
}
