use cutwater_core::progress::Checkpoint;

use crate::store::{Manifest, Name, Object, Store};

/// What the log calls held is there, whoever else writes and removes: the manifest, and every partition of every state that
/// it names.
#[derive(Default)]
pub(crate) struct Held {
    checkpoints: Vec<Checkpoint>,
}

impl Held {
    /// The log says which are held from now on.
    pub fn says(&mut self, checkpoints: Vec<Checkpoint>) {
        self.checkpoints = checkpoints;
    }

    pub fn all_there(&self, store: &Store, name: impl Fn(&Checkpoint) -> Name) -> Result<(), String> {
        for checkpoint in &self.checkpoints {
            let Some(Object::Manifest(Manifest { states, .. })) = store.get(name(checkpoint)) else {
                return Err(format!("{checkpoint:?} is held, and its manifest is not there"));
            };
            for (file, partitions) in states.values() {
                if let Some(partition) = (0..*partitions).find(|it| store.read(*file, *it).is_none()) {
                    return Err(format!("{checkpoint:?} is held, and {file:?}[{partition}] is not there"));
                }
            }
        }
        Ok(())
    }

    /// Whoever takes over has not found it.
    pub fn lacks(&self, what: &str) -> Result<(), String> {
        Err(format!("a checkpoint is held, and whoever takes over has not found {what}"))
    }
}
