use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{
    DatasetId, WorkerId,
    progress::{Checkpoint, Entry},
};

use crate::{dice::Dice, network::MasterId, program::Made};

/// An object store: what was written whole stays, whatever dies. A write may fail, and one that fails may leave
/// the beginning of an object behind.
///
/// Properties:
/// - one of those that create an object of a name succeeds, the others find it there;
/// - what is done to it is done at one moment, some time after it was asked for and before the answer: whoever asked may
///   be gone by either;
/// - beside its objects there is a sink in it, which does what `cutwater`'s sinks must: an interval is committed whole and
///   once, by a master that no later one has opened the sink after.
#[derive(Debug, Default)]
pub struct Store {
    /// Partitions of states: a value and whether all of it is there, which a checksum tells.
    states: BTreeMap<(File, u32), (u64, bool)>,
    objects: BTreeMap<Name, Object>,
    sink: Sink,
}

/// The name under which a state was written, which no other master writes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub epoch: u64,
    pub dataset: DatasetId,
}

/// The name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Lease(u64),
    Epoch(u64),
    Entry(u64),
    /// What a master has received itself of the input of an interval.
    Input {
        interval: u64,
        epoch: u64,
    },
    Manifest {
        interval: u64,
        epoch: u64,
    },
}

/// Names that are listed together.
#[derive(Clone, Copy, Debug)]
pub enum Folder {
    Leases,
    Epochs,
    Log,
    Manifests,
}

/// What is in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Lease(Lease),
    Nothing,
    Entry(Entry),
    Input(Vec<(cutwater_core::BlockId, u64)>),
    Manifest(Manifest),
    /// Only the beginning is there: its checksum is wrong.
    Torn,
}

/// Which master runs the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub epoch: u64,
    /// Counts how often it was written.
    pub beat: u64,
    pub process: MasterId,
    /// Nobody is named as long as the master has not looked whom the one before had last.
    pub workers: Option<BTreeSet<WorkerId>>,
    /// Those that count as lost. They may be there all the same, with what nobody else holds.
    pub lost: BTreeSet<WorkerId>,
}

/// The states of one moment, each with the name that it is written under and the number of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub interval: u64,
    pub epoch: u64,
    pub states: BTreeMap<Made, (File, u32)>,
}

impl Manifest {
    /// What the log calls it.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { number: self.interval + 1, epoch: self.epoch }
    }
}

/// What a master asks for.
#[derive(Clone, Debug)]
pub enum Request {
    List(Folder),
    /// The names of all states that were written, or begun.
    ListStates,
    Get(Vec<Name>),
    Create(Name, Object),
    Put(Name, Object),
    Delete(Vec<Name>),
    DeleteStates(Vec<File>),
    /// The master of that epoch begins to commit.
    Open {
        epoch: u64,
    },
    /// Of each dataset that is wanted of an interval, all its partitions.
    Commit {
        epoch: u64,
        interval: u64,
        outputs: Outputs,
    },
}

/// What there is of an interval, dataset by dataset and partition by partition.
pub type Outputs = BTreeMap<Made, BTreeMap<u32, u64>>;

/// What the store says.
#[derive(Clone, Debug)]
pub enum Answer {
    Names(Vec<Name>),
    States(BTreeSet<File>),
    Found(Vec<Option<Object>>),
    /// Whether none was there.
    Created(bool),
    Done,
    /// How many intervals are committed.
    Opened(u64),
    Fenced,
    /// It was done, or it was not.
    Failed,
}

#[derive(Debug, Default)]
struct Sink {
    epoch: u64,
    committed: u64,
}

/// What the sink leaves out, so that an invariant has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Careless {
    /// It commits for any master.
    NoEpochs,
    /// It commits an interval as often as it is told to.
    Repeats,
}

impl Store {
    /// Writes a partition of a state, or fails.
    pub fn write(&mut self, id: File, partition: u32, value: u64, dice: &mut Dice, fails: bool) -> bool {
        if fails && dice.one_in(4) {
            if dice.one_in(2) {
                // What was whole stays: objects are replaced by whole ones only.
                self.states.entry((id, partition)).or_insert((value >> 32, false));
            }
            return false;
        }
        self.states.insert((id, partition), (value, true));
        true
    }

    /// A partition of a state. Nothing if it is torn or missing.
    pub fn read(&self, id: File, partition: u32) -> Option<u64> {
        let (value, whole) = self.states.get(&(id, partition))?;
        whole.then_some(*value)
    }

    /// Does what was asked for.
    pub fn carry_out(&mut self, request: Request, careless: Option<Careless>) -> Answer {
        match request {
            Request::List(folder) => {
                let of = |name: &&Name| match folder {
                    Folder::Leases => matches!(name, Name::Lease(_)),
                    Folder::Epochs => matches!(name, Name::Epoch(_)),
                    Folder::Log => matches!(name, Name::Entry(_)),
                    Folder::Manifests => matches!(name, Name::Manifest { .. }),
                };
                Answer::Names(self.objects.keys().filter(of).copied().collect())
            }
            Request::ListStates => Answer::States(self.states.keys().map(|(id, _)| *id).collect()),
            Request::Get(names) => {
                Answer::Found(names.iter().map(|name| self.objects.get(name).cloned()).collect())
            }
            Request::Create(name, object) => {
                let is_new = !self.objects.contains_key(&name);
                if is_new {
                    self.objects.insert(name, object);
                }
                Answer::Created(is_new)
            }
            Request::Put(name, object) => {
                self.objects.insert(name, object);
                Answer::Done
            }
            Request::Delete(names) => {
                names.iter().for_each(|name| drop(self.objects.remove(name)));
                Answer::Done
            }
            Request::DeleteStates(ids) => {
                self.states.retain(|(id, _), _| !ids.contains(id));
                Answer::Done
            }
            Request::Open { epoch } if epoch < self.sink.epoch && careless.is_none() => Answer::Fenced,
            Request::Open { epoch } => {
                self.sink.epoch = epoch.max(self.sink.epoch);
                Answer::Opened(self.sink.committed)
            }
            Request::Commit { epoch, .. }
                if epoch < self.sink.epoch && careless != Some(Careless::NoEpochs) =>
            {
                Answer::Fenced
            }
            Request::Commit { interval, .. } => {
                self.sink.committed = self.sink.committed.max(interval + 1);
                Answer::Done
            }
        }
    }

    /// Whether a commit that is asked for makes anything visible.
    pub fn would_commit(&self, epoch: u64, interval: u64, careless: Option<Careless>) -> bool {
        let may = epoch >= self.sink.epoch || careless == Some(Careless::NoEpochs);
        may && (interval >= self.sink.committed || careless == Some(Careless::Repeats))
    }

    /// The beginning of an object is left, where nothing was.
    pub fn tear(&mut self, name: Name) {
        self.objects.entry(name).or_insert(Object::Torn);
    }

    /// What the object is, if there is one.
    pub fn get(&self, name: Name) -> Option<&Object> {
        self.objects.get(&name)
    }

    /// Whether whoever takes over next finds a worker that has that name, or had it.
    pub fn lease_names(&self, id: WorkerId) -> bool {
        let mut leases = self.objects.range(Name::Lease(0)..=Name::Lease(u64::MAX)).rev();
        let readable = leases.find_map(|(_, object)| match object {
            Object::Lease(lease) => lease.workers.as_ref().map(|workers| (workers, &lease.lost)),
            _ => None,
        });
        readable.is_some_and(|(workers, lost)| workers.contains(&id) || lost.contains(&id))
    }

    /// How many intervals are committed.
    pub fn committed(&self) -> u64 {
        self.sink.committed
    }

    /// The place of the last entry of the log.
    pub fn last_entry(&self) -> Option<u64> {
        let of_log = |name: &Name| if let Name::Entry(position) = name { Some(*position) } else { None };
        self.objects
            .range(Name::Entry(0)..=Name::Entry(u64::MAX))
            .next_back()
            .and_then(|(name, _)| of_log(name))
    }

    /// How many objects there are, states aside.
    pub fn len(&self) -> usize {
        self.objects.len()
    }
}
