use std::time::Duration;

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{file::Kind, store::Store};
use crate::error::Error;

const PROGRAM: Kind = Kind::new(b"pr", 1, "program's record");
const NAME: &str = "program";

/// What one start of a program leaves for the next; but for the parallelism it must be the same, and is written down at the
/// first.
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
    /// The record of the program whose store this is, if it has ever been started.
    pub fn read(store: &Store) -> Result<Option<Self>, Error> {
        let Some(file) = store.get(NAME)? else { return Ok(None) };
        let damaged =
            |why: String| Error::external(format_args!("cannot use {NAME} of {}: {why}", store.url()));
        PROGRAM.open_value(&file).map(Some).map_err(damaged)
    }

    /// Writes it down, if nobody did before.
    pub fn create(&self, store: &Store) -> Result<bool, Error> {
        store.create(NAME, PROGRAM.seal_value(self).map_err(Error::internal)?)
    }

    /// Writes it down, in the place of the one before.
    pub fn write(&self, store: &Store) -> Result<(), Error> {
        store.put(NAME, PROGRAM.seal_value(self).map_err(Error::internal)?)
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
