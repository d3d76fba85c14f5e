use std::collections::{BTreeMap, BTreeSet};

use crate::{BlockId, WorkerId, id::receiver_of};

use super::{BatchReport, BlocksReport, InputBlock};

/// Replicas of what other workers have received and not reported.
///
/// Properties:
/// - a replica has what its owner has told so far, in that order;
/// - once its block is closed, it can be read under the same name as the owner's;
/// - of a worker that is lost nothing more is taken: what it acknowledged after its replicas were reported would
///   be in no interval.
///
/// If the process dies, the owners look for another worker.
///
/// ```
/// use cutwater_core::{ClientId, WorkerId, clients::{BatchReport, Replicas}};
///
/// let (mut replicas, owner) = (Replicas::default(), WorkerId(4));
/// let batch = BatchReport { client: ClientId(7), sequence: 0, records: 10, bytes: 4 };
/// replicas.put(owner, 0, 1, (batch, "data"))?;
/// let (report, blocks) = replicas.report(owner);
/// assert_eq!((report.blocks[0].sequence, blocks[0].1[0].1), (1, "data"));
/// assert!(replicas.put(owner, 0, 1, (batch, "data")).is_err(), "it is lost, and this would be in no interval");
/// # Ok::<(), cutwater_core::clients::OwnerLost>(())
/// ```
pub struct Replicas<C> {
    /// By owner, source and number.
    blocks: BTreeMap<(WorkerId, u32, u64), Replica<C>>,
    lost: BTreeSet<WorkerId>,
}

struct Replica<C> {
    batches: Vec<(BatchReport, C)>,
    sealed: bool,
}

/// A block that can be read from now on.
type Sealed<C> = (BlockId, Vec<(BatchReport, C)>);

/// The owner is lost, and what it says is of no use to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that worker counts as lost")]
pub struct OwnerLost;

impl<C> Default for Replicas<C> {
    fn default() -> Self {
        Self { blocks: BTreeMap::new(), lost: BTreeSet::new() }
    }
}

impl<C: Clone> Replicas<C> {
    /// The owner has put a batch into a block.
    ///
    /// # Errors
    /// The owner is lost.
    pub fn put(
        &mut self,
        owner: WorkerId,
        source: u32,
        block: u64,
        batch: (BatchReport, C),
    ) -> Result<(), OwnerLost> {
        if self.lost.contains(&owner) {
            return Err(OwnerLost);
        }
        let new = || Replica { batches: Vec::new(), sealed: false };
        self.blocks.entry((owner, source, block)).or_insert_with(new).batches.push(batch);
        Ok(())
    }

    /// What is held, whether or not its block was closed.
    pub fn batches(&self) -> impl Iterator<Item = &BatchReport> {
        self.blocks.values().flat_map(|replica| replica.batches.iter().map(|(report, _)| report))
    }

    /// The owner has closed a block: it can be read from now on.
    ///
    /// # Errors
    /// The owner is lost.
    pub fn seal(&mut self, owner: WorkerId, source: u32, block: u64) -> Result<Option<Sealed<C>>, OwnerLost> {
        if self.lost.contains(&owner) {
            return Err(OwnerLost);
        }
        let replica = self.blocks.get_mut(&(owner, source, block));
        Ok(replica.and_then(|replica| replica.seal(BlockId::Input { source, sequence: block })))
    }

    /// Whether the owner is yet to report it, as far as is known here.
    pub fn awaits_report(&self, source: u32, block: u64) -> bool {
        self.blocks.contains_key(&(receiver_of(block), source, block))
    }

    /// The owner is lost: its blocks are reported here. Answers also with those that can be read only from now on.
    pub fn report(&mut self, owner: WorkerId) -> (BlocksReport, Vec<Sealed<C>>) {
        self.lost.insert(owner);
        let (mut report, mut sealed) = (BlocksReport::default(), Vec::new());
        let all = (owner, 0, 0)..=(owner, u32::MAX, u64::MAX);
        for ((_, source, sequence), mut replica) in self.blocks.extract_if(all, |_, _| true) {
            sealed.extend(replica.seal(BlockId::Input { source, sequence }));
            report.blocks.push(replica.reported(source, sequence));
        }
        (report, sealed)
    }

    /// The owner has reported all up to `through`; of those it was right to hold the ones in `keep`. Answers with the
    /// others that could be read.
    pub fn settled(&mut self, source: u32, through: u64, keep: &[u64]) -> Vec<BlockId> {
        let owner = receiver_of(through);
        let settled = (owner, source, 0)..=(owner, source, through);
        let settled = self.blocks.extract_if(settled, |_, _| true);
        let useless = settled.filter(|((.., sequence), replica)| replica.sealed && !keep.contains(sequence));
        useless.map(|((_, source, sequence), _)| BlockId::Input { source, sequence }).collect()
    }
}

impl<C: Clone> Replica<C> {
    fn reported(self, source: u32, sequence: u64) -> InputBlock {
        let batches = self.batches.into_iter().map(|(report, _)| report).collect();
        InputBlock { source, sequence, batches }
    }

    fn seal(&mut self, id: BlockId) -> Option<Sealed<C>> {
        let is_new = !std::mem::replace(&mut self.sealed, true);
        is_new.then(|| (id, self.batches.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, id::input_sequence};

    const OWNER: WorkerId = WorkerId(4);

    fn batch(sequence: u64) -> (BatchReport, &'static str) {
        (BatchReport { client: ClientId(1), sequence, records: 1, bytes: 4 }, "data")
    }

    fn named(count: u64) -> u64 {
        input_sequence(OWNER, count)
    }

    fn id(count: u64) -> BlockId {
        BlockId::Input { source: 0, sequence: named(count) }
    }

    #[test]
    fn blocks_of_a_lost_worker_are_reported_whether_or_not_they_were_closed() {
        let mut replicas = Replicas::default();
        replicas.put(OWNER, 0, named(0), batch(0)).unwrap();
        assert_eq!(replicas.seal(OWNER, 0, named(0)), Ok(Some((id(0), vec![batch(0)]))));
        replicas.put(OWNER, 0, named(1), batch(1)).unwrap();
        let (report, sealed) = replicas.report(OWNER);
        let numbers: Vec<_> = report.blocks.iter().map(|block| block.batches[0].sequence).collect();
        assert_eq!((numbers, sealed), (vec![0, 1], vec![(id(1), vec![batch(1)])]));
        assert!(replicas.put(OWNER, 0, named(1), batch(2)).is_err(), "too late to count");
        assert!(replicas.report(OWNER).0.blocks.is_empty(), "reported once");
    }

    #[test]
    fn what_the_owner_reported_is_no_replica_any_more_and_what_it_renamed_goes() {
        let mut replicas = Replicas::default();
        for count in 0..3 {
            replicas.put(OWNER, 0, named(count), batch(count)).unwrap();
            replicas.seal(OWNER, 0, named(count)).unwrap();
        }
        assert!(replicas.awaits_report(0, named(1)));
        assert_eq!(replicas.settled(0, named(1), &[named(1)]), [id(0)]);
        assert!(!replicas.awaits_report(0, named(1)) && replicas.awaits_report(0, named(2)));
        let report = replicas.report(OWNER).0;
        let reported: Vec<u64> = report.blocks.iter().map(|block| block.sequence).collect();
        assert_eq!(reported, [named(2)]);
    }
}
