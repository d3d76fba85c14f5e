use std::time::Duration;

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{file::Kind, store::Store};
use crate::error::Error;

const PROGRAM: Kind = Kind::new(b"pr", 1, "program's record");
const FOLDER: &str = "programs";

/// Each master has a name of its own, in the order of the epochs: one that was overtaken may still write its own.
fn name(epoch: u64) -> String {
    format!("{FOLDER}/{epoch:020}")
}

/// What one start of a program leaves for the next; but for the parallelism it must be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProgramRecord {
    pub name: String,
    pub interval_ms: u64,
    /// How many partitions there are where the program gives no number: those of the last start, with which the next goes
    /// on if it says nothing else.
    pub parallelism: u32,
    /// The label before the first interval's.
    pub zero: Time,
}

impl ProgramRecord {
    /// That of the last start of the program whose store this is, if it has ever been started.
    pub fn read(store: &Store) -> Result<Option<Self>, Error> {
        let Some(newest) = store.list(FOLDER)?.pop() else { return Ok(None) };
        // One that another master has removed by now has a newer one in its place.
        let Some(file) = store.get(&newest)? else { return Ok(None) };
        let damaged =
            |why: String| Error::external(format_args!("cannot use {newest} of {}: {why}", store.url()));
        PROGRAM.open_value(&file).map(Some).map_err(damaged)
    }

    /// Writes it down, as the master of that epoch runs the program. That of a later master stays what is read.
    pub fn write(&self, store: &Store, epoch: u64) -> Result<(), Error> {
        let name = name(epoch);
        store.put(&name, PROGRAM.seal_value(self).map_err(Error::internal)?)?;
        let older = store.list(FOLDER)?.into_iter().filter(|other| *other < name);
        older.into_iter().try_for_each(|older| store.delete(&older))
    }

    /// What is another program now, or set up in another way.
    pub fn faults(&self, name: &str, interval: Duration, url: &str) -> Vec<String> {
        let mut faults = Vec::new();
        if self.name != name {
            faults.push(format!(
                "{url} holds the checkpoints of the program {:?}, and this is {name:?}; give each its own",
                self.name
            ));
        }
        if u128::from(self.interval_ms) != interval.as_millis() {
            faults.push(format!(
                "{url} was written with intervals of {} ms, and they are {} ms now; keep them, or begin anew in another place",
                self.interval_ms,
                interval.as_millis()
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was stopped before it wrote, and wakes up when another has taken over with another parallelism.
    #[test]
    fn what_a_master_writes_that_was_overtaken_is_not_read() {
        let (_dir, store) = Store::temporary();
        let of = |parallelism| {
            let (name, zero) = ("of two masters".to_owned(), Time::from_ms(7));
            ProgramRecord { name, interval_ms: 1_000, parallelism, zero }
        };
        assert_eq!(ProgramRecord::read(&store).unwrap(), None);
        of(4).write(&store, 2).unwrap();
        of(9).write(&store, 1).unwrap();
        assert_eq!(ProgramRecord::read(&store).unwrap(), Some(of(4)));
        of(5).write(&store, 3).unwrap();
        assert_eq!(store.list(FOLDER).unwrap(), [name(3)], "what both have left goes");
    }
}
