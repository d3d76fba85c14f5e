use std::collections::HashSet;

use cutwater_core::{BlockId, DatasetId, Event};

/// What a master uses of what workers hold from the time with another. All else nobody will ask for.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// Kept datasets under the names that they had.
    pub datasets: HashSet<DatasetId>,
    /// What those intervals consist of whose input is known. What the master before has received for others, it has
    /// not written down; whoever sent that sends it again, and it has other names then.
    pub inputs: HashSet<BlockId>,
    /// Sources whose blocks workers report by themselves: what is in no interval yet is in one of the next.
    pub reported: HashSet<u32>,
}

impl Used {
    pub fn contains(&self, block: &BlockId) -> bool {
        match block {
            BlockId::Input { source, .. } => self.reported.contains(source) || self.inputs.contains(block),
            BlockId::Partition { dataset, .. } => self.datasets.contains(dataset),
            // It was made for a job of the master before.
            BlockId::Piece { .. } => false,
        }
    }

    /// Who comes late and holds what was let go by then holds nothing of use.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Forgotten { datasets } => self.datasets.retain(|dataset| !datasets.contains(dataset)),
            Event::InputsReleased { blocks } => blocks.iter().for_each(|block| {
                self.inputs.remove(block);
            }),
            _ => {}
        }
    }
}
