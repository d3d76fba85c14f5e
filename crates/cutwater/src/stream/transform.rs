use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::Time;

use super::{AnyStream, Made};
use crate::{
    DStream, Error, Record,
    rdd::Rdd,
    task::{labelled, on_master},
};

/// A stream that another is made from, and how much older than the question what it needs may be.
pub(crate) type Parent = (Arc<dyn AnyStream>, Duration);

impl<T: Record> DStream<T> {
    /// Each interval's dataset replaced by what `f` makes of it: any operation of datasets, or of
    /// this one and others, in the middle of a stream (`api.md` §3). `f` runs on the master, so it
    /// may capture what it likes. If it answers with an error, or if there is no dataset for it, the
    /// interval fails (§4.6, §4.7).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sorted = harness.input([vec![3, 1, 2]]).transform(|rdd, _| rdd.sort_by(|n| *n));
    /// assert_eq!(harness.run(&sorted, 1)?, [[1, 2, 3]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn transform<B, F>(&self, f: F) -> DStream<B>
    where
        B: Record,
        F: FnMut(Rdd<T>, Time) -> Result<Rdd<B>, Error> + Send + 'static,
    {
        let (parent, f) = (self.node.clone(), Mutex::new(f));
        let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO)];
        let label = labelled("transform");
        self.ctx.stream("transform", self.slide(), parents, move |t| {
            let rdd = parent.required(t)?;
            let mut f = f.lock().unwrap_or_else(PoisonError::into_inner);
            on_master(|| f(rdd, t)).map(Some).map_err(|error| error.at(&label))
        })
    }

    /// The same for an operation of ours.
    #[track_caller]
    pub(crate) fn always<B: Record>(
        &self,
        name: &str,
        f: impl Fn(&Rdd<T>) -> Rdd<B> + Send + Sync + 'static,
    ) -> DStream<B> {
        let parent = self.node.clone();
        let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO)];
        let of_parent = move |t| Ok(Some(f(&parent.required(t)?)));
        self.ctx.stream_made(Made::OfItsInterval, name, self.slide(), parents, of_parent)
    }
}

impl<T: Record> super::StreamNode<T> {
    /// The dataset at `time`, for operations that need all their parents to have one (`api.md`
    /// §4.6).
    pub fn required(&self, time: Time) -> Result<Rdd<T>, Error> {
        self.at(time)?.ok_or_else(|| {
            Error::user(format_args!(
                "{} has no dataset at {time}, and an operation on it needs one; give it an empty one instead: \
                 in a test by `Harness::input` with `vec![]` for the interval, in a program by `SourceBuilder::queue` \
                 or `queue_or`, which has a dataset for an interval for which none was pushed",
                self.label()
            ))
        })
    }
}
