use cutwater_core::{BlockId, WorkerId, limits, scheduler::Size};

/// How many intervals may pass between the older checkpoint that is held and the newest interval once nothing fails.
const INTERVALS_BEHIND_MAX: u64 = 8;

/// Objects that could not be removed while the store failed, or whose master died before it had removed them.
const NOT_REMOVED_MAX: u64 = 12;

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

    /// What is written down follows what a restart needs: beside an object or two for each master, some intervals.
    pub fn store_bounded(&self, objects: usize, masters: u64, looks_back: u64) -> Result<(), String> {
        // Of each master an epoch, a lease and a claim, and what one that was overtaken has left; and of each interval
        // between the older checkpoint and the last interval two entries and what was received.
        let objects_max = 5 * masters + 3 * (looks_back + INTERVALS_BEHIND_MAX) + NOT_REMOVED_MAX;
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
