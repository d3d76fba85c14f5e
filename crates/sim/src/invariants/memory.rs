use cutwater_core::{BlockId, WorkerId, limits, scheduler::Size};

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
