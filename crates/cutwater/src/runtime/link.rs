use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, Weak},
};

use crossbeam_channel::Sender;
use cutwater_core::{
    Attempt, BlockId, Dataset, DatasetId, Located, OpId, Stage, StageId, Task, TaskError, WorkerId,
    clients::Say, limits,
};
use cutwater_wire::{
    message::ToWorker,
    names::Blocks,
    plan::{StageDef, Template},
};
use tokio::sync::mpsc::UnboundedSender;

use super::{receive::Inbox, worker::Work};
use crate::{
    block::BlockStore,
    task::{AnySpec, Attempts, Fetched, Plan},
};

/// How the master reaches a worker.
///
/// Properties:
/// - neither kind ever makes the master wait: a message is put into a queue;
/// - the queues need no bound of their own, since a worker is sent as many tasks as it has slots and a few hints
///   for each shuffle, and blocks to hold are bounded where they are received.
///
/// Only the master's thread touches it. If the process dies, the worker notices and ends.
pub(crate) enum Link {
    /// In this process, with the attempts that it was sent and what clients have sent it.
    Here { work: Sender<Work>, attempts: Arc<Attempts>, inbox: Arc<Inbox> },
    /// In another.
    Away(Box<Away>),
    /// None, but blocks that this process holds and others may read.
    Holder(Arc<BlockStore>),
}

/// A stage of which tasks are running, as links need it.
pub(crate) struct Defined {
    pub stage: Arc<Stage>,
    pub plan: Arc<Plan>,
}

impl Link {
    /// Has a task run. It fails if what the task needs cannot travel.
    pub fn run(&mut self, defined: &Defined, located: &LocatedShuffles, task: Task) -> Result<(), TaskError> {
        match self {
            // It may be gone already: then its loss is on the way to us.
            Self::Here { work, attempts, .. } => {
                let (plan, control) = (defined.plan.clone(), attempts.begin(task.attempt));
                let _ = work.send(Work::Run { plan, task, fetched: Fetched::new(), control });
            }
            Self::Away(away) => {
                away.define(defined, task.attempt.stage)?;
                task.pieces.iter().for_each(|(shuffle, _)| away.locate(located, *shuffle));
                away.tell(ToWorker::Run(task));
            }
            Self::Holder(_) => {
                return Err(TaskError::Internal(format!("{} was sent to who runs no tasks", task.attempt)));
            }
        }
        Ok(())
    }

    /// Lets it fetch what is located of a shuffle, for tasks that it will probably be sent. In this process nothing
    /// has to be fetched.
    pub fn fetch_ahead(&mut self, located: &LocatedShuffles, shuffle: DatasetId, reduces: Vec<Range<u32>>) {
        if let Self::Away(away) = self {
            away.locate(located, shuffle);
            away.tell(ToWorker::Ahead(shuffle, reduces));
        }
    }

    pub fn drop_blocks(&mut self, blocks: Vec<BlockId>) {
        match self {
            Self::Here { work, .. } => {
                let _ = work.send(Work::Drop(blocks));
            }
            Self::Away(away) => away.tell(ToWorker::Drop(Blocks::short(&blocks))),
            Self::Holder(store) => store.remove(&blocks),
        }
    }

    /// Has an attempt stop.
    pub fn cancel(&self, attempt: Attempt) {
        match self {
            Self::Here { attempts, .. } => attempts.cancel(attempt),
            Self::Away(away) => away.tell(ToWorker::Cancel(attempt)),
            Self::Holder(_) => {}
        }
    }

    /// Whether a worker is at the other end.
    pub fn is_worker(&self) -> bool {
        !matches!(self, Self::Holder(_))
    }

    /// The stage is another now: it is described once more before the next of its tasks. Those that run have what
    /// they need.
    pub fn redefine(&mut self, stage: StageId) {
        if let Self::Away(away) = self {
            away.stages.remove(&stage);
        }
    }

    pub fn retire(&mut self, stage: StageId) {
        if let Self::Away(away) = self
            && away.stages.remove(&stage)
        {
            away.tell(ToWorker::RetireStage(stage));
        }
    }

    /// Nobody will read from these shuffles again.
    pub fn forget_shuffles(&mut self, shuffles: &[DatasetId]) {
        if let Self::Away(away) = self {
            let mut known = shuffles.to_vec();
            known.retain(|shuffle| away.located.remove(shuffle).is_some());
            if !known.is_empty() {
                away.tell(ToWorker::ForgetShuffles(known));
            }
        }
    }

    /// Says what concerns records of clients.
    pub fn say(&self, what: Say) {
        match (self, what) {
            (Self::Here { inbox, .. }, Say::Receive(receive)) => inbox.receive(receive),
            (Self::Here { inbox, .. }, Say::ReportBlocks { request, source }) => {
                inbox.report(request, source);
            }
            (Self::Here { inbox, .. }, Say::ReportReplicas { request, lost }) => {
                inbox.report_replicas(request, lost);
            }
            (Self::Away(away), what) => away.tell(match what {
                Say::Receive(receive) => ToWorker::Receive(receive),
                Say::ReportBlocks { request, source } => ToWorker::ReportBlocks(request, source),
                Say::ReportReplicas { request, lost } => ToWorker::ReportReplicas(request, lost),
                Say::Settled { source, through, keep, again } => {
                    ToWorker::Settled { source, through, keep, again }
                }
                Say::Make { source, sequence, batches } => ToWorker::Make(source, sequence, batches),
            }),
            // Who is alone holds no replicas, and does not come back.
            (Self::Here { .. }, Say::Settled { .. } | Say::Make { .. }) | (Self::Holder(_), _) => {}
        }
    }

    /// Says to a worker in another process what only those are told.
    pub fn tell_away(&self, message: ToWorker) {
        if let Self::Away(away) = self {
            away.tell(message);
        }
    }
}

/// A worker in another process, and what it has been told.
pub(crate) struct Away {
    to: UnboundedSender<ToWorker>,
    /// Operators it knows. Once nobody can refer to one any more, it is told to forget it.
    operators: HashMap<OpId, Weak<AnySpec>>,
    templates: HashMap<Template, u32>,
    stages: HashSet<StageId>,
    /// How much of what there is to say about each shuffle has been said.
    located: HashMap<DatasetId, usize>,
}

/// What the scheduler has said about where the pieces of shuffles are, in order.
pub(super) type LocatedShuffles = HashMap<DatasetId, Vec<Arc<[Located]>>>;

impl Away {
    pub fn new(to: UnboundedSender<ToWorker>) -> Self {
        let (operators, templates, stages, located) = Default::default();
        Self { to, operators, templates, stages, located }
    }

    fn tell(&self, message: ToWorker) {
        // It may be gone already: then its loss is on the way to us.
        let _ = self.to.send(message);
    }

    /// Describes the stage, unless that was done: operators and template only if they are new.
    fn define(&mut self, defined: &Defined, id: StageId) -> Result<(), TaskError> {
        if self.stages.contains(&id) {
            return Ok(());
        }
        let stage = &*defined.stage;
        let (template, specs) = defined.plan.template(stage);
        for spec in specs {
            if !self.operators.contains_key(&spec.id) {
                self.tell(ToWorker::Operator(spec.to_def()?));
                self.forget_dead_operators();
                self.operators.insert(spec.id, Arc::downgrade(&spec));
            }
        }
        let template = self.template(template);
        let splits = (0..).zip(&stage.datasets).filter(|(_, dataset)| !dataset.splits.is_empty());
        self.tell(ToWorker::Stage(StageDef {
            id,
            template,
            datasets: stage.datasets.iter().map(|dataset| dataset.id).collect(),
            shuffles: stage.shuffles.clone(),
            splits: splits.map(|(at, dataset): (u32, &Arc<Dataset>)| (at, dataset.splits.clone())).collect(),
        }));
        self.stages.insert(id);
        Ok(())
    }

    /// Says where the pieces of a shuffle are, as far as that was not said before.
    fn locate(&mut self, located: &LocatedShuffles, shuffle: DatasetId) {
        let all = located.get(&shuffle).map_or(&[][..], Vec::as_slice);
        let said = self.located.entry(shuffle).or_default();
        let news = all.get(*said..).unwrap_or_default();
        *said = all.len();
        for located in news {
            self.tell(ToWorker::Locate(shuffle, located.clone()));
        }
    }

    fn template(&mut self, template: Template) -> u32 {
        if let Some(known) = self.templates.get(&template) {
            return *known;
        }
        if self.templates.len() >= limits::TEMPLATES_MAX {
            self.templates.clear();
            self.tell(ToWorker::ForgetTemplates);
        }
        // At most `TEMPLATES_MAX`, so nothing is cut off.
        let id = self.templates.len() as u32;
        self.tell(ToWorker::Template(id, template.clone()));
        self.templates.insert(template, id);
        id
    }

    /// Looks through the operators each time they have doubled, so that each costs little.
    fn forget_dead_operators(&mut self) {
        if self.operators.len() < 64 || !self.operators.len().is_power_of_two() {
            return;
        }
        let dead = self.operators.extract_if(|_, spec| spec.strong_count() == 0);
        let dead: Vec<OpId> = dead.map(|(id, _)| id).collect();
        if !dead.is_empty() {
            self.tell(ToWorker::ForgetOperators(dead));
        }
    }
}

/// Where workers in other processes serve their blocks.
pub(super) type Addresses = std::collections::BTreeMap<WorkerId, String>;
