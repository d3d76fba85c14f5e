use std::sync::{Mutex, PoisonError};

use cutwater_core::Time;

use crate::{
    Context, DStream, Error, Record,
    checkpoint::saved::{Saving, Whole},
    rdd::Rdd,
    task::{labelled, on_master},
};

/// What makes the data, and what it made last.
struct Refresh<T, F> {
    make: F,
    made: Option<(Time, Result<Rdd<T>, Error>)>,
}

impl Context {
    /// A stream of data that hardly changes, for streams to be joined with: `make` gives its dataset at the
    /// first interval and at every `every`th after it, and the intervals in between have the same one.
    ///
    /// `make` is given the context, to make datasets with, and the time of the interval; it runs on the
    /// master, so it may capture what it likes. Its dataset is [kept](Rdd::cache), hence computed once
    /// and not each interval, and the one before goes as soon as nobody can look back at it. Made with
    /// [`partition_by`](Rdd::partition_by) into as many partitions as the stream has, it is not shuffled for
    /// each join either.
    ///
    /// If `make` answers with an error, the interval that was to be refreshed fails. A program that
    /// [goes on](crate::OnFailure::Continue) has the data from before until the next refresh; if there is
    /// none, every interval tries again.
    ///
    /// The data are written down with the [states](crate::Builder::checkpoint). A program that is started again has
    /// what was written last, and makes what is due since then again, for the same times: by then it may be other data.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sales = harness.input([vec![("tea", 2)], vec![("tea", 1)], vec![("tea", 3)]]
    ///     .map(|sales| sales.into_iter().map(|(what, n)| (what.to_owned(), n)).collect()));
    /// let prices = harness.ctx().refreshed(2, |ctx, t| {
    ///     // Read from a file or a database; here they rise.
    ///     Ok(ctx.parallelize([("tea".to_owned(), t.as_ms() / 1000)]))
    /// });
    /// let turnover = sales.join(&prices).map(|(_, (n, price))| n * price);
    /// assert_eq!(harness.run(&turnover, 3)?, [[2], [1], [9]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn refreshed<T, F>(&self, every: u32, make: F) -> DStream<T>
    where
        T: Record,
        F: FnMut(&Context, Time) -> Result<Rdd<T>, Error> + Send + 'static,
    {
        if every == 0 {
            self.fault("refreshed", "it cannot be refreshed every 0 intervals; give it 1 or more");
        }
        let (interval, timeline, label) = (self.interval(), self.timeline().clone(), labelled("refreshed"));
        // The graph is part of the context, which must not hold itself.
        let ctx = self.downgrade();
        let refresh = Mutex::new(Refresh { make, made: None });
        // Each dataset is the one before unless it is time for another: that is how state is made.
        let saving = Saving::new::<Whole>("refreshed");
        self.stateful_stream("refreshed", interval, Vec::new(), saving, move |t, before| {
            let since = timeline.zero().map_or(0, |zero| t.since(zero).as_millis());
            let number = since / interval.as_millis().max(1);
            let is_due = number.saturating_sub(1).is_multiple_of(u128::from(every.max(1)));
            if let (false, Some(before)) = (is_due, before) {
                return Ok(Some(before));
            }
            let mut refresh = refresh.lock().unwrap_or_else(PoisonError::into_inner);
            // An interval that failed is asked for again; that is no reason to make it again.
            if let Some((_, made)) = refresh.made.as_ref().filter(|(time, _)| *time == t) {
                return made.clone().map(Some);
            }
            let ctx = ctx.upgrade().ok_or_else(Error::stopped)?;
            let made = on_master(|| (refresh.make)(&ctx, t));
            let made = made.map(|rdd| rdd.cache()).map_err(|error| error.at(&label));
            refresh.made = Some((t, made.clone()));
            made.map(Some)
        })
    }
}
