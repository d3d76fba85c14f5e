use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use cutwater_core::{BlockId, DatasetId, Located, Task, Whereabouts, WorkerId};
use cutwater_wire::names::Blocks;

use crate::block::BlockStore;

/// What tasks read from other workers: the master has said once for each shuffle where its pieces are, and
/// with each task only which of them it reads.
///
/// Only the thread that hears the master touches it, in the order in which the master speaks. So a task finds
/// what was said before it was launched. If the process dies, the next one is told anew.
#[derive(Default)]
pub(super) struct Wanted {
    shuffles: HashMap<DatasetId, Whereabouts>,
}

/// Names of blocks, by who is to be asked for them.
pub(super) type ByWorker = BTreeMap<WorkerId, Vec<Blocks>>;

impl Wanted {
    pub fn locate(&mut self, shuffle: DatasetId, located: &[Located]) {
        if let Err(error) = self.shuffles.entry(shuffle).or_default().note(located) {
            // Its tasks will miss pieces, and be tried again for as often as that is done.
            tracing::error!(%shuffle, %error, "not understood");
        }
    }

    pub fn forget(&mut self, shuffles: &[DatasetId]) {
        shuffles.iter().for_each(|shuffle| drop(self.shuffles.remove(shuffle)));
    }

    /// What `task` has to be brought when it runs on worker `me`, which has `blocks`.
    pub fn of(&self, task: &Task, me: WorkerId, blocks: &BlockStore) -> ByWorker {
        let mut wanted = ByWorker::new();
        for (block, worker) in &task.remote {
            wanted.entry(*worker).or_default().push(Blocks::One(*block));
        }
        for (shuffle, reduces) in &task.pieces {
            self.pieces(*shuffle, reduces, me, blocks, &mut wanted);
        }
        wanted
    }

    fn pieces(
        &self,
        dataset: DatasetId,
        reduces: &Range<u32>,
        me: WorkerId,
        blocks: &BlockStore,
        wanted: &mut ByWorker,
    ) {
        let (reduce, count) = (reduces.start, reduces.end.saturating_sub(reduces.start));
        for (map, holder) in self.elsewhere(dataset, reduce, me, blocks) {
            wanted.entry(holder).or_default().push(Blocks::Pieces { dataset, map, reduce, count });
        }
    }

    /// The map partitions whose pieces have to be brought to worker `me`, which has `blocks`, by who holds them.
    pub fn maps(
        &self,
        dataset: DatasetId,
        reduce: u32,
        me: WorkerId,
        blocks: &BlockStore,
    ) -> BTreeMap<WorkerId, Vec<u32>> {
        let mut maps = BTreeMap::<_, Vec<u32>>::new();
        for (map, holder) in self.elsewhere(dataset, reduce, me, blocks) {
            maps.entry(holder).or_default().push(map);
        }
        maps
    }

    fn elsewhere(
        &self,
        dataset: DatasetId,
        reduce: u32,
        me: WorkerId,
        blocks: &BlockStore,
    ) -> impl Iterator<Item = (u32, WorkerId)> {
        let located = self.shuffles.get(&dataset).into_iter().flat_map(|pieces| pieces.iter());
        // One holder is named of those that there are, and this worker may be another. All that a map
        // partition wrote is here or none of it.
        located.filter(move |(map, holder)| {
            *holder != me && !blocks.holds(BlockId::Piece { dataset, map: *map, reduce })
        })
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::{Attempt, StageId};

    use super::*;
    use crate::block::Block;

    #[test]
    fn only_what_is_elsewhere_is_wanted() {
        let (shuffle, me, other) = (DatasetId(1), WorkerId(0), WorkerId(1));
        let piece = |map| BlockId::Piece { dataset: shuffle, map, reduce: 5 };
        let attempt = Attempt { stage: StageId(0), partition: 5, number: 0 };
        let task = Task { attempt, target: DatasetId(2), remote: Vec::new(), pieces: vec![(shuffle, 5..7)] };
        let mut wanted = Wanted::default();
        wanted.locate(shuffle, &Located::runs([(0, me), (1, other), (2, other), (3, other)]));
        let blocks = BlockStore::default();
        blocks.put(piece(2), Block::new(vec![0_u8]));
        let pieces = |map| Blocks::Pieces { dataset: shuffle, map, reduce: 5, count: 2 };
        assert_eq!(wanted.of(&task, me, &blocks), ByWorker::from([(other, vec![pieces(1), pieces(3)])]));
        wanted.forget(&[shuffle]);
        assert_eq!(wanted.of(&task, me, &blocks), ByWorker::new());
    }
}
