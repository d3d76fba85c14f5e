use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cutwater_core::{BlockId, WorkerId, id::receiver_of};
use cutwater_wire::client::{BatchReport, BlocksReport, InputBlock};

use super::own::as_block;
use crate::block::{Batches, Block, BlockStore};

/// Replicas of what other workers have received and not reported.
///
/// Properties:
/// - a replica has what its owner has told so far, in that order;
/// - once its block is closed, it can be read under the same name as the owner's;
/// - of a worker that is lost nothing more is taken: what it acknowledged after its replicas were reported would
///   be in no interval.
///
/// The lock of the inbox is around it. If the process dies, the owners look for another worker.
#[derive(Default)]
pub(super) struct Replicas {
    /// By owner, source and number.
    blocks: BTreeMap<(WorkerId, u32, u64), Replica>,
    lost: BTreeSet<WorkerId>,
}

#[derive(Default)]
struct Replica {
    batches: Vec<(BatchReport, Bytes)>,
    sealed: bool,
}

/// The owner is lost, and what it says is of no use to anybody.
#[derive(Debug)]
pub(super) struct OwnerLost;

impl Replicas {
    pub fn put(
        &mut self,
        owner: WorkerId,
        source: u32,
        block: u64,
        (report, content): (BatchReport, Bytes),
    ) -> Result<(), OwnerLost> {
        if self.lost.contains(&owner) {
            return Err(OwnerLost);
        }
        self.blocks.entry((owner, source, block)).or_default().batches.push((report, content));
        Ok(())
    }

    pub fn seal(
        &mut self,
        owner: WorkerId,
        source: u32,
        block: u64,
        store: &BlockStore,
    ) -> Result<(), OwnerLost> {
        if self.lost.contains(&owner) {
            return Err(OwnerLost);
        }
        if let Some(replica) = self.blocks.get_mut(&(owner, source, block)) {
            replica.seal(BlockId::Input { source, sequence: block }, store);
        }
        Ok(())
    }

    /// The owner is lost: its blocks are reported here.
    pub fn report(&mut self, owner: WorkerId, store: &BlockStore) -> BlocksReport {
        self.lost.insert(owner);
        let mut report = BlocksReport::default();
        let all = (owner, 0, 0)..=(owner, u32::MAX, u64::MAX);
        for ((_, source, sequence), mut replica) in self.blocks.extract_if(all, |_, _| true) {
            replica.seal(BlockId::Input { source, sequence }, store);
            let batches = replica.batches.into_iter().map(|(report, _)| report).collect();
            report.blocks.push(InputBlock { source, sequence, batches });
        }
        report
    }

    /// The owner has reported all up to `through`; of those it was right to hold the ones in `keep`.
    pub fn settled(&mut self, source: u32, through: u64, keep: &[u64], store: &BlockStore) {
        let owner = receiver_of(through);
        let settled = (owner, source, 0)..=(owner, source, through);
        let mut useless = Vec::new();
        for ((_, source, sequence), replica) in self.blocks.extract_if(settled, |_, _| true) {
            if replica.sealed && !keep.contains(&sequence) {
                useless.push(BlockId::Input { source, sequence });
            }
        }
        store.remove(&useless);
    }
}

impl Replica {
    fn seal(&mut self, id: BlockId, store: &BlockStore) {
        if !self.sealed {
            self.sealed = true;
            let batches = self.batches.iter().map(|(report, content)| as_block(report, content.clone()));
            store.put(id, Block::new(Batches(batches.collect())));
        }
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::{ClientId, id::input_sequence};

    use super::*;

    const OWNER: WorkerId = WorkerId(4);

    fn batch(sequence: u64) -> (BatchReport, Bytes) {
        let report = BatchReport { client: ClientId(1), sequence, records: 1, bytes: 4 };
        (report, Bytes::from_static(b"data"))
    }

    fn named(count: u64) -> u64 {
        input_sequence(OWNER, count)
    }

    fn id(count: u64) -> BlockId {
        BlockId::Input { source: 0, sequence: named(count) }
    }

    #[test]
    fn blocks_of_a_lost_worker_are_reported_whether_or_not_they_were_closed() {
        let (mut replicas, store) = (Replicas::default(), BlockStore::default());
        replicas.put(OWNER, 0, named(0), batch(0)).unwrap();
        replicas.seal(OWNER, 0, named(0), &store).unwrap();
        replicas.put(OWNER, 0, named(1), batch(1)).unwrap();
        assert!(store.get(id(0)).is_some() && store.get(id(1)).is_none());
        let report = replicas.report(OWNER, &store);
        let numbers: Vec<_> = report.blocks.iter().map(|block| block.batches[0].sequence).collect();
        assert_eq!(numbers, [0, 1]);
        assert!(store.get(id(1)).is_some());
        assert!(replicas.put(OWNER, 0, named(1), batch(2)).is_err(), "too late to count");
        assert!(replicas.report(OWNER, &store).blocks.is_empty(), "reported once");
    }

    #[test]
    fn what_the_owner_reported_is_not_reported_again_and_what_it_renamed_goes() {
        let (mut replicas, store) = (Replicas::default(), BlockStore::default());
        for count in 0..3 {
            replicas.put(OWNER, 0, named(count), batch(count)).unwrap();
            replicas.seal(OWNER, 0, named(count), &store).unwrap();
        }
        replicas.settled(0, named(1), &[named(1)], &store);
        assert!(store.get(id(0)).is_none() && store.get(id(1)).is_some());
        assert_eq!(replicas.report(OWNER, &store).blocks.len(), 1);
    }
}
