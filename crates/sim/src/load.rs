//! How much of a core the scheduler takes when there are a thousand workers.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use cutwater_core::{
    BlockId, Command, Dataset, DatasetId, Event, JobId, OpId, Parent, PartitionMap, Scheduler, Split, Task,
    WorkerId, limits,
};

/// A cluster and its program: each interval, `maps` tasks read a received block each and write for `reduces`
/// tasks, which make their state from the state before.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many workers there are.
    pub workers: u32,
    /// How many tasks each runs at a time.
    pub slots: u32,
    /// Map tasks of an interval.
    pub maps: u32,
    /// Reduce tasks of an interval.
    pub reduces: u32,
    /// How many intervals are measured, of a second each.
    pub intervals: u64,
}

impl Default for Shape {
    /// A thousand workers with four slots, and four thousand tasks a second.
    fn default() -> Self {
        Self { workers: 1_000, slots: 4, maps: 2_000, reduces: 2_000, intervals: 20 }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Load {
    shape: Shape,
    /// Time that the scheduler took for each interval, of a second that it lasts.
    taken: Vec<Duration>,
    tasks: u64,
    moved: u64,
}

impl Load {
    /// The share of one core that the scheduler takes: the median of all intervals.
    pub fn share(&self) -> f64 {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        taken.get(taken.len() / 2).map_or(0.0, Duration::as_secs_f64)
    }

    /// The share of the interval that took least. Time is measured by the clock, so on a machine with other work
    /// this is nearer to what the scheduler needs.
    pub fn least(&self) -> f64 {
        self.taken.iter().min().map_or(0.0, Duration::as_secs_f64)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { workers, slots, maps, reduces, intervals } = self.shape;
        write!(
            f,
            "{{\"workers\": {workers}, \"slots\": {slots}, \"tasks_per_interval\": {}, \"intervals\": {intervals}, \
             \"tasks\": {}, \"moved_partitions\": {}, \"core_percent\": {:.1}, \
             \"core_percent_least\": {:.1}}}",
            maps + reduces,
            self.tasks,
            self.moved,
            100.0 * self.share(),
            100.0 * self.least(),
        )
    }
}

/// Runs intervals of the shape, in which every task ends as soon as it may, and measures the scheduler alone.
pub fn measure(shape: &Shape) -> Load {
    let mut cluster =
        Cluster { scheduler: Scheduler::new(), launched: VecDeque::new(), taken: Duration::ZERO, moved: 0 };
    for worker in 0..shape.workers {
        cluster.step(Event::WorkerJoined { worker: WorkerId(worker), slots: shape.slots });
    }
    let mut load = Load { shape: *shape, taken: Vec::new(), tasks: 0, moved: 0 };
    // Until each state is where it stays, it is not a steady state.
    let settling = 3;
    for interval in 0..settling + shape.intervals {
        (cluster.taken, cluster.moved) = (Duration::ZERO, 0);
        let tasks = cluster.interval(interval, shape);
        if interval >= settling {
            load.taken.push(cluster.taken);
            load.tasks += tasks;
            load.moved += cluster.moved;
        }
    }
    load
}

struct Cluster {
    scheduler: Scheduler,
    launched: VecDeque<(WorkerId, Task)>,
    taken: Duration,
    moved: u64,
}

impl Cluster {
    fn step(&mut self, event: Event) {
        let began = Instant::now();
        let commands = self.scheduler.step(event);
        self.taken += began.elapsed();
        for command in commands {
            if let Command::Launch { worker, task } = command {
                let moved =
                    task.remote.iter().filter(|(block, _)| matches!(block, BlockId::Partition { .. }));
                self.moved += moved.count() as u64;
                self.launched.push_back((worker, task));
            }
        }
    }

    /// One interval; answers how many tasks it had.
    fn interval(&mut self, interval: u64, shape: &Shape) -> u64 {
        let begins_ms = interval * 1_000;
        let [source, pieces, state] = datasets(interval, shape);
        let (pieces_id, state_id) = (pieces.id, state.id);
        for (n, block) in source.splits.iter().flat_map(|split| split.blocks.clone()).enumerate() {
            for copy in 0..limits::REPLICAS as u32 {
                let worker = WorkerId((2 * n as u32 + copy) % shape.workers);
                self.step(Event::BlocksHeld { worker, blocks: vec![block] });
            }
        }
        let blocks: Vec<BlockId> = source.splits.iter().flat_map(|split| split.blocks.clone()).collect();
        let released = (source.id, blocks);
        let all = [source, pieces, state].map(Arc::new).to_vec();
        self.step(Event::JobSubmitted { job: JobId(interval), datasets: all, target: state_id });
        let (mut tasks, mut stored) = (0, HashMap::new());
        while let Some((worker, task)) = self.launched.pop_front() {
            // All tasks of a stage take about as long, and the time passes while they do.
            let all_ms = if task.target == pieces_id { 300 } else { 600 };
            let now_ms = begins_ms + all_ms + tasks * 60 / u64::from(shape.maps + shape.reduces);
            self.step(Event::Clock { now_ms });
            let partition = task.attempt.partition;
            let made: Vec<BlockId> = if task.target == pieces_id {
                let piece = |reduce| BlockId::Piece { dataset: pieces_id, map: partition, reduce };
                (0..shape.reduces).map(piece).collect()
            } else {
                vec![BlockId::Partition { dataset: state_id, partition }]
            };
            stored.insert(task.attempt, worker);
            self.step(Event::TaskFinished {
                attempt: task.attempt,
                worker,
                stored: made,
                read: 100,
                combined: 0,
            });
            tasks += 1;
        }
        assert_eq!(stored.len() as u64, tasks, "each attempt ran once");
        // The state is safe, and so nothing of what is behind it is needed.
        self.step(Event::LineageCut { dataset: state_id });
        let mut forgotten = vec![pieces_id, released.0];
        forgotten.extend(interval.checked_sub(1).map(|before| DatasetId(before * 3 + 2)));
        self.step(Event::Forgotten { datasets: forgotten });
        self.step(Event::InputsReleased { blocks: released.1 });
        tasks
    }
}

fn datasets(interval: u64, shape: &Shape) -> [Dataset; 3] {
    let id = |n| DatasetId(interval * 3 + n);
    let dataset = |n, partitions, parents| Dataset {
        id: id(n),
        op: OpId(n),
        partitions,
        parents,
        splits: [].into(),
        shape: cutwater_core::Shape::Records,
        keep: false,
        label: "operator".into(),
    };
    let narrow = |dataset| Parent::Narrow { dataset, map: PartitionMap::Same };
    let block = |n| BlockId::Input { source: 0, sequence: interval * u64::from(shape.maps) + u64::from(n) };
    let splits = (0..shape.maps).map(|n| Split { blocks: vec![block(n)], ..Split::default() });
    let source = Dataset { splits: splits.collect(), ..dataset(0, shape.maps, Vec::new()) };
    let pieces = Dataset {
        shape: cutwater_core::Shape::Pieces(shape.reduces),
        ..dataset(1, shape.maps, vec![narrow(id(0))])
    };
    let mut parents = vec![Parent::Shuffle { dataset: id(1) }];
    parents.extend(interval.checked_sub(1).map(|before| narrow(DatasetId(before * 3 + 2))));
    [source, pieces, Dataset { keep: true, ..dataset(2, shape.reduces, parents) }]
}
