use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use cutwater_core::DatasetId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Accumulate, Contribution, tally};
use crate::{Context, Error, task::on_master};

/// A value that functions add to wherever they run, and that the master reads: records skipped, a
/// histogram, a few examples (`api.md` §12, "Sharing").
///
/// It is handed over [`with`](crate::Rdd::with) as any other value is, hence to any operation that takes
/// values. Functions add and never read.
///
/// Properties:
/// - **what a partition of a dataset adds counts once**, however often the partition is computed: by a
///   second action or output, for a window, after a loss, by a copy of a slow task, or under
///   [`run_twice`](crate::Builder::run_twice);
/// - it counts when the partition has been computed to its end: `take` and its like, which stop before, add
///   nothing;
/// - it is there when the action that caused it returns, so [`for_each_rdd`](crate::DStream::for_each_rdd)
///   reads what its interval added. Of a job that failed, the partitions that were done count;
/// - contributions are put together in the order of datasets and partitions, not of their arrival, so
///   lists and sums of floats are the same in every run too.
///
/// An operation that reads its records twice counts twice (`sort_by`, which looks at a sample first).
///
/// Any thread may have one; compute threads add, the thread that asked for a job puts together what tasks
/// added. It is not in checkpoints: a program that starts again counts from the default.
pub struct Accumulator<T> {
    id: u64,
    /// Where the value is: on the master only.
    total: Option<Arc<Total<T>>>,
}

struct Total<T> {
    name: String,
    value: Mutex<T>,
}

impl Context {
    /// A value that functions add to, beginning from its default.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let skipped = ctx.accumulator::<u64>("skipped");
    /// let lines = ctx.parallelize(["1", "two", "3"].map(String::from));
    /// let numbers = lines.with(skipped.clone()).filter_map(|skipped, line| {
    ///     let number = line.parse::<u32>().ok();
    ///     if number.is_none() {
    ///         skipped.add(1);
    ///     }
    ///     number
    /// });
    /// assert_eq!(numbers.reduce(|a, b| a + b)?, 4);
    /// assert_eq!(numbers.count()?, 2); // computed again, counted once
    /// assert_eq!(skipped.value(), 1);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn accumulator<T: Accumulate>(&self, name: &str) -> Accumulator<T> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let total = Arc::new(Total { name: name.to_owned(), value: Mutex::new(T::default()) });
        self.engine().accumulators().add(id, &total);
        Accumulator { id, total: Some(total) }
    }
}

impl<T: Accumulate> Accumulator<T> {
    /// Adds `value`.
    ///
    /// # Panics
    /// It came to the function in another way than [`with`](crate::Rdd::with), by a record for instance, so
    /// that nobody would know what was counted already. The interval or action fails and says so.
    pub fn add(&self, value: T) {
        let Err(value) = tally::add(self.id, value) else { return };
        match &self.total {
            Some(total) => total.lock().merge(value),
            None => panic!("an accumulator adds only in functions that it was handed to by `.with(..)`"),
        }
    }

    /// What has been added so far.
    ///
    /// # Panics
    /// It is called in a task: what other tasks add is known on the master only.
    pub fn value(&self) -> T {
        match &self.total {
            Some(total) => total.lock().clone(),
            None => panic!("the value of an accumulator is known on the master only; tasks can add to it"),
        }
    }

    /// Begins again from the default; answers with what there was. For figures of each interval by
    /// themselves.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Error, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let late = harness.ctx().accumulator::<u64>("late");
    /// let ages = harness.input([vec![70, 3], vec![80, 90]]);
    /// let fresh = ages.with(late.clone()).filter(|late, age| {
    ///     late.add(u64::from(*age >= 60));
    ///     *age < 60
    /// });
    /// fresh.for_each_rdd(move |rdd, t| {
    ///     println!("{t}: {} fresh, {} late", rdd.count()?, late.take());
    ///     Ok::<(), Error>(())
    /// });
    /// harness.advance(2)?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`value`](Self::value) does.
    pub fn take(&self) -> T {
        match &self.total {
            Some(total) => std::mem::take(&mut *total.lock()),
            None => panic!("the value of an accumulator is known on the master only; tasks can add to it"),
        }
    }
}

impl<T> Total<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The accumulators of a program, and what tasks added that has not been put to them yet.
#[derive(Default)]
pub(crate) struct Accumulators {
    totals: Mutex<HashMap<u64, Weak<dyn AnyTotal>>>,
    added: Mutex<Vec<(DatasetId, u32, Vec<Contribution>)>>,
}

trait AnyTotal: Send + Sync {
    fn merge(&self, bytes: &[u8]) -> Result<(), Error>;
}

impl<T: Accumulate> AnyTotal for Total<T> {
    fn merge(&self, bytes: &[u8]) -> Result<(), Error> {
        let merge = || {
            let added = postcard::from_bytes(bytes).map_err(Error::user)?;
            self.lock().merge(added);
            Ok(())
        };
        on_master(merge).map_err(|error| error.at(format_args!("accumulator `{}`", self.name)))
    }
}

impl Accumulators {
    fn add<T: Accumulate>(&self, id: u64, total: &Arc<Total<T>>) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.retain(|_, total| total.strong_count() > 0);
        let total: Weak<Total<T>> = Arc::downgrade(total);
        totals.insert(id, total);
    }

    /// Keeps what a partition added until a job ends.
    pub fn note(&self, dataset: DatasetId, partition: u32, added: Vec<Contribution>) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).push((dataset, partition, added));
    }

    /// A job has ended: puts what its tasks added to the totals. Whoever comes while another thread does so
    /// waits, since some of it may be from their job.
    pub fn settle(&self) -> Result<(), Error> {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        if added.is_empty() {
            return Ok(());
        }
        added.sort_by_key(|(dataset, partition, _)| (*dataset, *partition));
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut result = Ok(());
        for Contribution { accumulator, bytes } in added.drain(..).flat_map(|(_, _, added)| added) {
            // One that the program has let go of cannot be read any more.
            if let Some(total) = totals.get(&accumulator).and_then(Weak::upgrade) {
                result = result.and(total.merge(&bytes));
            }
        }
        result
    }
}

impl<T> Clone for Accumulator<T> {
    fn clone(&self) -> Self {
        Self { id: self.id, total: self.total.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Accumulator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.total {
            Some(total) => write!(f, "Accumulator({:?}: {:?})", total.name, total.lock()),
            None => write!(f, "Accumulator({})", self.id),
        }
    }
}

impl<T> Serialize for Accumulator<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.id.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Accumulator<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = u64::deserialize(deserializer)?;
        tally::note_accumulator();
        Ok(Self { id, total: None })
    }
}
