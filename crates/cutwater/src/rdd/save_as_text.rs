use std::path::Path;

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    output::write_folder,
    rdd::Rdd,
    task::labelled,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::save_as_text`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`Rdd::save_as_text`].
    #[track_caller]
    pub fn save_as_text<F>(self, into: impl AsRef<Path>, line: F) -> Result<(), Error>
    where
        F: Fn(&E, &T) -> String + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let into = into.as_ref();
        if into.exists() {
            let (label, into) = (labelled("save_as_text"), into.display());
            return Err(Error::external(format_args!("{label}: {into} is there already")));
        }
        write_folder(&self.of, labelled("save_as_text").into(), into, self.values, line)
    }
}

impl<T: Record> Rdd<T> {
    /// Saves all records as text: a folder `into` with a file `part-<partition>` for each partition,
    /// a line for each record, as `line` writes it (`api.md` §12).
    ///
    /// Files are written in a folder beside it which is renamed when all are there: a folder of that
    /// name holds everything.
    ///
    /// # Errors
    /// `into` is there already, or cannot be written, besides the errors of
    /// [`collect`](Self::collect).
    ///
    /// ```
    /// # use std::fs;
    /// # use cutwater::Context;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let into = dir.path().join("squares");
    /// let ctx = Context::local(2);
    /// let numbers = ctx.parallelize(1..=3);
    /// numbers.save_as_text(&into, |n| format!("{n}²={}", n * n))?;
    /// assert_eq!(fs::read_to_string(into.join("part-00001")).unwrap(), "2²=4\n3²=9\n");
    /// assert!(numbers.save_as_text(&into, |n| n.to_string()).is_err(), "nothing is overwritten");
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn save_as_text<F>(&self, into: impl AsRef<Path>, line: F) -> Result<(), Error>
    where
        F: Fn(&T) -> String + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).save_as_text(into, move |(), record| line(record))
    }
}
