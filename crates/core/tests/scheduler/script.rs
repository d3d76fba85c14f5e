//! Small words for events, datasets and commands, so that a test reads as a story.

use std::{collections::HashMap, sync::Arc};

use cutwater_core::{
    Attempt, BlockId, Command, Dataset, DatasetId, Event, JobId, OpId, Parent, PartitionMap, Scheduler,
    Shape, Split, StageId, Task, TaskError, Whereabouts, WorkerId,
};

/// A scheduler and what was said to it.
#[derive(Default)]
pub struct Script {
    scheduler: Scheduler,
    /// What was said of where pieces are. A test reads better if each task says it.
    located: HashMap<DatasetId, Whereabouts>,
    /// What was let go since somebody looked last.
    let_go: Vec<u64>,
    now_ms: u64,
}

impl Script {
    /// A scheduler that these workers have joined, each with its number of slots.
    pub fn with_workers(workers: &[(u32, u32)]) -> Self {
        let mut script = Self::default();
        for (worker, slots) in workers {
            script.joins(*worker, *slots, &[]);
        }
        script
    }

    /// The same with a scheduler that copies no tasks.
    pub fn without_speculation(workers: &[(u32, u32)]) -> Self {
        let mut script = Self::with_workers(workers);
        script.scheduler = std::mem::take(&mut script.scheduler).speculate(false);
        script
    }

    #[track_caller]
    pub fn expect(&mut self, event: Event, expected: &[&str]) {
        let shown = format!("{event:?}");
        let commands = self.scheduler.step(event);
        let given: Vec<String> = commands.iter().filter_map(|command| self.show(command)).collect();
        assert_eq!(given, expected, "after {shown}");
    }

    #[track_caller]
    pub fn joins(&mut self, worker: u32, slots: u32, commands: &[&str]) {
        self.expect(Event::WorkerJoined { worker: WorkerId(worker), slots }, commands);
    }

    #[track_caller]
    pub fn is_lost(&mut self, worker: u32, commands: &[&str]) {
        self.expect(Event::WorkerLost { worker: WorkerId(worker) }, commands);
    }

    #[track_caller]
    pub fn drains(&mut self, worker: u32, commands: &[&str]) {
        self.expect(Event::WorkerDraining { worker: WorkerId(worker) }, commands);
    }

    #[track_caller]
    pub fn is_asked(&mut self, worker: u32, commands: &[&str]) {
        self.expect(Event::WorkerAsked { worker: WorkerId(worker) }, commands);
    }

    #[track_caller]
    pub fn copied(&mut self, worker: u32, blocks: &[BlockId], commands: &[&str]) {
        self.expect(Event::BlocksCopied { worker: WorkerId(worker), blocks: blocks.to_vec() }, commands);
    }

    #[track_caller]
    pub fn cannot_copy(&mut self, worker: u32, blocks: &[BlockId], commands: &[&str]) {
        self.expect(Event::CopyFailed { worker: WorkerId(worker), blocks: blocks.to_vec() }, commands);
    }

    #[track_caller]
    pub fn releases(&mut self, blocks: &[BlockId], commands: &[&str]) {
        self.expect(Event::InputsReleased { blocks: blocks.to_vec() }, commands);
    }

    /// So many milliseconds pass.
    #[track_caller]
    pub fn passes(&mut self, ms: u64, commands: &[&str]) {
        self.now_ms += ms;
        self.expect(Event::Clock { now_ms: self.now_ms }, commands);
    }

    #[track_caller]
    pub fn holds(&mut self, worker: u32, blocks: &[BlockId], commands: &[&str]) {
        self.expect(Event::BlocksHeld { worker: WorkerId(worker), blocks: blocks.to_vec() }, commands);
    }

    #[track_caller]
    pub fn holders_are_known(&mut self, commands: &[&str]) {
        self.expect(Event::HoldersKnown, commands);
    }

    #[track_caller]
    pub fn submit(&mut self, job: u64, datasets: &[Dataset], target: u64, commands: &[&str]) {
        let datasets = datasets.iter().cloned().map(Arc::new).collect();
        self.expect(Event::JobSubmitted { job: JobId(job), datasets, target: DatasetId(target) }, commands);
    }

    /// Jobs to come will read the pieces of `targets`.
    #[track_caller]
    pub fn expects(&mut self, number: u64, datasets: &[Dataset], targets: &[u64], commands: &[&str]) {
        let datasets = datasets.iter().cloned().map(Arc::new).collect();
        self.expect(Event::Described { datasets }, &[]);
        let targets = targets.iter().map(|id| DatasetId(*id)).collect();
        self.expect(Event::Expected { urgency: JobId::ahead(number), targets }, commands);
    }

    /// What is to be done then, where its text does not say enough.
    pub fn done(&mut self, event: Event) -> Vec<Command> {
        self.scheduler.step(event)
    }

    /// The same for a job.
    pub fn submitted(&mut self, job: u64, datasets: &[Dataset], target: u64) -> Vec<Command> {
        let datasets = datasets.iter().cloned().map(Arc::new).collect();
        self.scheduler.step(Event::JobSubmitted { job: JobId(job), datasets, target: DatasetId(target) })
    }

    #[track_caller]
    pub fn cancel(&mut self, job: u64, commands: &[&str]) {
        self.expect(Event::JobCancelled { job: JobId(job) }, commands);
    }

    /// Stage, partition and number of an attempt, and what it stored.
    #[track_caller]
    pub fn finishes(&mut self, worker: u32, attempt: (u64, u32, u32), stored: &[BlockId], commands: &[&str]) {
        let (worker, stored) = (WorkerId(worker), stored.to_vec());
        let event = Event::TaskFinished { attempt: named(attempt), worker, stored, read: 0, combined: 0 };
        self.expect(event, commands);
    }

    /// An attempt that runs has read so much.
    #[track_caller]
    pub fn reads(&mut self, worker: u32, attempt: (u64, u32, u32), read: u64) {
        self.expect(Event::TasksRead { worker: WorkerId(worker), read: vec![(named(attempt), read)] }, &[]);
    }

    /// The same, having read so many records.
    #[track_caller]
    pub fn finishes_after(&mut self, worker: u32, attempt: (u64, u32, u32), read: u64, commands: &[&str]) {
        let event = Event::TaskFinished {
            attempt: named(attempt),
            worker: WorkerId(worker),
            stored: Vec::new(),
            read,
            combined: 0,
        };
        self.expect(event, commands);
    }

    /// The same for one that has combined what it read for a shuffle, and left a tenth of it.
    #[track_caller]
    pub fn combines(&mut self, worker: u32, attempt: (u64, u32, u32), stored: &[BlockId], commands: &[&str]) {
        let (worker, stored) = (WorkerId(worker), stored.to_vec());
        let event = Event::TaskFinished { attempt: named(attempt), worker, stored, read: 100, combined: 10 };
        self.expect(event, commands);
    }

    /// The same, and answers with what is to be done then.
    pub fn said(&mut self, worker: u32, attempt: (u64, u32, u32), stored: &[BlockId]) -> Vec<String> {
        let (worker, stored) = (WorkerId(worker), stored.to_vec());
        let event = Event::TaskFinished { attempt: named(attempt), worker, stored, read: 0, combined: 0 };
        let commands = self.scheduler.step(event);
        commands.iter().filter_map(|command| self.show(command)).collect()
    }

    #[track_caller]
    pub fn fails(&mut self, worker: u32, attempt: (u64, u32, u32), error: TaskError, commands: &[&str]) {
        self.expect(Event::TaskFailed { attempt: named(attempt), worker: WorkerId(worker), error }, commands);
    }

    #[track_caller]
    pub fn forget(&mut self, datasets: &[u64], commands: &[&str]) {
        self.expect(
            Event::Forgotten { datasets: datasets.iter().map(|id| DatasetId(*id)).collect() },
            commands,
        );
    }

    /// How many blocks the scheduler remembers as being copied, or to be.
    pub fn copies(&self) -> usize {
        self.scheduler.size().copies
    }

    /// What was let go since this was asked last.
    pub fn let_go(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.let_go)
    }

    fn show(&mut self, command: &Command) -> Option<String> {
        let list = |blocks: &[BlockId]| blocks.iter().map(|block| format!(" {block}")).collect::<String>();
        Some(match command {
            Command::DefineStage { id, stage } => format!("define {id} for {}", stage.target),
            Command::RetireStage { id } => format!("retire {id}"),
            Command::Locate { shuffle, located } => {
                self.located.entry(*shuffle).or_default().note(located).expect("there are not so many");
                return None;
            }
            Command::Launch { worker, task } => {
                let remote: String = self.remote(*worker, task).map(|read| format!(" {read}")).collect();
                format!("{worker} runs {}{remote}", task.attempt)
            }
            Command::FetchAhead { worker, shuffle, reduces } => {
                let located: Vec<_> = self.located[shuffle].iter().collect();
                let maps = located.iter().filter(|(_, holder)| holder != worker);
                let maps: Vec<String> = maps.map(|(map, holder)| format!("{map}@{holder}")).collect();
                let reduces: Vec<u32> = reduces.iter().cloned().flatten().collect();
                format!("{worker} may fetch {shuffle}[{}→{reduces:?}]", maps.join(" "))
            }
            Command::CancelAttempt { worker, attempt } => format!("{worker} cancels {attempt}"),
            Command::AcceptResult { job, partition, attempt } => format!("{job}[{partition}] is {attempt}"),
            Command::JobFinished { job } => format!("{job} finished"),
            Command::JobFailed { job, error } => format!("{job} failed: {error}"),
            Command::DropBlocks { worker, blocks } => format!("{worker} drops{}", list(blocks)),
            Command::LetGo { datasets } => {
                self.let_go.extend(datasets.iter().map(|id| id.0));
                return None;
            }
            Command::CopyBlocks { from, to, blocks } => format!("{to} copies from {from}{}", list(blocks)),
            Command::ReleaseWorker { worker } => format!("{worker} may leave"),
            Command::NoWorkers => "no workers".to_owned(),
        })
    }

    /// What the task reads from other workers, each block with who is asked for it.
    fn remote(&self, worker: WorkerId, task: &Task) -> impl Iterator<Item = String> {
        let whole = task.remote.iter().map(|(block, holder)| format!("{block}@{holder}"));
        let pieces = task.pieces.iter().flat_map(move |(dataset, reduces)| {
            let located: Vec<_> = self.located.get(dataset).iter().flat_map(|pieces| pieces.iter()).collect();
            reduces.clone().flat_map(move |reduce| {
                let elsewhere = located.clone().into_iter().filter(move |(_, holder)| *holder != worker);
                elsewhere.map(move |(map, holder)| {
                    format!("{}@{holder}", BlockId::Piece { dataset: *dataset, map, reduce })
                })
            })
        });
        whole.chain(pieces)
    }
}

fn named((stage, partition, number): (u64, u32, u32)) -> Attempt {
    Attempt { stage: StageId(stage), partition, number }
}

/// A dataset without parents that reads nothing held by workers.
pub fn source(id: u64, partitions: u32) -> Dataset {
    Dataset {
        id: DatasetId(id),
        op: OpId(id),
        partitions,
        parents: Vec::new(),
        splits: vec![Split::default(); partitions as usize].into(),
        shape: Shape::Records,
        keep: false,
        label: format!("operator {id}").into(),
    }
}

/// A source whose partition `i` reads the received block `i`.
pub fn received(id: u64, partitions: u32) -> Dataset {
    let split = |i| Split { blocks: vec![input(i)], ..Split::default() };
    Dataset { splits: (0..partitions.into()).map(split).collect(), ..source(id, partitions) }
}

/// A dataset made from those parents.
pub fn made(id: u64, partitions: u32, parents: Vec<Parent>) -> Dataset {
    Dataset { parents, splits: [].into(), ..source(id, partitions) }
}

/// Partition by partition from one parent.
pub fn mapped(id: u64, partitions: u32, parent: u64) -> Dataset {
    made(id, partitions, vec![narrow(parent, PartitionMap::Same)])
}

/// Splits the parent into this many pieces a partition.
pub fn split(id: u64, partitions: u32, parent: u64, pieces: u32) -> Dataset {
    Dataset { shape: Shape::Pieces(pieces), ..mapped(id, partitions, parent) }
}

/// Reads the pieces of one dataset.
pub fn reduced(id: u64, partitions: u32, parent: u64) -> Dataset {
    made(id, partitions, vec![shuffle(parent)])
}

/// The same dataset, kept.
pub fn kept(dataset: Dataset) -> Dataset {
    Dataset { keep: true, ..dataset }
}

pub fn narrow(parent: u64, map: PartitionMap) -> Parent {
    Parent::Narrow { dataset: DatasetId(parent), map }
}

pub fn shuffle(parent: u64) -> Parent {
    Parent::Shuffle { dataset: DatasetId(parent) }
}

/// The usual two stages: source 1, split 2 (both with `maps` partitions), reduced 3.
pub fn two_stages(maps: u32, reduces: u32) -> [Dataset; 3] {
    [source(1, maps), split(2, maps, 1, reduces), reduced(3, reduces, 2)]
}

pub fn input(sequence: u64) -> BlockId {
    BlockId::Input { source: 0, sequence }
}

pub fn part(dataset: u64, partition: u32) -> BlockId {
    BlockId::Partition { dataset: DatasetId(dataset), partition }
}

pub fn piece(dataset: u64, map: u32, reduce: u32) -> BlockId {
    BlockId::Piece { dataset: DatasetId(dataset), map, reduce }
}

pub fn external() -> TaskError {
    TaskError::External { operator: "read".into(), message: "disk on fire".into() }
}

pub fn user() -> TaskError {
    TaskError::User { operator: "map".into(), message: "division by zero".into() }
}

pub fn unreadable(block: BlockId, worker: u32) -> TaskError {
    TaskError::FetchFailed { block, worker: WorkerId(worker) }
}
