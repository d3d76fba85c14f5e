use cutwater_core::{BlockId, limits};

/// When all is quiet, whatever was received and is needed is held by two workers, whoever was lost before.
#[derive(Default)]
pub(crate) struct TwoHoldIt;

impl TwoHoldIt {
    pub fn is_held(&self, block: &BlockId, holders: usize, workers: usize) -> Result<(), String> {
        let wanted = limits::REPLICAS.min(workers);
        if holders < wanted {
            return Err(format!(
                "{block} is held by {holders} of {workers} workers, and by {wanted} it should be"
            ));
        }
        Ok(())
    }
}
