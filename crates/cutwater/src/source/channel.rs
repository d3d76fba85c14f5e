use std::{fmt, sync::Arc};

use super::{Dating, Intake, SourceBuilder, intake::Refused, received::Origin};
use crate::{Context, DStream, Error, Record};

/// Sends records of the program's own into a stream.
///
/// Properties:
/// - records of one sender arrive in the order in which they were sent;
/// - what is sent before the program runs waits for its first interval;
/// - when it and all its clones are dropped the source has ended, and with the last of its sources
///   the program.
///
/// Any thread may have one. If the process dies, what was sent and not yet processed is gone.
pub struct ChannelSender<T> {
    open: Arc<Open<T>>,
}

/// Closes the intake with the last sender.
struct Open<T>(Intake<T>);

/// Why a record was not sent, with the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The interval is full; there is room when it ends.
    Full(T),
    /// The program is over.
    Stopped(T),
}

impl<T> ChannelSender<T> {
    /// Sends a record. It waits while the interval is full: before the program runs as much as one
    /// interval may hold is taken (ten million records unless the program says otherwise), so whoever
    /// sends more than that sends from another thread. An output of the program must not wait for its
    /// next interval; there it is [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// The program is over.
    pub fn send(&self, record: T) -> Result<(), Error> {
        // The program's own records have no bytes that anyone could count.
        self.open.0.push(record, 0).map_err(|_| Error::stopped())
    }

    /// Sends a record unless that would mean to wait.
    ///
    /// # Errors
    /// The interval is full, or the program is over; the record comes back.
    ///
    /// ```
    /// use cutwater::{Context, source::TrySendError};
    ///
    /// let ctx = Context::local(1);
    /// let (sender, numbers) = ctx.source("numbers").interval_records_max(1).channel();
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// # drop(numbers);
    /// ```
    pub fn try_send(&self, record: T) -> Result<(), TrySendError<T>> {
        self.open.0.try_push(record, 0).map_err(|refused| match refused {
            Refused::Full(record) => TrySendError::Full(record),
            Refused::Stopped(record) => TrySendError::Stopped(record),
        })
    }
}

impl<D> SourceBuilder<'_, D> {
    /// The stream of what the program itself sends.
    #[track_caller]
    pub fn channel<T: Record>(self) -> (ChannelSender<T>, DStream<T>)
    where
        D: Dating<T>,
    {
        self.only("a channel", &[]);
        let (intake, stream) = self.received(Origin::Program);
        (ChannelSender { open: Arc::new(Open(intake)) }, stream)
    }
}

impl Context {
    /// A stream of what the program itself sends: [`SourceBuilder::channel`] with what is usual.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, Error};
    /// let ctx = Context::builder("sum").interval(Duration::from_millis(10)).threads(1).build()?;
    /// let (sender, numbers) = ctx.channel::<u64>("numbers");
    /// numbers.for_each_rdd(|rdd, t| {
    ///     println!("{t}: {:?}", rdd.collect()?);
    ///     Ok::<(), Error>(())
    /// });
    /// sender.send(7)?;
    /// drop(sender); // nothing more will come, so the program ends by itself
    /// ctx.run()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn channel<T: Record>(&self, name: &str) -> (ChannelSender<T>, DStream<T>) {
        self.source(name).channel()
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Clone for ChannelSender<T> {
    fn clone(&self) -> Self {
        Self { open: self.open.clone() }
    }
}

impl<T> fmt::Debug for ChannelSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelSender({:?})", self.open.0)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the interval is full",
            Self::Stopped(_) => "the program is over",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for TrySendError<T> {}
