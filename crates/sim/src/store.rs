use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::DatasetId;

use crate::dice::Dice;

/// An object store: what was written whole stays, whatever dies. A write may fail, and one that fails may leave
/// the beginning of an object behind.
///
/// Readers go by the manifest, which is written when all partitions are there.
#[derive(Debug, Default)]
pub struct Store {
    /// A value and whether all of it is there, which a checksum tells.
    objects: BTreeMap<(DatasetId, u32), (u64, bool)>,
    manifests: BTreeSet<DatasetId>,
}

impl Store {
    /// Writes an object, or fails.
    pub fn write(&mut self, id: DatasetId, partition: u32, value: u64, dice: &mut Dice, fails: bool) -> bool {
        if fails && dice.one_in(4) {
            if dice.one_in(2) {
                // What was whole stays: objects are replaced by whole ones only.
                self.objects.entry((id, partition)).or_insert((value >> 32, false));
            }
            return false;
        }
        self.objects.insert((id, partition), (value, true));
        true
    }

    /// All partitions of the dataset are there.
    pub fn write_manifest(&mut self, id: DatasetId) {
        self.manifests.insert(id);
    }

    /// A partition of a dataset of which there is a manifest. Nothing if it is torn or missing.
    pub fn read(&self, id: DatasetId, partition: u32) -> Option<u64> {
        let (value, whole) = self.objects.get(&(id, partition)).filter(|_| self.manifests.contains(&id))?;
        whole.then_some(*value)
    }
}
