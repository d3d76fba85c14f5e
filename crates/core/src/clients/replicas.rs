use std::collections::{BTreeMap, BTreeSet};

use crate::{BlockId, WorkerId, id::receiver_of};

use super::{BatchReport, BlocksReport, InputBlock};

/// Replicas of what other workers have received and not reported.
///
/// Properties:
/// - a replica has what its owner has told so far, in that order;
/// - once its block is closed, it can be read under the same name as the owner's;
/// - of a worker that is lost nothing more is taken, unless another master counts on it: what it acknowledged after its
///   replicas were reported would be in no interval.
///
/// If the process dies, the owners look for another worker.
///
/// ```
/// use cutwater_core::{ClientId, WorkerId, clients::{BatchReport, Replicas}};
///
/// let (mut replicas, owner) = (Replicas::default(), WorkerId(4));
/// let batch = BatchReport { client: ClientId(7), sequence: 0, records: 10, bytes: 4 };
/// let teller = replicas.connected(owner);
/// replicas.put(&teller, 0, 1, (batch, "data"))?;
/// let (report, blocks) = replicas.report(owner);
/// assert_eq!((report.blocks[0].sequence, blocks[0].1[0].1), (1, "data"));
/// assert!(replicas.put(&teller, 0, 1, (batch, "data")).is_err(), "it is lost, and this would be in no interval");
/// # Ok::<(), cutwater_core::clients::OwnerLost>(())
/// ```
pub struct Replicas<C> {
    /// By owner, source and number.
    blocks: BTreeMap<(WorkerId, u32, u64), Replica<C>>,
    lost: BTreeSet<WorkerId>,
    /// The last block of each owner and source that was reported, as far as is known here. What comes of one before that comes
    /// late, from an owner that has left for another holder.
    settled: BTreeMap<(WorkerId, u32), u64>,
    /// How often a worker was lost: to one master, and then to another that had counted on it.
    losses: BTreeMap<WorkerId, u64>,
}

/// A connection by which an owner tells of its blocks. Nothing more comes by it once the owner is lost, whether or not another
/// master counts on that one: it would go into blocks of names that were reported.
#[derive(Clone, Copy, Debug)]
pub struct Teller {
    owner: WorkerId,
    losses: u64,
}

impl Teller {
    /// Who tells.
    pub fn owner(&self) -> WorkerId {
        self.owner
    }
}

/// What becomes of replicas that could be read once their owner has reported its blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Nobody needs them.
    pub useless: Vec<BlockId>,
    /// The same, but the master counts on them. Once it hears [what they consist of](super::Own::copied) it lets them go.
    pub counted_on: Vec<BlockId>,
}

struct Replica<C> {
    batches: Vec<(BatchReport, C)>,
    sealed: bool,
    /// The master knows that it is held here.
    told: bool,
}

/// A block that can be read from now on.
type Sealed<C> = (BlockId, Vec<(BatchReport, C)>);

/// The owner is lost, and what it says is of no use to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that worker counts as lost")]
pub struct OwnerLost;

impl<C> Default for Replicas<C> {
    fn default() -> Self {
        let (blocks, lost, settled, losses) = Default::default();
        Self { blocks, lost, settled, losses }
    }
}

impl<C: Clone> Replicas<C> {
    /// The owner has connected.
    pub fn connected(&self, owner: WorkerId) -> Teller {
        Teller { owner, losses: self.losses.get(&owner).copied().unwrap_or(0) }
    }

    fn may_tell(&self, teller: &Teller) -> Result<WorkerId, OwnerLost> {
        let losses = self.losses.get(&teller.owner).copied().unwrap_or(0);
        let may = !self.lost.contains(&teller.owner) && losses == teller.losses;
        may.then_some(teller.owner).ok_or(OwnerLost)
    }

    /// The owner has put a batch into a block.
    ///
    /// # Errors
    /// The owner is lost.
    pub fn put(
        &mut self,
        teller: &Teller,
        source: u32,
        block: u64,
        batch: (BatchReport, C),
    ) -> Result<(), OwnerLost> {
        let owner = self.may_tell(teller)?;
        if self.settled.get(&(owner, source)).is_some_and(|through| block <= *through) {
            return Ok(());
        }
        let new = || Replica { batches: Vec::new(), sealed: false, told: false };
        self.blocks.entry((owner, source, block)).or_insert_with(new).batches.push(batch);
        Ok(())
    }

    /// What is held, and the number of its block, whether or not that was closed.
    pub fn batches(&self) -> impl Iterator<Item = (u64, &BatchReport)> {
        let blocks = self.blocks.iter().map(|((.., sequence), replica)| (*sequence, &replica.batches));
        blocks.flat_map(|(sequence, batches)| batches.iter().map(move |(report, _)| (sequence, report)))
    }

    /// The batches of each block that its owner has not closed, and its source. The others can be read.
    pub fn open(&self) -> impl Iterator<Item = (u32, Vec<(BatchReport, C)>)> {
        let open = self.blocks.iter().filter(|(_, replica)| !replica.sealed);
        open.map(|((_, source, _), replica)| (*source, replica.batches.clone()))
    }

    /// The owner has closed a block: it can be read from now on.
    ///
    /// # Errors
    /// The owner is lost.
    pub fn seal(&mut self, teller: &Teller, source: u32, block: u64) -> Result<Option<Sealed<C>>, OwnerLost> {
        let owner = self.may_tell(teller)?;
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
        *self.losses.entry(owner).or_default() += 1;
        let (mut report, mut sealed) = (BlocksReport::default(), Vec::new());
        let all = (owner, 0, 0)..=(owner, u32::MAX, u64::MAX);
        for ((_, source, sequence), mut replica) in self.blocks.extract_if(all, |_, _| true) {
            sealed.extend(replica.seal(BlockId::Input { source, sequence }));
            report.blocks.push(replica.reported(source, sequence));
        }
        (report, sealed)
    }

    /// The master has been told that these are held here, among others.
    pub fn told(&mut self, held: &[BlockId]) {
        for block in held {
            if let BlockId::Input { source, sequence } = *block
                && let Some(replica) = self.blocks.get_mut(&(receiver_of(sequence), source, sequence))
            {
                replica.told = true;
            }
        }
    }

    /// The owner has reported all up to `through`; of those it was right to hold the ones in `keep`, and the ones in `again` of
    /// which the master [was told](Self::told).
    pub fn settled(&mut self, source: u32, through: u64, keep: &[u64], again: &[u64]) -> Settled {
        let owner = receiver_of(through);
        let last = self.settled.entry((owner, source)).or_default();
        *last = through.max(*last);
        let range = (owner, source, 0)..=(owner, source, through);
        let mut settled = Settled::default();
        for ((_, source, sequence), replica) in self.blocks.extract_if(range, |_, _| true) {
            let is_kept = keep.contains(&sequence) || (replica.told && again.contains(&sequence));
            if is_kept || !replica.sealed {
                continue;
            }
            let block = BlockId::Input { source, sequence };
            if replica.told { &mut settled.counted_on } else { &mut settled.useless }.push(block);
        }
        settled
    }

    /// Of whom there are replicas.
    pub fn owners(&self) -> BTreeSet<WorkerId> {
        self.blocks.keys().map(|(owner, ..)| *owner).collect()
    }

    /// The master counts on these workers. One before may have taken some of them for lost.
    pub fn are_there(&mut self, workers: impl IntoIterator<Item = WorkerId>) {
        for worker in workers {
            self.lost.remove(&worker);
        }
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
        let teller = replicas.connected(OWNER);
        replicas.put(&teller, 0, named(0), batch(0)).unwrap();
        assert_eq!(replicas.seal(&teller, 0, named(0)), Ok(Some((id(0), vec![batch(0)]))));
        replicas.put(&teller, 0, named(1), batch(1)).unwrap();
        let (report, sealed) = replicas.report(OWNER);
        let numbers: Vec<_> = report.blocks.iter().map(|block| block.batches[0].sequence).collect();
        assert_eq!((numbers, sealed), (vec![0, 1], vec![(id(1), vec![batch(1)])]));
        assert!(replicas.put(&teller, 0, named(1), batch(2)).is_err(), "too late to count");
        assert!(replicas.report(OWNER).0.blocks.is_empty(), "reported once");
    }

    #[test]
    fn what_the_owner_reported_is_no_replica_any_more_and_what_it_renamed_goes() {
        let mut replicas = Replicas::default();
        let teller = replicas.connected(OWNER);
        for count in 0..3 {
            replicas.put(&teller, 0, named(count), batch(count)).unwrap();
            replicas.seal(&teller, 0, named(count)).unwrap();
        }
        assert!(replicas.awaits_report(0, named(1)));
        assert_eq!(replicas.settled(0, named(1), &[named(1)], &[]).useless, [id(0)]);
        assert!(!replicas.awaits_report(0, named(1)) && replicas.awaits_report(0, named(2)));
        let report = replicas.report(OWNER).0;
        let reported: Vec<u64> = report.blocks.iter().map(|block| block.sequence).collect();
        assert_eq!(reported, [named(2)]);
    }

    /// It would stay for ever: whoever has left has said all that it says of it.
    #[test]
    fn what_comes_after_the_owner_has_reported_it_comes_late() {
        let mut replicas = Replicas::default();
        let teller = replicas.connected(OWNER);
        replicas.settled(0, named(1), &[], &[]);
        replicas.put(&teller, 0, named(1), batch(1)).unwrap();
        assert_eq!(replicas.seal(&teller, 0, named(1)), Ok(None));
        replicas.put(&teller, 0, named(2), batch(2)).unwrap();
        assert!(!replicas.awaits_report(0, named(1)) && replicas.awaits_report(0, named(2)));
    }

    /// It would stay for ever: nobody would say that it can go.
    #[test]
    fn what_another_master_does_not_know_of_is_not_kept_for_it() {
        let mut replicas = Replicas::default();
        let teller = replicas.connected(OWNER);
        for count in 0..3 {
            replicas.put(&teller, 0, named(count), batch(count)).unwrap();
            replicas.seal(&teller, 0, named(count)).unwrap();
        }
        replicas.told(&[id(0), id(2)]);
        let settled = Settled { useless: vec![id(1)], counted_on: vec![id(2)] };
        assert_eq!(replicas.settled(0, named(2), &[], &[named(0), named(1)]), settled);
    }

    #[test]
    fn of_whom_another_master_counts_on_replicas_are_taken_again() {
        let mut replicas = Replicas::default();
        let teller = replicas.connected(OWNER);
        replicas.report(OWNER);
        assert_eq!(replicas.put(&teller, 0, named(0), batch(0)), Err(OwnerLost));
        replicas.are_there([OWNER]);
        let late = replicas.put(&teller, 0, named(0), batch(0));
        assert_eq!(late, Err(OwnerLost), "what comes by the connection from before");
        let teller = replicas.connected(OWNER);
        replicas.put(&teller, 0, named(0), batch(0)).unwrap();
        assert_eq!(replicas.owners(), BTreeSet::from([OWNER]));
    }
}
