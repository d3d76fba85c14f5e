use std::fmt::Debug;

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
            println!("── {time} ──");
            for record in records.iter().take(n) {
                println!("{record:?}");
            }
            if records.len() > n {
                println!("…");
            }
            println!();
            Ok::<(), Error>(())
        });
    }
}
