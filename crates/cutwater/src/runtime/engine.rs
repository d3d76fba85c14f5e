use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Sender, unbounded};
use cutwater_core::{BlockId, DatasetId, Event, JobId, WorkerId, limits};

use super::{
    master::{Master, ToMaster},
    worker,
};
use crate::{
    block::{Block, BlockStore},
    error::Error,
    shared::Accumulators,
    task::{Finding, Step},
};

/// A master and its embedded worker, joined by channels.
///
/// Properties:
/// - datasets hold it, and it lives until the last of them is gone;
/// - it names datasets, jobs and received blocks;
/// - a thread that asks for a job waits here; the master's own thread never waits for anyone.
///
/// Any thread may call it. If the process dies, everything in it is gone; a run starts anew.
pub(crate) struct Engine {
    to_master: Sender<ToMaster>,
    blocks: Arc<BlockStore>,
    slots: u32,
    /// Partitions of a dataset that nobody gave a number, if the program chose one.
    parallelism: Option<u32>,
    key_groups: u32,
    next_dataset: AtomicU64,
    next_job: AtomicU64,
    next_source: AtomicU32,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the master's thread writes for the driver to read.
#[derive(Default)]
pub(super) struct Shared {
    /// Which partitions of each kept dataset are stored. Two tasks may both have stored the same one, so
    /// a count would say too much.
    pub stored: Mutex<HashMap<DatasetId, HashSet<u32>>>,
    /// What tasks found since the driver last asked.
    pub findings: Mutex<Vec<(DatasetId, Finding)>>,
    pub accumulators: Accumulators,
}

/// The worker inside this process.
const EMBEDDED: WorkerId = WorkerId(0);

impl Engine {
    /// Starts the threads: one for the master and `threads` to compute, which run every task `twice` if
    /// the program is to be tested for determinism. `parallelism` is how many partitions there are where
    /// nobody says otherwise, if that is not as many as there are threads.
    pub fn start(threads: usize, parallelism: Option<u32>, twice: bool) -> Result<Arc<Self>, Error> {
        let threads = threads.max(1);
        // Neither channel needs a bound of its own: to a worker go at most as many tasks as it has
        // slots, and to the master what those answer and what waiting threads ask.
        let (to_master, events) = unbounded();
        let (to_worker, work) = unbounded();
        let blocks = Arc::new(BlockStore::default());
        let shared = Arc::new(Shared::default());
        let mut handles = worker::start(EMBEDDED, threads, &work, &to_master, &blocks, twice)?;
        let master = Master::new(to_worker, shared.clone());
        handles.push(worker::spawn("cutwater-master", move || master.run(&events))?);
        let slots = u32::try_from(threads).unwrap_or(u32::MAX);
        let engine = Self {
            to_master,
            blocks,
            slots,
            parallelism,
            key_groups: limits::KEY_GROUPS,
            next_dataset: AtomicU64::new(0),
            next_job: AtomicU64::new(0),
            next_source: AtomicU32::new(0),
            shared,
            threads: Mutex::new(handles),
        };
        engine.tell(Event::WorkerJoined { worker: EMBEDDED, slots });
        Ok(Arc::new(engine))
    }

    /// The default number of partitions: as many as tasks can run at once, unless the program chose.
    pub fn parallelism(&self) -> u32 {
        self.parallelism.unwrap_or(self.slots)
    }

    /// The default number of partitions if the program chose one.
    pub fn chosen_parallelism(&self) -> Option<u32> {
        self.parallelism
    }

    pub fn key_groups(&self) -> u32 {
        self.key_groups
    }

    pub fn new_dataset(&self) -> DatasetId {
        DatasetId(self.next_dataset.fetch_add(1, Ordering::Relaxed))
    }

    pub fn new_source(&self) -> u32 {
        self.next_source.fetch_add(1, Ordering::Relaxed)
    }

    /// Holds records that came from outside under a name.
    pub fn hold(&self, id: BlockId, block: Block) {
        self.blocks.put(id, block);
        self.tell(Event::BlocksHeld { worker: EMBEDDED, blocks: vec![id] });
    }

    /// Lets the scheduler know. The engine outlives its threads only while it is being dropped,
    /// and then nobody needs to know.
    pub fn tell(&self, event: Event) {
        let _ = self.to_master.send(ToMaster::Event(event));
    }

    /// Computes every partition of `target` and waits for their records, one block a partition.
    pub fn compute(&self, target: DatasetId, steps: Vec<Step>) -> Result<Vec<Block>, Error> {
        let job = JobId(self.next_job.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = crossbeam_channel::bounded(1);
        let submit = ToMaster::Submit { job, target, steps, reply };
        self.to_master.send(submit).map_err(|_| Error::stopped())?;
        let blocks = answer.recv().map_err(|_| Error::stopped())?.map_err(Error::from);
        // What tasks added counts even if the job failed in the end.
        let settled = self.shared.accumulators.settle();
        let blocks = blocks?;
        settled.map(|()| blocks)
    }

    pub fn accumulators(&self) -> &Accumulators {
        &self.shared.accumulators
    }

    /// Whether all `partitions` of a kept dataset are stored, so that what is behind them may go.
    pub fn is_stored(&self, dataset: DatasetId, partitions: u32) -> bool {
        let stored = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.get(&dataset).map_or(0, HashSet::len) >= partitions as usize
    }

    /// What tasks found since the last call, each thing once.
    pub fn take_findings(&self) -> Vec<(DatasetId, Finding)> {
        std::mem::take(&mut *self.shared.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.to_master.send(ToMaster::Shutdown);
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has said so; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}
