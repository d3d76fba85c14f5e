use std::collections::BTreeMap;

use cutwater_core::Split;

/// No interval runs before its input is written down, or with another input than is written there: a master that dies
/// then knows what it was. And what the next one needs of it is there.
#[derive(Default)]
pub(crate) struct Inputs {
    recorded: BTreeMap<u64, Vec<Vec<Split>>>,
}

impl Inputs {
    pub fn recorded(&mut self, interval: u64, blocks: &[Vec<Split>]) -> Result<(), String> {
        let known = self.recorded.entry(interval).or_insert_with(|| blocks.to_vec());
        if known != blocks {
            return Err(format!("interval {interval} is written down as {known:?}, and then as {blocks:?}"));
        }
        Ok(())
    }

    pub fn submitted(&self, interval: u64, blocks: &[Vec<Split>]) -> Result<(), String> {
        match self.recorded.get(&interval) {
            Some(known) if known == blocks => Ok(()),
            Some(known) => {
                Err(format!("interval {interval} runs with {blocks:?}, and {known:?} is written down"))
            }
            None => Err(format!("interval {interval} runs, and its input is written nowhere")),
        }
    }

    /// A master goes on with interval `start` and looks back as far as `horizon`; it has read of these.
    pub fn resumes(
        &self,
        horizon: u64,
        start: u64,
        mut known: impl Iterator<Item = u64>,
    ) -> Result<(), String> {
        match (horizon..start).find(|interval| known.next() != Some(*interval)) {
            Some(interval) => Err(format!(
                "interval {start} is next, and of interval {interval}, which it may need, nothing is written any more"
            )),
            None => Ok(()),
        }
    }

    pub fn lacks(&self, what: &str) -> Result<(), String> {
        Err(format!("what was received of intervals is not there any more, of one among {what}"))
    }
}
