use std::{
    fmt::Debug,
    io::{Write, stdout},
};

use crate::{DStream, Error, Record};

impl<T: Record + Debug> DStream<T> {
    /// Prints the first ten records of every interval (`api.md` §6).
    #[track_caller]
    pub fn print(&self) {
        self.print_first(10);
    }

    /// Prints the first `n` records of every interval, and dots if there are more.
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
