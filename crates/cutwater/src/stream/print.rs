use std::{
    fmt::Debug,
    io::{Write, stdout},
};

use crate::{DStream, Error, Record};

impl<T: Record + Debug> DStream<T> {
    /// Prints the first ten records of every interval, and dots if there are more (`api.md` §6).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec!['a', 'b', 'c']]).print();
    /// harness.advance(1)?; // prints the time and then all three
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn print(&self) {
        self.print_first(10);
    }

    /// Prints the first `n` records of every interval, and dots if there are more (`api.md` §6).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec!['a', 'b', 'c']]).print_first(2);
    /// harness.advance(1)?; // prints the time and then two of them, and dots
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn print_first(&self, n: usize) {
        self.for_each_rdd(move |rdd, time| {
            let records = rdd.take(n + 1)?;
            let mut out = stdout().lock();
            let mut write = || {
                writeln!(out, "── {time} ──")?;
                records.iter().take(n).try_for_each(|record| writeln!(out, "{record:?}"))?;
                writeln!(out, "{}", if records.len() > n { "…\n" } else { "" })
            };
            write().map_err(|error| Error::external(format_args!("cannot print: {error}")))
        });
    }
}
