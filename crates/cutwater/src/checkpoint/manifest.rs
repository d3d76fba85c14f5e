use cutwater_core::{Time, progress::Checkpoint};
use serde::{Deserialize, Serialize};

use super::{file::Kind, saved::Chain, store::Store};
use crate::error::Error;

const MANIFEST: Kind = Kind::new(b"mf", 2, "checkpoint's manifest");

/// The states of one moment. It is written when all their files are, so whatever it names is there.
///
/// Each master has names of its own: one that was overtaken may still write what it was about to. It counts if the progress
/// log says that it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Counts the intervals of the program.
    pub number: u64,
    /// The master's that has written it.
    pub epoch: u64,
    /// The label of that interval.
    pub time: Time,
    pub states: Vec<SavedState>,
}

/// The state of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedState {
    /// The stream's name, which stays the same from one start of the program to the next.
    pub stream: String,
    /// The stream's last time up to the manifest's.
    pub time: Time,
    /// Whether its keys are spread over its partitions by their groups.
    pub by_key_groups: bool,
    /// The files of each partition; `None` if there is no dataset yet.
    pub chains: Option<Vec<Chain>>,
}

/// How many manifests are held. If the newest cannot be read, the one before is used.
pub(crate) const MANIFESTS_HELD: usize = 2;

const FOLDER: &str = "checkpoints";

impl Manifest {
    /// What it is called in the store.
    pub fn name(&self) -> String {
        Self::name_of(&self.checkpoint())
    }

    pub fn name_of(Checkpoint { number, epoch }: &Checkpoint) -> String {
        format!("{FOLDER}/{number:020}-{epoch:020}")
    }

    /// What the log calls it.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { number: self.number, epoch: self.epoch }
    }

    pub fn write(&self, store: &Store) -> Result<(), Error> {
        let file = MANIFEST.seal_value(self).map_err(Error::internal)?;
        store.put(&self.name(), file)
    }

    pub fn remove(&self, store: &Store) -> Result<(), Error> {
        store.delete(&self.name())
    }

    /// The names of all there are, whether they count or not.
    pub fn names(store: &Store) -> Result<Vec<String>, Error> {
        store.list(FOLDER)
    }

    /// What is wrong with one that cannot be used is said in words.
    pub fn read(store: &Store, checkpoint: &Checkpoint) -> Result<Result<Self, String>, Error> {
        Ok(match store.get(&Self::name_of(checkpoint))? {
            Some(file) => MANIFEST.open_value(&file),
            None => Err("it is not there".to_owned()),
        })
    }

    /// Every file that its states consist of.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let chains = self.states.iter().filter_map(|state| state.chains.as_ref()).flatten();
        chains.flatten().map(|file| file.name.as_str())
    }
}
