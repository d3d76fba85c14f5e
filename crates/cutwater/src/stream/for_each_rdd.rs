use cutwater_core::Time;

use crate::{DStream, Error, Record, rdd::Rdd};

/// What a function given to [`DStream::for_each_rdd`] may answer: nothing, or a `Result`.
pub trait Done {
    /// As a result.
    ///
    /// # Errors
    /// The function said that it failed.
    fn done(self) -> Result<(), Error>;
}

impl Done for () {
    fn done(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<E: Into<Error>> Done for Result<(), E> {
    fn done(self) -> Result<(), Error> {
        self.map_err(Into::into)
    }
}

impl<T: Record> DStream<T> {
    /// Calls `f` with every dataset and its time: the output from which all others are made
    /// (`api.md` §6). `f` runs on the master, one interval after the other and, within an interval, in
    /// the order in which outputs were declared; it may capture what it likes. If it answers with an
    /// error the interval fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Error, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let counts = harness.input([vec![('a', 3), ('b', 9)]]);
    /// counts.for_each_rdd(|rdd, t| {
    ///     let top = rdd.top_by(1, |c| c.1)?;
    ///     println!("{t}: {top:?}");
    ///     Ok::<(), Error>(())
    /// });
    /// harness.advance(1)?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn for_each_rdd<F, R>(&self, mut f: F)
    where
        F: FnMut(Rdd<T>, Time) -> R + Send + 'static,
        R: Done,
    {
        let node = self.node.clone();
        self.ctx.output("for_each_rdd", self.node.clone(), move |t| match node.at(t)? {
            Some(rdd) => f(rdd, t).done().map(|()| true),
            None => Ok(false),
        });
    }
}
