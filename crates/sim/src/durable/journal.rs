//! The progress log, as it is written.

use cutwater_core::{
    BlockId, DatasetId, Split, Time,
    counted::Counted,
    limits,
    progress::{Entry, News, Outcome},
};
use serde::{Deserialize, Serialize};

use super::{Purpose, claim::number_of};
use crate::{
    description::blocks_of,
    program::Made,
    simulation::{INTERVAL_MS, Plant, Simulation, What},
    store::{Answer, Name, Object, Request},
};

/// The input of an interval as it is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Input {
    /// What each source gave.
    pub sources: Vec<Vec<Split>>,
    /// What the kept datasets of intervals that are over are called: workers may still hold them when another master takes
    /// over.
    pub kept: Vec<(u64, DatasetId)>,
    /// Which batches of clients are counted by then.
    pub counted: Counted,
}

/// What was written down of an interval.
pub(super) fn understood(input: &[u8]) -> Input {
    postcard::from_bytes(input).unwrap_or_default()
}

impl Simulation {
    /// Has the input of an interval written down.
    pub(crate) fn record(&mut self, interval: u64) {
        let sources = self.master.received.get(&interval).cloned().unwrap_or_default();
        let named = |what: Made| Some((what.0, self.master.described.get(what)?.id));
        // Of one that is not over it is not known: it may yet be set aside.
        let over = self.master.first_open;
        let unnamed = self.master.durable.named_until.unwrap_or(over.saturating_sub(1))..over;
        let kept = unnamed.flat_map(|t| self.program.kept(t)).filter_map(named).collect();
        self.master.durable.named_until = Some(over);
        let content = |block: &BlockId| Some((*block, *self.master.own.get(block)?));
        let contents = blocks_of(&sources).filter_map(content).collect();
        let counted = self.master.clients.counted.clone();
        // What consists of numbers can be encoded.
        let input = postcard::to_allocvec(&Input { sources, kept, counted }).unwrap_or_default();
        let time = Time::from_ms(((interval + 1) * INTERVAL_MS) as i64);
        let news = News::Interval { number: interval + 1, time, input };
        match self.setting.plant {
            Some(Plant::RunsUnrecorded) => self.may_run(interval),
            _ => self.tell_journal(news, Some(contents)),
        }
    }

    pub(super) fn tell_journal(&mut self, news: News, contents: Option<Vec<(BlockId, u64)>>) {
        self.master.durable.news.push_back((news, contents));
        self.write_on();
    }

    /// Writes the next entry, if none is being written.
    fn write_on(&mut self) {
        if self.master.durable.writing.is_some() {
            return;
        }
        let Some((news, contents)) = self.master.durable.news.pop_front() else { return };
        if let News::SetAside { number } = news {
            self.master.durable.completed = number;
        }
        let Some(writer) = &self.master.durable.writer else { return };
        let entry = writer.entry(self.master.durable.completed, news);
        self.master.durable.tries = 0;
        self.master.durable.writing = Some(entry.clone());
        match (contents, number_of(&entry)) {
            (Some(contents), Some(number)) => {
                let name = Name::Input { interval: number - 1, epoch: self.named_by(entry.epoch) };
                self.ask(Purpose::WriteInput(entry.news), Request::Put(name, Object::Input(contents)));
            }
            _ => self.append(entry),
        }
    }

    pub(super) fn wrote_input(&mut self, news: News, answer: &Answer) {
        let Some(writer) = &self.master.durable.writer else { return };
        let entry = writer.entry(self.master.durable.completed, news);
        match answer {
            Answer::Done => self.append(entry),
            _ => self.master_is_over("cannot write its log"),
        }
    }

    fn append(&mut self, entry: Entry) {
        let Some(writer) = &self.master.durable.writer else { return };
        let name = Name::Entry(writer.position());
        self.master.durable.writing = Some(entry.clone());
        self.ask(Purpose::Append(entry.clone()), Request::Create(name, Object::Entry(entry)));
    }

    pub(super) fn appended(&mut self, entry: Entry, answer: &Answer) {
        let Some(writer) = &mut self.master.durable.writer else { return };
        match answer {
            Answer::Created(true) => {
                writer.written();
                self.is_written(&entry);
            }
            Answer::Created(false) => {
                let name = Name::Entry(writer.position());
                self.ask(Purpose::ReadAppended(entry), Request::Get(vec![name]));
            }
            // Whether it was written or not, it can be tried again.
            _ if self.may_try_again() => self.append(entry),
            _ => self.master_is_over("cannot write its log"),
        }
    }

    pub(super) fn read_appended(&mut self, entry: &Entry, answer: Answer) {
        let found = if let Answer::Found(found) = answer { found.into_iter().next().flatten() } else { None };
        let Some(Object::Entry(found)) = found else { return self.master_is_over("finds its place torn") };
        let Some(writer) = &mut self.master.durable.writer else { return };
        match writer.taken_by(entry, &found) {
            Outcome::Written => self.is_written(entry),
            Outcome::Again | Outcome::Fenced if self.setting.plant == Some(Plant::SkipsTheFence) => {
                writer.written();
                self.append(entry.clone());
            }
            Outcome::Again | Outcome::Fenced => self.master_is_over("finds its place in the log taken"),
        }
    }

    fn is_written(&mut self, entry: &Entry) {
        let durable = &mut self.master.durable;
        let Some(writer) = &durable.writer else { return };
        durable.entries.push((writer.position() - 1, entry.clone()));
        durable.said = entry.completed;
        durable.writing = None;
        match entry.news {
            News::Interval { number, .. } => self.may_run(number - 1),
            News::Held { .. } => self.is_held_now(),
            News::SetAside { number } => self.said_aside(number - 1),
            News::Claimed | News::Completed => {}
        }
        self.write_on();
    }

    /// An interval is completed: the next entry will say so, or one of its own if none comes.
    pub(super) fn completed(&mut self, interval: u64) {
        self.master.durable.completed = interval + 1;
        self.at(self.now_ms + limits::JOURNAL_LINGER_MS, What::Linger(self.master.id));
    }

    pub(crate) fn linger(&mut self) {
        let durable = &self.master.durable;
        if durable.writing.is_none() && durable.said < durable.completed {
            self.tell_journal(News::Completed, None);
        }
    }

    /// No restart needs anything from before this interval. From the oldest on, so that what is left has no gap.
    pub(super) fn remove_entries_before(&mut self, interval: u64) {
        let durable = &mut self.master.durable;
        // The newest entry tells who has the log and how far it is.
        let newest = durable.entries.len().saturating_sub(1);
        let removes_claims = self.setting.plant == Some(Plant::RemovesClaims);
        let is_old = |entry: &Entry| entry.may_be_removed(interval + 1) || entry.news == News::Claimed;
        let old = durable.entries[..newest].iter().take_while(|(_, entry)| is_old(entry)).count();
        let removed: Vec<_> = durable.entries.drain(..old).collect();
        for (position, entry) in removed {
            if !entry.may_be_removed(interval + 1) && !removes_claims {
                continue;
            }
            if self.setting.plant == Some(Plant::KeepsOldEntries) {
                continue;
            }
            let name = |number| Name::Input { interval: number - 1, epoch: self.named_by(entry.epoch) };
            let input = number_of(&entry).map(name);
            let names = [Name::Entry(position)].into_iter().chain(input).collect();
            self.remove(names);
        }
    }
}
