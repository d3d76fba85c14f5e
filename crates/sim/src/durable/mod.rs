//! What a master does beside running intervals, if there may be another after it: what `cutwater`'s does in its journal,
//! lease, resume and checkpointer, with the rules of `cutwater_core::progress`.
//!
//! # Layout, in the order in which a master does it
//! - `lease`: waits until no master runs the program, and says that it does.
//! - `claim`: an epoch, and the progress log.
//! - `workers`: those of the master before join it.
//! - `resume`: goes on where the program was.
//! - `journal`: writes down the input of an interval before it runs.
//! - `outputs`: commits an interval; writes manifests of states, and has the log say that they are held; removes what is not
//!   needed any more.

mod claim;
mod journal;
mod lease;
mod outputs;
mod resume;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cutwater_core::{
    BlockId, DatasetId, WorkerId, limits,
    progress::{Checkpoint, Claim, Entry, History, News, Writer},
    standing::Standing,
};

pub(crate) use outputs::MANIFESTS_HELD;

use crate::{
    network::{MasterId, Node},
    program::Made,
    simulation::{Plant, Simulation, What},
    store::{Answer, File, Folder, Lease, Manifest, Name, Object, Outputs, Request},
};

/// How far a master is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It looks at the lease.
    #[default]
    Standby,
    /// It is about to be master.
    Claiming,
    /// It is, and waits for the workers of the master before.
    TakingOver,
    /// It reads what was written down.
    Resuming,
    Running,
}

/// What a master knows that is in the store.
#[derive(Default)]
pub struct Durable {
    pub phase: Phase,
    /// Where it is reached: one that is started again is where the last was.
    pub place: u32,
    pub epoch: u64,
    /// How many masters there were before it.
    pub ordinal: u64,
    waiting: BTreeMap<u64, Purpose>,
    seen: Option<(Option<Lease>, u64)>,
    beat: u64,
    /// A lease is being written, which names these, and there is news for the next.
    naming: Option<BTreeSet<WorkerId>>,
    lease_news: bool,
    /// Whether it can be sure that there is no other, and when the lease that is being written was begun.
    standing: Standing,
    lease_begun_ms: u64,
    /// Workers that whoever takes over finds, whatever happens to this master.
    named: BTreeSet<WorkerId>,
    /// Those that want to join, and are here once the lease names them, with their slots and what they hold.
    pub entering: BTreeMap<WorkerId, (u32, Vec<BlockId>)>,
    claim: Option<Claim>,
    history: History,
    writer: Option<Writer>,
    /// The entries of the log.
    entries: Vec<(u64, Entry)>,
    news: VecDeque<(News, Option<Vec<(BlockId, u64)>>)>,
    writing: Option<Entry>,
    tries: u32,
    completed: u64,
    said: u64,
    /// Workers of the master before, and those of them that have not come.
    known: BTreeSet<WorkerId>,
    expected: BTreeSet<WorkerId>,
    not_coming: BTreeSet<WorkerId>,
    /// Those that are lost, to this master or to the one before: whoever takes over calls them too.
    pub lost: BTreeSet<WorkerId>,
    all_came: bool,
    /// What workers said that they hold, until it is known which of it is of use.
    reported: Vec<BlockId>,
    used: Option<BTreeSet<DatasetId>>,
    pub next_cut: u64,
    pub committing: Option<(u64, Outputs)>,
    /// The interval that is set aside as soon as the log says so.
    pub setting_aside: Option<u64>,
    /// Of intervals before that one it is written down what their kept datasets are called.
    named_until: Option<u64>,
    /// How many intervals the sink had when this master opened it.
    committed_before: u64,
    /// Those that the log calls held, the oldest first.
    pub manifests: Vec<Manifest>,
    /// One that is being written, or of which the log is yet to say so.
    unsaid: Option<Manifest>,
    /// Those that do not count, and what could not be removed: it goes with the next that go.
    spoiled: Vec<Name>,
    /// States that were written down, and under which names.
    pub files: BTreeMap<Made, (File, u32)>,
    /// Names of states that are in the store.
    listed: BTreeSet<File>,
}

/// Why something is asked of the store.
#[derive(Debug)]
enum Purpose {
    Look,
    See,
    ListEpochs,
    CreateEpoch(u64),
    ListEpochsAgain,
    ListLog,
    ReadLog(Vec<u64>),
    Claim,
    ReadTaken,
    FindEnd,
    FirstLease,
    ListLeasesBefore,
    ReadLeasesBefore,
    SecondLease,
    OpenSink,
    ListManifests,
    ReadManifests(Vec<Checkpoint>),
    ListStates,
    ReadInputs(Vec<(u64, u64)>),
    ListLeases,
    ReadLease,
    WriteLease,
    WriteInput(News),
    Append(Entry),
    ReadAppended(Entry),
    Commit { interval: u64, tries: u32 },
    WriteManifest,
    Remove(Vec<Name>),
    Nothing,
}

impl Simulation {
    /// Asks the store for something, on behalf of the master whose turn it is.
    fn ask(&mut self, purpose: Purpose, request: Request) {
        self.requests += 1;
        let nth = self.requests;
        self.master.durable.waiting.insert(nth, purpose);
        let spike = if self.dice.one_in(40) { self.dice.below(300) } else { 0 };
        let at_ms = self.now_ms + 1 + self.dice.below(8) + spike;
        self.at(at_ms, What::Asked(self.master.id, nth, request));
    }

    /// The request arrives at the store, whoever is alive by then.
    pub(crate) fn asked(&mut self, by: MasterId, nth: u64, request: Request) {
        let fails = self.faults_last && self.now_ms < self.store_fails_until_ms && self.dice.one_in(3);
        let is_done = !fails || self.dice.one_in(2);
        // A machine that went down while it wrote to its own disk.
        if self.crashed.contains(&by) && self.dice.one_in(2) {
            if let Request::Create(name, _) | Request::Put(name, _) = request {
                self.log.say(self.now_ms, format_args!("{by} leaves {name:?} torn"));
                self.store.tear(name);
            }
            return;
        }
        let answer = if is_done { self.do_in_store(by, request) } else { Answer::Failed };
        let answer = if fails { Answer::Failed } else { answer };
        let at_ms = self.now_ms + 1 + self.dice.below(8);
        self.at(at_ms, What::Answered(by, nth, answer));
    }

    fn do_in_store(&mut self, by: MasterId, request: Request) -> Answer {
        let careless = self.setting.careless();
        let noted = match &request {
            Request::Create(Name::Entry(at), Object::Entry(entry))
                if self.store.get(Name::Entry(*at)).is_none() =>
            {
                self.log.say(self.now_ms, format_args!("{by} writes entry {at}: {:?}", Shown(entry)));
                self.entry_is_there(*at, entry.clone())
            }
            Request::Open { epoch } => self.invariants.no_two_masters_commit.opens(*epoch),
            Request::Commit { epoch, interval, outputs }
                if self.store.would_commit(*epoch, *interval, careless) =>
            {
                self.log.say(self.now_ms, format_args!("{by} commits interval {interval}"));
                self.invariants.progress.interval_ended(self.now_ms);
                let by_whom = self.invariants.no_two_masters_commit.commits(*epoch, *interval);
                let (reference, program) = (&mut self.reference, &self.program);
                let is_right =
                    self.invariants.outputs.committed(*interval, outputs, reference, program, &self.aside);
                by_whom.and(is_right)
            }
            _ => Ok(()),
        };
        self.check(noted);
        let may_matter = match &request {
            Request::Delete(_) | Request::DeleteStates(_) => true,
            Request::Create(_, Object::Entry(entry)) => matches!(entry.news, News::Held { .. }),
            _ => false,
        };
        let answer = self.store.carry_out(request, careless);
        if may_matter {
            let name = |checkpoint: &Checkpoint| self.name_of_checkpoint(checkpoint);
            let checked = self.invariants.held.all_there(&self.store, name);
            self.check(checked);
        }
        answer
    }

    /// An entry of the log that was not there before is there: what it says of an interval is so from now on.
    fn entry_is_there(&mut self, position: u64, entry: Entry) -> Result<(), String> {
        let Entry { epoch, news, .. } = entry;
        let by_whom = match news {
            // It has to claim the log again.
            News::Claimed if self.store.last_entry() > Some(position) => Ok(()),
            News::Claimed => self.invariants.no_two_masters_commit.claims(epoch),
            _ => self.invariants.no_two_masters_commit.writes(epoch),
        };
        let (number, input) = match news {
            News::Interval { number, input, .. } => (number, input),
            News::Held { checkpoints } => {
                self.invariants.held.says(checkpoints);
                return by_whom;
            }
            News::SetAside { number } => {
                let is_failing = self.is_failing(number - 1);
                self.is_set_aside(number - 1);
                return by_whom.and(is_failing);
            }
            News::Claimed | News::Completed => return by_whom,
        };
        let interval = number - 1;
        let sources = journal::understood(&input).sources;
        let known = self.invariants.inputs.recorded(interval, &sources);
        let counted = self.is_counted(interval, &sources);
        if interval == self.reference.intervals() {
            let name = Name::Input { interval, epoch: self.named_by(epoch) };
            let contents: BTreeMap<BlockId, u64> = match self.store.get(name) {
                Some(Object::Input(contents)) => contents.iter().copied().collect(),
                _ => BTreeMap::new(),
            };
            let parts = self.clients.parts(&sources);
            let holding = |block: &BlockId| contents.get(block).or(parts.get(block)).copied().unwrap_or(0);
            self.reference.take(&self.program, &sources, holding);
        }
        by_whom.and(known).and(counted)
    }

    /// The epoch that is in the name of an object, unless those of all masters have one name.
    fn named_by(&self, epoch: u64) -> u64 {
        if self.setting.plant == Some(Plant::OneNameForAll) { 0 } else { epoch }
    }

    /// What the manifest of a checkpoint is called.
    fn name_of_checkpoint(&self, checkpoint: &Checkpoint) -> Name {
        Name::Manifest { interval: checkpoint.number - 1, epoch: self.named_by(checkpoint.epoch) }
    }

    /// The answer of the store to the master whose turn it is.
    pub(crate) fn answered(&mut self, nth: u64, answer: Answer) {
        let Some(purpose) = self.master.durable.waiting.remove(&nth) else { return };
        match (purpose, answer) {
            (Purpose::Look, answer) => self.looked(answer),
            (Purpose::See, answer) => self.saw(answer),
            (Purpose::ListEpochs, Answer::Names(names)) => self.listed_epochs(&names),
            (Purpose::CreateEpoch(epoch), Answer::Created(created)) => self.created_epoch(epoch, created),
            (Purpose::ListEpochsAgain, Answer::Names(names)) => self.listed_epochs_again(&names),
            (Purpose::ListLog, Answer::Names(names)) => self.listed_log(&names),
            (Purpose::ReadLog(positions), Answer::Found(found)) => self.read_log(&positions, found),
            (Purpose::Claim, Answer::Created(created)) => self.created_claim(created),
            (Purpose::ReadTaken, Answer::Found(found)) => self.read_taken(found),
            (Purpose::FindEnd, Answer::Names(names)) => self.found_end(&names),
            (Purpose::FirstLease, Answer::Done) => {
                self.ask(Purpose::ListLeasesBefore, Request::List(Folder::Leases));
            }
            (Purpose::ListLeasesBefore, Answer::Names(names)) => {
                self.ask(Purpose::ReadLeasesBefore, Request::Get(names));
            }
            (Purpose::ReadLeasesBefore, Answer::Found(found)) => self.read_leases_before(found),
            (Purpose::SecondLease, Answer::Done) => self.call_workers(),
            (Purpose::OpenSink, Answer::Opened(committed)) => self.opened_sink(committed),
            (Purpose::ListManifests, Answer::Names(names)) => self.listed_manifests(names),
            (Purpose::ReadManifests(held), Answer::Found(found)) => self.read_manifests(&held, found),
            (Purpose::ListStates, Answer::States(states)) => self.listed_states(states),
            (Purpose::ReadInputs(intervals), Answer::Found(found)) => self.read_inputs(&intervals, found),
            (Purpose::ListLeases, answer) => self.listed_leases(answer),
            (Purpose::ReadLease, answer) => self.read_lease(answer),
            (Purpose::WriteLease, answer) => self.wrote_lease(&answer),
            (Purpose::WriteInput(news), answer) => self.wrote_input(news, &answer),
            (Purpose::Append(entry), answer) => self.appended(entry, &answer),
            (Purpose::ReadAppended(entry), answer) => self.read_appended(&entry, answer),
            (Purpose::Commit { interval, tries }, answer) => self.committed(interval, tries, &answer),
            (Purpose::WriteManifest, answer) => self.wrote_manifest(&answer),
            (Purpose::Remove(names), answer) => self.removed(names, &answer),
            (Purpose::Nothing, _) => {}
            (_, Answer::Fenced) => self.master_ends("has been overtaken"),
            (purpose, answer) => {
                self.log.say(self.now_ms, format_args!("{purpose:?}: {answer:?}"));
                self.master_ends("cannot begin");
            }
        }
    }

    /// The process of the master whose turn it is ends, and with it its connections; another one is started in its place.
    pub(crate) fn master_ends(&mut self, why: &str) {
        let (me, place) = (self.master.id, self.master.durable.place);
        if self.ended.contains(&me) {
            return;
        }
        self.log.say(self.now_ms, format_args!("{me} {why}"));
        self.ended.insert(me);
        let workers: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| worker.master == Some(me)).map(|(id, _)| *id).collect();
        for id in workers {
            self.send(Node::Master(me), Node::Worker(id), What::Ended(me, id));
        }
        let later_ms = self.now_ms + self.dice.between(100..3_000);
        self.at(later_ms, What::StartMaster(place));
    }

    /// A process that is to be master, or to wait until it can be.
    pub(crate) fn start_master(&mut self, place: u32) {
        let id = MasterId(self.next_master);
        self.next_master += 1;
        self.log.say(self.now_ms, format_args!("{id} is started"));
        let durable = Durable { place, ..Durable::default() };
        self.masters.insert(id, crate::master::Master::new(id, durable, self.program.clients));
        self.at(self.now_ms, What::Look(id));
    }

    /// The master that a new worker joins: whoever runs the program, as far as can be seen.
    pub(crate) fn master_to_join(&self) -> Option<MasterId> {
        let all = self.masters.values().chain([&self.master]);
        let open = all
            .filter(|master| master.durable.phase >= Phase::TakingOver && !self.ended.contains(&master.id));
        open.max_by_key(|master| master.durable.epoch).map(|master| master.id)
    }

    /// Another try of something that failed for reasons outside, if there may be one.
    fn may_try_again(&mut self) -> bool {
        self.master.durable.tries += 1;
        self.master.durable.tries < limits::SINK_ATTEMPTS_MAX
    }
}

/// An entry in a few words.
struct Shown<'a>(&'a Entry);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Entry { epoch, completed, news } = self.0;
        match news {
            News::Interval { number, .. } => {
                write!(f, "epoch {epoch}, interval {number}, {completed} completed")
            }
            other => write!(f, "epoch {epoch}, {other:?}, {completed} completed"),
        }
    }
}
