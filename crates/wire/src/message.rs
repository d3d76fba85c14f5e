//! What master and workers tell each other, and workers among themselves.
//!
//! Messages that are ready at the same time share a frame: a frame of the control connection holds a
//! list of them.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use cutwater_core::{
    Attempt, BlockId, ClientId, DatasetId, Located, OpId, StageId, Task, TaskError, WorkerId,
};
use serde::{Deserialize, Serialize};

use crate::{
    client::{BlocksReport, Receive},
    compression::Compression,
    handshake::ExecutableHash,
    names::Blocks,
    plan::{OperatorDef, StageDef, Template},
};

/// How a process introduces itself where connections are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Introduction {
    /// To the master: a worker that wants to join.
    Worker {
        /// What it runs.
        executable: ExecutableHash,
        /// How many tasks it runs at a time.
        slots: u32,
        /// How much memory its machine has, in bytes; 0 if it cannot tell.
        memory_bytes: u64,
        /// Where other workers reach it: a port, and a host if it is not the one it comes from.
        data_address: String,
        /// Its clock in milliseconds since 1970, to be compared with the master's.
        clock_ms: i64,
        /// What the last master called it, and that master's epoch. If it is called otherwise then, it is lost to this one and
        /// to the other workers: it is to come again as a new one, with what it holds.
        was: Option<(WorkerId, u64)>,
    },
    /// To a worker: a master that has taken the program over, and wants the worker to join it.
    Takeover {
        /// What it runs.
        executable: ExecutableHash,
        /// Larger than that of the master that the worker has.
        epoch: u64,
        /// Where to join.
        master: String,
    },
    /// To either: somebody who wants to know whether it answers, and nothing else.
    Probe,
    /// To a worker: another one, or the master, that reads blocks.
    Reader {
        /// What it runs.
        executable: ExecutableHash,
    },
    /// To a worker: another one, of whose received records it is to hold replicas.
    Receiver {
        /// What it runs.
        executable: ExecutableHash,
        /// Who it is.
        worker: WorkerId,
    },
    /// To a worker: a client, which has records for a source. To the master: one that asks for the workers.
    Client {
        /// Its name.
        client: ClientId,
        /// The source's name.
        source: String,
    },
}

/// What a worker learns when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its name.
    pub worker: WorkerId,
    /// What the program is called.
    pub program: String,
    /// Whether every task is run twice and compared.
    pub run_twice: bool,
    /// Whether blocks are compressed for other workers.
    pub compression: Compression,
    /// Counts the masters of the program; 0 if nothing of it is written down.
    pub epoch: u64,
}

/// From the master to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// An operator that stages to come refer to.
    Operator(OperatorDef),
    /// No stage will refer to these again.
    ForgetOperators(Vec<OpId>),
    /// A template that stages to come fill in.
    Template(u32, Template),
    /// No stage will fill in any of the templates so far.
    ForgetTemplates,
    /// A stage of which tasks follow.
    Stage(StageDef),
    /// No task of this stage will follow.
    RetireStage(StageId),
    /// Where other workers are, before the first task that reads from them.
    Peers(Vec<(WorkerId, String)>),
    /// Where the pieces of a shuffle are, before the first task that reads them. It adds to what was said of
    /// the shuffle before, and replaces it where it speaks of the same map partitions.
    Locate(DatasetId, Arc<[Located]>),
    /// Tasks that read these partitions of a shuffle will probably come: what is located of it by now may be
    /// fetched ahead.
    Ahead(DatasetId, Vec<Range<u32>>),
    /// No task will read from these shuffles again.
    ForgetShuffles(Vec<DatasetId>),
    /// A task to run now.
    Run(Task),
    /// The result of this attempt does not matter any longer: it stops at the next records, and is reported
    /// all the same.
    Cancel(Attempt),
    /// A block to hold, and to say so.
    Hold(BlockId, Bytes),
    /// Blocks of that worker to hold too, and to say so.
    Copy(WorkerId, Vec<Blocks>),
    /// Nobody will read these blocks again.
    Drop(Vec<Blocks>),
    /// Take records from clients for a source, or take them otherwise than before.
    Receive(Receive),
    /// Close the blocks of a source and report them, as answer to a request of this number. They are the
    /// next interval's.
    ReportBlocks(u64, u32),
    /// This worker is lost. Report the replicas of blocks of it, as answer to a request of this number, and
    /// take no more from it.
    ReportReplicas(u64, WorkerId),
    /// Of the replicas of blocks of a source, from the worker that is in this number and up to it, those listed are
    /// needed and no others.
    Settled {
        /// The source.
        source: u32,
        /// The last block's number. In it is who received them.
        through: u64,
        /// The blocks that are needed.
        keep: Vec<u64>,
        /// Those that are needed if the master was told that they are held here.
        again: Vec<u64>,
    },
    /// Make the block of this source and number from batches that are held in others, and say that it is held.
    Make(u32, u64, Vec<(ClientId, u64)>),
    /// Nothing: the master is alive.
    Ping,
    /// The program is over, or the worker wanted to leave and may; it ends.
    Stop,
}

/// From a worker to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToMaster {
    /// An attempt has ended.
    Ran(Attempt, Result<Ran, TaskError>),
    /// A block that was sent is held.
    Held(BlockId),
    /// Blocks that were to be copied are held, all of them.
    Copied(Vec<Blocks>),
    /// Blocks that were to be copied could not be had.
    NotCopied(Vec<Blocks>),
    /// The worker wants to leave, and goes on until it is told that it may.
    Draining,
    /// What the worker's clock says, in milliseconds since 1970.
    Clock(i64),
    /// The answer to a request for blocks.
    Reported(u64, BlocksReport),
    /// Blocks that it holds, from when it worked for another master. It says so first: before that it is not here.
    Holds(Vec<Blocks>),
    /// What attempts that run have read up to now, in records.
    Read(Vec<(Attempt, u64)>),
    /// Nothing: the worker is alive.
    Ping,
}

/// What an attempt left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Blocks that the worker has stored.
    pub stored: Vec<Blocks>,
    /// The records of the partition, if the job wants them.
    pub result: Option<Bytes>,
    /// What was found on the way, encoded.
    pub findings: Vec<u8>,
    /// How many records it read, as far as that is counted.
    pub read: u64,
    /// How many were left of them when they were combined for a shuffle.
    pub combined: u64,
    /// How many bytes of blocks were brought from other processes for it.
    pub fetched_bytes: u64,
}

/// From a reader to the worker that holds blocks: these, in this order. The answer is as many
/// [`Fetched`](crate::fetched::Fetched) as it takes, each followed by what it announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch(pub Vec<Blocks>);

#[cfg(test)]
mod tests {
    use cutwater_core::DatasetId;
    use proptest::prelude::*;

    use super::*;
    use crate::fetched::Fetched;

    #[test]
    fn messages_survive_the_journey() {
        let attempt = Attempt { stage: StageId(1), partition: 2, number: 3 };
        let piece = BlockId::Piece { dataset: DatasetId(4), map: 5, reduce: 6 };
        let task = Task {
            attempt,
            target: DatasetId(7),
            remote: vec![(BlockId::Partition { dataset: DatasetId(9), partition: 2 }, WorkerId(8))],
            pieces: vec![(DatasetId(4), 2..3)],
        };
        let told = vec![
            ToWorker::Run(task.clone()),
            ToWorker::Hold(piece, vec![9; 100].into()),
            ToWorker::Drop(Blocks::short(&[piece])),
            ToWorker::Locate(DatasetId(4), Located::runs([(0, WorkerId(8)), (1, WorkerId(8))]).into()),
            ToWorker::Ahead(DatasetId(4), vec![0..2, 5..6]),
            ToWorker::Peers(vec![(WorkerId(0), "127.0.0.1:1".to_owned())]),
        ];
        let bytes = postcard::to_allocvec(&told).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<ToWorker>>(&bytes).unwrap(), told);
        let bytes = postcard::to_allocvec(&task).unwrap();
        assert!(bytes.len() < 20, "a task is tens of bytes: {}", bytes.len());
    }

    /// However many partitions a shuffle has on either side: the largest numbers there are make a task no
    /// longer than this. What grows is said once to each worker, and by who holds what, not by pieces.
    #[test]
    fn a_task_is_tens_of_bytes_whatever_the_shuffle() {
        let (last, dataset) = (u32::MAX - 1, DatasetId(u64::MAX));
        let task = Task {
            attempt: Attempt { stage: StageId(u64::MAX), partition: last, number: last },
            target: dataset,
            remote: vec![(BlockId::Partition { dataset, partition: last }, WorkerId(last))],
            pieces: vec![(dataset, last..u32::MAX)],
        };
        assert!(postcard::to_allocvec(&ToWorker::Run(task)).unwrap().len() < 80);
        let holders = (0..4000).map(|map| (map, WorkerId(map / 4)));
        let said = ToWorker::Locate(DatasetId(4), Located::runs(holders).into());
        assert!(postcard::to_allocvec(&said).unwrap().len() < 6000);
    }

    /// Which block, and of whom: the scheduler answers it differently from all other failures, so it may never
    /// become a text on the way.
    #[test]
    fn failure_2_a_fetch_failure_keeps_its_type_on_the_way() {
        let attempt = Attempt { stage: StageId(1), partition: 2, number: 3 };
        let block = BlockId::Piece { dataset: DatasetId(4), map: 5, reduce: 6 };
        let failed = TaskError::FetchFailed { block, worker: WorkerId(7) };
        let told = vec![ToMaster::Ran(attempt, Err(failed.clone()))];
        let bytes = postcard::to_allocvec(&told).unwrap();
        let heard: Vec<ToMaster> = postcard::from_bytes(&bytes).unwrap();
        assert!(matches!(&heard[..], [ToMaster::Ran(a, Err(e))] if *a == attempt && *e == failed));
    }

    proptest! {
        /// Whatever arrives is a message or an error: no panic, and no memory for what is only announced.
        #[test]
        fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = postcard::from_bytes::<Vec<ToWorker>>(&bytes);
            let _ = postcard::from_bytes::<Vec<ToMaster>>(&bytes);
            let _ = postcard::from_bytes::<Introduction>(&bytes);
            let _ = postcard::from_bytes::<Fetch>(&bytes);
            let _ = postcard::from_bytes::<Fetched>(&bytes);
        }

        /// The same for messages of which a little is changed, which get further.
        #[test]
        fn damage_is_an_error(at in 0..200_usize, to: u8) {
            let datasets = (0..20).map(DatasetId).collect();
            let stage = StageDef { id: StageId(0), template: 0, datasets, shuffles: vec![], splits: vec![] };
            let mut bytes = postcard::to_allocvec(&vec![ToWorker::Stage(stage), ToWorker::Ping]).unwrap();
            let place = at % bytes.len();
            bytes[place] = to;
            let _ = postcard::from_bytes::<Vec<ToWorker>>(&bytes);
        }
    }
}
