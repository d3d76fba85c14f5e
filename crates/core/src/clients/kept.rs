use crate::{BlockId, WorkerId, id::input_sequence};

use super::{BatchReport, Own, Replicas};

/// What a worker that is lost to its master had received and is in no block that can be read: what it had not reported itself,
/// and what others had it hold in blocks that were open.
///
/// It comes back under another name, with all that it holds. Blocks that can be read keep their names, since whoever holds a
/// block of a name holds the same. What is in this is put into blocks of the new name: under the old ones others may have
/// reported a part of it. What of it is counted elsewhere is left out, as whatever a client sends again.
///
/// If the process dies, it is gone, as all that the worker holds.
#[derive(Debug)]
pub struct Kept<C>(Vec<(u32, Vec<(BatchReport, C)>)>);

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: Clone> Kept<C> {
    /// What is in these.
    pub fn of(own: &Own<C>, replicas: &Replicas<C>) -> Self {
        Self(own.unreported().chain(replicas.open()).collect())
    }

    /// The worker comes as `me`, and tells of all that it holds as it would [another master](Own::begin_anew). Answers also with
    /// blocks that can be read from now on.
    ///
    /// ```
    /// use cutwater_core::{ClientId, WorkerId, clients::{BatchReport, Kept, Own, Replicas}};
    ///
    /// let (mut replicas, owner) = (Replicas::default(), WorkerId(4));
    /// let batch = BatchReport { client: ClientId(7), sequence: 0, records: 10, bytes: 4 };
    /// let teller = replicas.connected(owner);
    /// replicas.put(&teller, 0, 1, (batch, "data"))?;
    /// let kept = Kept::of(&Own::new(WorkerId(5)), &replicas);
    /// let (_own, blocks) = kept.named(WorkerId(6));
    /// assert_eq!(blocks[0].1, [(batch, "data")]);
    /// # Ok::<(), cutwater_core::clients::OwnerLost>(())
    /// ```
    pub fn named(self, me: WorkerId) -> (Own<C>, Vec<(BlockId, Vec<(BatchReport, C)>)>) {
        let count = self.0.len() as u64;
        let named = |(count, (source, batches))| {
            (BlockId::Input { source, sequence: input_sequence(me, count) }, batches)
        };
        let blocks = (0..).zip(self.0).map(named).collect();
        let mut own = Own::new(me).naming_from(count);
        own.begin_anew();
        (own, blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientId,
        clients::{Held, Holder, Receive},
        id::receiver_of,
    };

    fn batch(sequence: u64) -> BatchReport {
        BatchReport { client: ClientId(1), sequence, records: 1, bytes: 4 }
    }

    /// Under the old names others may have reported a part of it; and what was closed can be read under its own.
    #[test]
    fn what_nobody_can_read_yet_comes_along_under_new_names() {
        let (me, other, again) = (WorkerId(1), WorkerId(2), WorkerId(3));
        let receive = Receive::new(0, "s", 100, 1_000);
        let (mut own, mut replicas) = (Own::new(me), Replicas::default());
        own.receive(receive.clone());
        own.put(0, batch(0), "mine", 0).unwrap();
        let teller = replicas.connected(other);
        for (block, sequence) in [(5, 1), (6, 2)] {
            replicas.put(&teller, 0, input_sequence(other, block), (batch(sequence), "theirs")).unwrap();
        }
        replicas.seal(&teller, 0, input_sequence(other, 5)).unwrap();
        let (mut own, blocks) = Kept::of(&own, &replicas).named(again);
        let names: Vec<WorkerId> = blocks.iter().map(|(id, _)| receiver_of(sequence_of(id))).collect();
        let contents: Vec<_> = blocks.iter().map(|(_, batches)| batches.clone()).collect();
        assert_eq!(names, [again, again]);
        assert_eq!(contents, [vec![(batch(0), "mine")], vec![(batch(2), "theirs")]]);
        // It tells of all that it holds, and has other names for what it receives.
        own.receive(receive);
        own.hand_to(Holder::Alone);
        own.put(0, batch(3), "mine", 0).unwrap();
        own.request(1, 0);
        let ready = own.ready(|_, only| {
            assert!(only.is_none(), "of all");
            Held::default()
        });
        let name = ready[0].blocks[0].0;
        assert!(blocks.iter().all(|(known, _)| *known != name));
    }

    fn sequence_of(id: &BlockId) -> u64 {
        match id {
            BlockId::Input { sequence, .. } => *sequence,
            other => panic!("{other}"),
        }
    }
}
