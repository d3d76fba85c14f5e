use cutwater_core::{BlockId, WorkerId, limits, scheduler::Size};

use crate::{durable::MANIFESTS_HELD, master::CHECKPOINT_INTERVALS};

/// How many intervals may pass between the older checkpoint that is held and the newest interval once nothing fails: it may be
/// of the first interval of those that have one checkpoint, and the newest interval the last of the next but one, of which no
/// checkpoint is there yet. Among so many intervals there are always all of those that have two checkpoints.
pub(crate) const INTERVALS_BEHIND_MAX: u64 = 3 * CHECKPOINT_INTERVALS - 1;

/// What is remembered follows what is needed, and in the end there is nothing.
#[derive(Default)]
pub(crate) struct Memory;

impl Memory {
    pub fn bounded(&self, size: &Size, datasets_max: usize) -> Result<(), String> {
        if size.datasets > datasets_max {
            return Err(format!("{} datasets are known of {datasets_max} that are needed", size.datasets));
        }
        if size.kinds > limits::HISTORY_KINDS_MAX {
            return Err(format!("{} kinds of stages are remembered", size.kinds));
        }
        Ok(())
    }

    /// What is written down follows what a restart needs: beside some objects for each master, some intervals.
    pub fn store_bounded(&self, objects: usize, masters: u64, looks_back: u64) -> Result<(), String> {
        // Of each master an epoch, a lease and a claim, and what one that was overtaken has left: what it was writing to the
        // log, and a manifest.
        let of_masters = 5 * masters;
        // Of each interval from the first that is needed after the older checkpoint two entries and what was received; and
        // every so many intervals an entry that says which checkpoints are held, and the manifests of those.
        let intervals = looks_back + INTERVALS_BEHIND_MAX;
        let says_held = intervals / CHECKPOINT_INTERVALS + 1;
        let objects_max = of_masters + 3 * intervals + says_held + MANIFESTS_HELD as u64;
        if objects as u64 > objects_max {
            return Err(format!("{objects} objects are in the store, and {objects_max} may be needed"));
        }
        Ok(())
    }

    /// Everything was let go, and all messages have arrived.
    pub fn empty(&self, size: &Size, left: Option<(WorkerId, BlockId)>) -> Result<(), String> {
        let Size { datasets, blocks, runs, running, copies, .. } = *size;
        if datasets + blocks + runs + running + copies > 0 {
            return Err(format!("everything was let go, and the scheduler remembers {size:?}"));
        }
        match left {
            Some((id, block)) => Err(format!("everything was let go, and {id} is left with {block}")),
            None => Ok(()),
        }
    }
}
