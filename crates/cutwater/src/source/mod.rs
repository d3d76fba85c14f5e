//! Where records come from.
//!
//! A *received* source (socket, HTTP, channel, generator) has a thread that puts records into an
//! [`Intake`]; at the end of an interval what is there becomes its blocks. A *replayable* source
//! (files) reads when the interval is cut and copies nothing it need not. What clients send is received by
//! workers, two of which hold each record before it is acknowledged; the driver has only names of blocks. Either way the input of an
//! interval is fixed before the interval runs.
//!
//! Records are in the interval in which they arrive, or, with [event time](SourceBuilder::event_time) and
//! where files are replayed, in the one in which they happened. What the silence of a source means is
//! its [`Standing`].
//!
//! Every source has a bound on what an interval takes from it, from the first interval on; behind it
//! senders wait. What an interval took, deferred, dropped and could not understand is in its
//! [report](crate::SourceReport), and what becomes of the latter is the [`ErrorPolicy`].
//!
//! | source | kind | interval bounded by | offsets of malformed records |
//! |---|---|---|---|
//! | [`channel`](SourceBuilder::channel), [`rate`](SourceBuilder::rate) | received | records | none |
//! | [`socket_lines`](SourceBuilder::socket_lines), [`listen_lines`](SourceBuilder::listen_lines) | received | records, bytes | in the connection |
//! | [`http_json`](SourceBuilder::http_json) | received | records, bytes | in the answer |
//! | [`client_lines`](SourceBuilder::client_lines), [`client_json`](SourceBuilder::client_json) | received by workers | records, bytes | in the batch |
//! | [`tail`](SourceBuilder::tail) | received | records, bytes | in the file |
//! | [`queue`](SourceBuilder::queue) | datasets of the program's own | nothing | none |
//! | [`watch_folder`](SourceBuilder::watch_folder) | replayable | bytes | in the file |
//! | [`watch_folder_records`](SourceBuilder::watch_folder_records) | replayable | bytes | in the file |
//! | [`replay`](SourceBuilder::replay) | replayable | records, bytes | in the text of the file |
//! | [`text_files`](SourceBuilder::text_files) | replayable | its own range of bytes | in the file |
//! | [`receiver`](SourceBuilder::receiver) | received | records, bytes | what it says |

mod builder;
mod channel;
mod clients;
mod dating;
mod decode;
mod files;
mod folder;
mod holder;
mod http;
mod intake;
mod lines;
mod listen;
mod malformed;
mod outage;
mod pace;
mod queue;
mod rate;
mod received;
mod replay;
mod socket;
mod standing;
mod tail;

pub use builder::SourceBuilder;
pub use channel::{ChannelSender, TrySendError};
pub use dating::{ByArrival, ByEventTime, Dating};
pub(crate) use holder::Holder;
pub use intake::{Intake, Stopped};
pub(crate) use malformed::OnMalformed;
pub use malformed::{DeadLetter, DeadLetters, ErrorPolicy, Malformed};
pub(crate) use pace::Processed;
pub use queue::DatasetQueue;
use received::Received;
pub use received::Receiver;
pub use standing::Standing;
pub(crate) use standing::StandingAt;

use cutwater_core::{BlockId, DatasetId, Split, Time};
use serde::{Deserialize, Serialize};

use crate::{error::Error, task::Finding};

/// A source as the loop over intervals sees it.
///
/// The driver's thread is the only one to call it.
pub(crate) trait Input: Send {
    /// What it is called in reports.
    fn name(&self) -> &str;

    /// Everything that can be known to be wrong before the start.
    fn faults(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// For a source that lives in the time of its records: the time of the first. Asked once,
    /// before the start.
    fn first_time(&mut self) -> Result<Option<Time>, Error> {
        Ok(None)
    }

    /// Begins to receive.
    fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Fixes what interval (from, to] consists of and gives it to the source's stream.
    fn cut(&mut self, from: Time, to: Time) -> Result<Taken, Error>;

    /// What the dataset that was cut for `to` is made of, to be written down; `None` if there is none.
    fn recorded(&self, to: Time) -> Option<Vec<Split>>;

    /// An interval of the time before is made of these, and may be asked for. Called before the start.
    fn were_received(&mut self, _splits: &[Split]) {}

    /// Gives the source's stream a dataset that was written down. Blocks among it are held already.
    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>);

    /// Where it goes on after what was cut last.
    fn position(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes on where it was. Called before the start.
    ///
    /// # Errors
    /// What it read from is not as it was.
    fn resume(&mut self, _position: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    /// Why it cannot go on after a restart, if it cannot.
    fn is_lost_with_the_process(&self) -> Option<&'static str> {
        None
    }

    /// Whether an interval that is due may be cut before outputs of the one before have run. Not so where what they do
    /// is meant to be in it.
    fn may_be_cut_ahead(&self) -> bool {
        true
    }

    /// Its number, if workers report what it has received.
    fn reported_by_workers(&self) -> Option<u32> {
        None
    }

    /// Puts an empty dataset in the place of what was cut for `to`: the interval failed.
    fn set_aside(&mut self, to: Time);

    /// Whether it gives records of the past, which batch mode can take as fast as it likes.
    fn is_past(&self) -> bool {
        false
    }

    /// Whether it has no times of its own and an interval should begin when the one before has ended.
    fn is_eager(&self) -> bool {
        false
    }

    /// Takes account of what tasks found while they computed `dataset`, if it is one of this source.
    fn found(&mut self, _dataset: DatasetId, _findings: &[Finding], _taken: &mut Taken) -> Result<(), Error> {
        Ok(())
    }

    /// Takes account of how an interval went that took `records` from this source, for how much the next ones
    /// may take.
    fn processed(&mut self, _records: u64, _how: Processed) {}

    /// Whether nothing will come any more, so that a program of such sources can end.
    fn is_exhausted(&self) -> bool;

    /// How far it is, from 0 to 1, where that can be said.
    fn progress(&self) -> Option<f64> {
        None
    }

    /// Whether event time need not wait for it any more. A test's list may be exhausted and go on, empty.
    fn has_ended(&self) -> bool {
        self.is_exhausted()
    }

    /// Whether there is more than got into the interval that was just cut.
    fn is_stalled(&self) -> bool {
        false
    }

    /// Takes nothing from outside any more. What has been received stays to be cut.
    fn stop(&mut self);

    /// Whether there are records that were received and not cut.
    fn has_pending(&self) -> bool {
        false
    }
}

/// What a source gave to an interval, as it is written down before the interval runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// What each partition of its dataset reads; `None` if it has no dataset.
    pub splits: Option<Vec<Split>>,
    /// Where the source goes on, understood by it alone.
    pub position: Vec<u8>,
    pub standing: Standing,
}

impl Recorded {
    /// The received blocks among it.
    pub fn blocks(&self) -> impl Iterator<Item = BlockId> {
        self.splits.iter().flatten().flat_map(|split| split.blocks.iter().copied())
    }
}

/// What an interval took from a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records that are in the interval, as far as that is known before it runs.
    pub records: u64,
    /// Their bytes, where the source knows them.
    pub bytes: u64,
    /// Records that had to wait for a later interval because this one was full, each counted where it
    /// first had to wait. A source knows only of those at its door: one for each connection that was
    /// held up, the record read ahead of replayed files; the ones behind them are still outside. Of a
    /// watched folder it counts files.
    pub deferred: u64,
    /// Records that were given up: those that broke off with their connection, or that nobody could be
    /// made to wait with.
    pub dropped: u64,
    /// Records whose own time lies before the interval, which came after the [slack](crate::Builder::slack)
    /// of theirs; they are in it all the same.
    pub late: u64,
    /// Records that could not be understood.
    pub malformed: Vec<Malformed>,
}
