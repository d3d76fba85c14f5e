use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cutwater_core::{Split, Time, limits};

use super::{Holder, Input, SourceBuilder, Taken};
use crate::{
    Context, DStream, Error, Record,
    rdd::{All, Rdd, union_of},
    task::OperatorSpec,
};

/// Puts datasets of the program's own into a stream, for the intervals to come.
///
/// Properties:
/// - datasets come in the order in which they were pushed, and each in one interval;
/// - when it and all its clones are dropped the source ends with the last dataset;
/// - it holds a bounded number of datasets that no interval has taken yet.
///
/// Any thread may have one. If the process dies, what waits in it is gone; it cannot be recovered from a
/// checkpoint.
pub struct DatasetQueue<T> {
    waiting: Arc<Mutex<VecDeque<Rdd<T>>>>,
    ctx: Context,
}

/// The stream's end of it.
struct Queue<T> {
    name: String,
    waiting: Arc<Mutex<VecDeque<Rdd<T>>>>,
    default: Option<Rdd<T>>,
    one_at_a_time: bool,
    union: OperatorSpec<T>,
    holder: Holder<T>,
    stopped: bool,
}

fn lock<T>(waiting: &Mutex<VecDeque<Rdd<T>>>) -> MutexGuard<'_, VecDeque<Rdd<T>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Record> DatasetQueue<T> {
    /// Has `rdd` be the dataset of an interval to come, or part of it.
    ///
    /// # Errors
    /// Too many are waiting (`limits::QUEUE_DATASETS_MAX`), or the dataset is of another context.
    pub fn push(&self, rdd: Rdd<T>) -> Result<(), Error> {
        if !Arc::ptr_eq(rdd.engine(), self.ctx.engine()) {
            return Err(Error::user(
                "a dataset of another context cannot be put into this queue; make it in the queue's",
            ));
        }
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= limits::QUEUE_DATASETS_MAX {
            return Err(Error::user(format_args!(
                "{} datasets wait in the queue already; push more when intervals have taken some",
                waiting.len()
            )));
        }
        waiting.push_back(rdd);
        Ok(())
    }
}

impl<T: Record> Input for Queue<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        let mut waiting = lock(&self.waiting);
        let take = if self.one_at_a_time { waiting.len().min(1) } else { waiting.len() };
        let mut taken: Vec<_> = waiting.drain(..take).collect();
        drop(waiting);
        match (taken.len(), &self.default) {
            (0, None) => self.holder.put(to, Vec::new()),
            (0, Some(default)) => self.holder.put_dataset(to, default.clone()),
            (1, _) => self.holder.put_dataset(to, taken.remove(0)),
            _ => self.holder.put_dataset(to, union_of(&self.union, &taken)),
        }
        // How many records they are is not known before they are computed.
        Ok(Taken::default())
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.holder.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.holder.replay(to, splits);
    }

    /// Outputs push into it what the next interval is to have.
    fn may_be_cut_ahead(&self) -> bool {
        false
    }

    fn is_lost_with_the_process(&self) -> Option<&'static str> {
        Some("datasets that the program pushes into a queue are descriptions of this process")
    }

    fn set_aside(&mut self, to: Time) {
        self.holder.put(to, Vec::new());
    }

    fn is_exhausted(&self) -> bool {
        (self.stopped || Arc::strong_count(&self.waiting) == 1) && !self.has_pending()
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn has_pending(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }
}

impl SourceBuilder<'_> {
    /// The stream of datasets that the program pushes into a queue (`api.md` §2): one an interval, or all
    /// that wait brought together, as `one_at_a_time` says. An interval for which there is none has an empty
    /// dataset.
    ///
    /// ```
    /// # use cutwater::testing::Harness;
    /// # use std::time::Duration;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let ctx = harness.ctx();
    /// let (queue, numbers) = ctx.source("numbers").queue(true);
    /// queue.push(ctx.parallelize([1, 2]))?;
    /// queue.push(ctx.parallelize([3]))?;
    /// assert_eq!(harness.run(&numbers, 3)?, [vec![1, 2], vec![3], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn queue<T: Record>(self, one_at_a_time: bool) -> (DatasetQueue<T>, DStream<T>) {
        self.queued(one_at_a_time, None)
    }

    /// The same, where an interval for which no dataset waits has `default`.
    ///
    /// ```
    /// # use cutwater::testing::Harness;
    /// # use std::time::Duration;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let ctx = harness.ctx();
    /// let (queue, numbers) = ctx.source("numbers").queue_or(true, ctx.parallelize([0]));
    /// queue.push(ctx.parallelize([7]))?;
    /// assert_eq!(harness.run(&numbers, 2)?, [[7], [0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn queue_or<T: Record>(self, one_at_a_time: bool, default: Rdd<T>) -> (DatasetQueue<T>, DStream<T>) {
        self.queued(one_at_a_time, Some(default))
    }

    #[track_caller]
    fn queued<T: Record>(
        self,
        one_at_a_time: bool,
        default: Option<Rdd<T>>,
    ) -> (DatasetQueue<T>, DStream<T>) {
        self.only("a queue of datasets", &[]);
        let Self { ctx, name, .. } = self;
        let waiting = Arc::new(Mutex::default());
        let queue = DatasetQueue { waiting: Arc::clone(&waiting), ctx: ctx.clone() };
        let (spec, union) = (Holder::spec(&name), OperatorSpec::new::<All<T>>(&name, &()));
        let label = name.clone();
        let stream = ctx.source_stream(&label, |stream| {
            let holder = Holder::new(ctx.engine(), spec, stream);
            Box::new(Queue { name, waiting, default, one_at_a_time, union, holder, stopped: false })
        });
        (queue, stream)
    }
}

impl<T> Clone for DatasetQueue<T> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone(), ctx: self.ctx.clone() }
    }
}

impl<T> fmt::Debug for DatasetQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatasetQueue({} waiting)", lock(&self.waiting).len())
    }
}
