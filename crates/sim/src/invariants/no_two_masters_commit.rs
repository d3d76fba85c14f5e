use std::collections::BTreeMap;

/// Of two masters one writes: nothing is written into the log after a later master has claimed it, nor committed after a
/// later one has opened the sink; and no interval is committed by two.
#[derive(Default)]
pub(crate) struct NoTwoMastersCommit {
    claimed: u64,
    opened: u64,
    committed: BTreeMap<u64, u64>,
}

impl NoTwoMastersCommit {
    pub fn claims(&mut self, epoch: u64) -> Result<(), String> {
        self.writes(epoch)?;
        self.claimed = epoch;
        Ok(())
    }

    pub fn writes(&self, epoch: u64) -> Result<(), String> {
        if epoch < self.claimed {
            return Err(format!("epoch {epoch} writes into the log, and {} has claimed it", self.claimed));
        }
        Ok(())
    }

    /// The last epoch that has claimed the log.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    pub fn opens(&mut self, epoch: u64) -> Result<(), String> {
        self.opened = self.opened.max(epoch);
        Ok(())
    }

    pub fn commits(&mut self, epoch: u64, interval: u64) -> Result<(), String> {
        if epoch < self.opened {
            return Err(format!(
                "epoch {epoch} commits interval {interval}, and {} has opened the sink",
                self.opened
            ));
        }
        match self.committed.insert(interval, epoch) {
            Some(before) if before != epoch => {
                Err(format!("interval {interval} is committed by epochs {before} and {epoch}"))
            }
            _ => Ok(()),
        }
    }
}
