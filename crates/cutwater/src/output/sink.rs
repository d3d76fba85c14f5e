use std::fmt;

use cutwater_core::Time;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, Record};

/// A place outside to which every interval's records go exactly once, whatever dies in between.
///
/// Nothing is published where records are computed, since a partition may be computed several times. Attempts
/// *stage* their records somewhere that nobody reads ([`write`](Self::write)), and the master then makes one
/// attempt of each partition visible, all at once ([`commit`](Self::commit)).
///
/// # What the engine promises
/// - [`open`](Self::open) is the first call of a master, made before it runs anything. Every master has its
///   `epoch`, which is larger than those of all masters before it.
/// - `write` is called in tasks, on any worker, for partitions of intervals after the one that `open` answered.
///   It is given every record of the partition, in an order that is always the same.
/// - `commit` is called on the master only, for one interval after the other in order of time, with one token
///   for each partition in order of partitions, and only if everything else that the interval does has been done.
///   An interval that fails is never committed; the one after it may be.
/// - [`discard`](Self::discard) is called on the master after a commit, for intervals up to the committed one.
///
/// # What may happen between any two of these calls, and within each
/// - The process dies. The next master opens the sink again; what `open` does not say is committed is computed
///   and committed anew, with other attempts.
/// - `write` is called again for a partition that was written, or is being written at this moment: a task that
///   failed is run again, a slow one is copied. Only the token of one attempt is ever committed.
/// - `write` is called or goes on for an interval that is committed, by a worker that has not heard.
/// - `commit` fails, or the answer is lost, and it is called again with the same interval and tokens.
/// - The master is paused, another one opens the sink with a larger epoch, and the first goes on where it was: with
///   `open`, `commit` or `discard`.
///
/// # What a sink must hold to
/// 1. `write` shows nothing to readers. Attempts do not disturb one another: whatever is staged bears the
///    [attempt](Part::attempt), which no other has.
/// 2. What a token stands for is durable before `write` answers.
/// 3. `commit` makes all tokens visible or none, durably, *together with* the fact that the interval is committed
///    and by whom. Of an interval that is not after the last committed one it does nothing and answers `Ok`.
/// 4. `commit` and `open` of an epoch that is smaller than the largest that has opened the sink do nothing and
///    fail with [`Error::fenced`]. The check is part of what makes the commit atomic: a check before it is too early.
/// 5. `open` and `discard` remove nothing that is committed, also not by a master that was paused in the middle of
///    the call while another one went on: what a larger epoch has staged may be committed by now.
/// 6. Errors that may go away by themselves are [`Error::external`]: the task or commit is tried again, a bounded
///    number of times, after pauses that double and take some seconds in all. All others fail the interval at once.
///
/// [`testing::SinkKit`](crate::testing::SinkKit) kills a program between every two steps and finds a sink that does
/// not. [`FileSink`](super::FileSink) is one that does.
///
/// The value itself is serialised and travels to workers: it says where the records go, and holds no connection.
pub trait Sink<T>: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What an attempt has staged, for `commit` to find it. Small: it travels to the master.
    type Token: Record;

    /// Claims the sink for the master of `epoch` and answers the last interval that is committed. What smaller epochs
    /// have staged for later ones is of no use to anybody and may be removed.
    ///
    /// # Errors
    /// A master with a larger epoch has opened it ([`Error::fenced`]), or it cannot be reached.
    fn open(&self, epoch: u64) -> Result<Option<Time>, Error>;

    /// Stages the records of one attempt.
    ///
    /// # Errors
    /// They cannot be staged, or [`Records::each`] has failed.
    fn write(&self, part: &Part, records: Records<'_, T>) -> Result<Self::Token, Error>;

    /// Makes an interval visible.
    ///
    /// # Errors
    /// A master with a larger epoch has opened the sink ([`Error::fenced`]), or it cannot be committed.
    fn commit(&self, commit: &Commit<'_, Self::Token>) -> Result<(), Error>;

    /// Removes what was staged for `interval`, except for what `committed` names. It is called once or twice for an
    /// interval, in case a late attempt has staged something after the first; nothing depends on its success.
    ///
    /// # Errors
    /// It cannot be removed; a warning says so.
    fn discard(&self, interval: Time, committed: &[Self::Token]) -> Result<(), Error>;
}

/// One attempt at one partition of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Part {
    /// The interval, by its label.
    pub interval: Time,
    /// The partition, from 0.
    pub partition: u32,
    /// The master for which it is written.
    pub epoch: u64,
    /// What tells this attempt from all others.
    pub attempt: AttemptName,
}

impl Part {
    /// An attempt of its own.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub fn new(interval: Time, partition: u32, epoch: u64) -> Result<Self, Error> {
        Ok(Self { interval, partition, epoch, attempt: AttemptName::new()? })
    }
}

impl fmt::Display for Part {
    /// Fit for the name of a file: partition, epoch and attempt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}-{}-{}", self.partition, self.epoch, self.attempt)
    }
}

/// A name that no other attempt has, in whichever process or run: 128 random bits. As text, 32 hexadecimal
/// digits.
///
/// Names are the one thing about an attempt that is left to chance: the number that the scheduler gives it begins
/// anew with each run, and what another run staged may still be there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptName(u128);

impl AttemptName {
    pub(super) fn new() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::external(format_args!("the system gives no random numbers: {error}")))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for AttemptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for AttemptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is to become visible.
#[derive(Debug)]
#[non_exhaustive]
pub struct Commit<'a, K> {
    /// The interval, by its label.
    pub interval: Time,
    /// Whose commit it is: masters before have smaller ones.
    pub epoch: u64,
    /// For each partition, in order, what the attempt that counts has staged.
    pub tokens: &'a [K],
}

/// The records of a partition, computed while they are read.
pub struct Records<'a, T> {
    pub(crate) read: &'a mut Read<'a, T>,
}

/// Hands every record to a function, until that one fails.
pub(crate) type Read<'a, T> = dyn FnMut(&mut dyn FnMut(&T) -> Result<(), Error>) -> Result<(), Error> + 'a;

impl<T> Records<'_, T> {
    /// Calls `look` with every record, where it lies. A sink must come to the end: an attempt that has not taken
    /// every record fails, whatever the sink answers.
    ///
    /// # Errors
    /// That of `look`, or the records cannot be computed. Either way the attempt is over.
    pub fn each(self, mut look: impl FnMut(&T) -> Result<(), Error>) -> Result<(), Error> {
        (self.read)(&mut look)
    }
}

impl<T> fmt::Debug for Records<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}
