use std::time::Duration;

use cutwater_core::limits;

use super::{Builder, Settings};
use crate::{
    checkpoint::{program::ProgramRecord, store::Store},
    error::Error,
    runtime::cluster::Role,
};

/// Where and how often what must not be lost is written down.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    /// If none is given, states are written to a folder that goes with the program.
    pub url: Option<String>,
    pub every: Duration,
    pub intervals_max: u64,
    /// Names of streams whose states may be dropped.
    pub droppable: Vec<String>,
    /// Received records that nobody holds count as none.
    pub may_lose_input: bool,
    /// Wait until no other master runs the program.
    pub standby: bool,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            url: None,
            every: Duration::from_millis(limits::CHECKPOINT_MS),
            intervals_max: limits::LINEAGE_INTERVALS_MAX,
            droppable: Vec::new(),
            may_lose_input: false,
            standby: false,
        }
    }
}

impl Settings {
    /// What a program that was started before must not change.
    pub fn compare(&self, faults: &mut Vec<String>) -> Result<(), Error> {
        if self.checkpoints.standby && self.checkpoints.url.is_none() {
            faults.push("standby: a master is taken over by what it has written; say where with `checkpoint`, in both".to_owned());
        }
        let Some(url) = self.checkpoints.url.as_ref().filter(|_| !matches!(self.role, Role::Worker { .. }))
        else {
            return Ok(());
        };
        if let Some(record) = ProgramRecord::read(&Store::open(url)?)? {
            faults.extend(record.faults(&self.name, self.interval, url));
        }
        Ok(())
    }
}

impl Builder {
    /// Where the program's states and the inputs of its intervals are written down, so that it goes on where
    /// it was when it is started again: a folder, `file:///folder`, or `s3://bucket/folder` with the feature
    /// `s3`. All processes of the program must reach it.
    ///
    /// Where nothing can be written (the disk is full, the store is away), states are tried again while intervals go on,
    /// for four times as many as usually pass between two [checkpoints](Self::checkpoint_intervals). An interval whose
    /// input cannot be written fails, and the program stops, whatever it does after
    /// [failures](Self::on_failure): a restart would know nothing of what came after. It goes on when it is started again.
    ///
    /// Without it a program in [other processes](Self::workers) still survives the loss of any of them but
    /// the master, and one in a single process starts anew when it is started again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, testing::Harness};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let folder = dir.path().to_str().unwrap();
    /// let run = |intervals| {
    ///     let builder = Context::builder("counts").interval(Duration::from_secs(1)).threads(1);
    ///     let harness = Harness::with(builder.checkpoint(folder), 1);
    ///     let clicks = harness.input([vec![('a', 1)], vec![('a', 2)], vec![('a', 4)]]);
    ///     harness.run(&clicks.running_reduce(|a, b| a + b), intervals)
    /// };
    /// assert_eq!(run(2)?, [[('a', 1)], [('a', 3)]]);
    /// assert_eq!(run(1)?, [[('a', 7)]]); // started again, it goes on
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn checkpoint(mut self, url: impl Into<String>) -> Self {
        self.settings.checkpoints.url = Some(url.into());
        self
    }

    /// Whether this process is a standby: where it builds its context, it waits until the master that runs the
    /// program (the same executable, with the same [`checkpoint`](Self::checkpoint)) is gone, and then takes over
    /// its workers and goes on where it was. If the program ends in good order, the standby ends too.
    ///
    /// A master that was only away for a while, and comes back when another has taken over, writes nothing any more.
    #[must_use]
    pub fn standby(mut self, standby: bool) -> Self {
        self.settings.checkpoints.standby = standby;
        self
    }

    /// How often states are written. Every 10 seconds if nothing is said (`paper.md` §8.4). A lost state is
    /// made again from the last that was written, so half the time is half the work of a recovery. They are written sooner
    /// if each worker would come to hold more than 512 MiB of input since: that is kept until they are written.
    #[must_use]
    pub fn checkpoint_every(mut self, every: Duration) -> Self {
        self.settings.checkpoints.every = every;
        self
    }

    /// Allows the program to start although it has no stream any more for the state of this name that was written;
    /// the state is dropped. A program that was changed is compared with what wrote its
    /// [checkpoints](Self::checkpoint), and does not start if it would lose a state that nobody allows to be dropped,
    /// or if one is of another kind or type now.
    ///
    /// The name of a stream is what [`named`](crate::DStream::named) gave it, or else its operation and how many of
    /// these there are before it (`running_reduce-2`); give names to what is to outlive changes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, Error, testing::Harness};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let folder = dir.path().to_str().unwrap();
    /// let start = |name: &str, dropped: Option<&str>| {
    ///     let builder = Context::builder("counts").interval(Duration::from_secs(1)).threads(1).checkpoint(folder);
    ///     let builder = dropped.into_iter().fold(builder, |builder, name| builder.allow_drop(name));
    ///     let harness = Harness::with(builder, 1);
    ///     let clicks = harness.input([vec![('a', 1)], vec![('a', 2)]]);
    ///     harness.run(&clicks.running_reduce(|a, b| a + b).named(name), 1)
    /// };
    /// start("clicks", None)?;
    /// let error = start("views", None).unwrap_err().to_string();
    /// assert!(error.contains("dropped       clicks") && error.contains("--allow-drop clicks"), "{error}");
    /// start("views", Some("clicks"))?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn allow_drop(mut self, name: impl Into<String>) -> Self {
        self.settings.checkpoints.droppable.push(name.into());
        self
    }

    /// Goes on without received records that nobody holds any more. If nothing is said, whatever needs them fails, since they
    /// were acknowledged.
    ///
    /// A record of a client is held by two workers until a checkpoint has what was made of it. If both are lost before that,
    /// only this lets the program go on, once it has waited in vain for one of them to come back, or when it is started again:
    /// from then on their blocks have no records. What was made of them before, and is still held, counts; so does all else
    /// that was received. Each loss is in the log and in [`IntervalReport::lost_blocks`](crate::IntervalReport). It has to be
    /// said until the next checkpoint is made.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::builder("clicks").allow_lost(true).build()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn allow_lost(mut self, on: bool) -> Self {
        self.settings.checkpoints.may_lose_input = on;
        self
    }

    /// After how many intervals states are written at the latest, however short those are.
    #[must_use]
    pub fn checkpoint_intervals(mut self, intervals: u64) -> Self {
        if intervals == 0 {
            self.faults
                .push("checkpoint_intervals(0): state is at most written after each interval".to_owned());
        }
        self.settings.checkpoints.intervals_max = intervals.max(1);
        self
    }
}
