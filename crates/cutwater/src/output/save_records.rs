use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    frames,
    part::{fill_folder, folder_of, write_part},
};
use crate::{
    DStream, Error, Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, labelled},
};

/// Writes a partition as frames to a file of its own in a folder, and emits the file's name.
struct WriteRecords<T>(PathBuf, PhantomData<fn(T)>);

impl<T: Record> Operator for WriteRecords<T> {
    type Env = PathBuf;
    type Out = String;

    fn rebuild(folder: PathBuf) -> Self {
        Self(folder, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        let mut bytes = Vec::new();
        let write = |file: &mut dyn std::io::Write, record: T| frames::write(file, &record, &mut bytes);
        write_part(node, partition, &self.0, &frames::header(), write, emit)
    }
}

impl<T: Record> Rdd<T> {
    /// Saves all records as they are: a folder `into` with a file `part-<partition>` for each partition,
    /// which [`Context::saved_records`](crate::Context::saved_records) reads (`api.md` §12,
    /// `saveAsObjectFile`). Files are written in a folder beside it which is renamed when all are there.
    ///
    /// # Errors
    /// `into` is there already or cannot be written, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let (ctx, into) = (Context::local(2), dir.path().join("pairs"));
    /// ctx.parallelize([('a', 1), ('b', 2)]).save_records(&into)?;
    /// assert_eq!(ctx.saved_records::<(char, i32)>(&into)?.collect()?, [('a', 1), ('b', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn save_records(&self, into: impl AsRef<Path>) -> Result<(), Error> {
        let into = into.as_ref();
        // Taken here, since inside a closure the place of the call is not known.
        let label = labelled("save_records");
        if into.exists() {
            return Err(Error::external(format_args!("{label}: {} is there already", into.display())));
        }
        fill_folder(self, into, |beside| OperatorSpec::of::<WriteRecords<T>>(label.into(), beside))
    }
}

impl<T: Record> DStream<T> {
    /// Saves the records of every interval as they are: a folder `into/<time in ms>` with a file
    /// `part-<partition>` for each partition, which
    /// [`Context::saved_records`](crate::Context::saved_records) reads (`api.md` §6,
    /// `saveAsObjectFiles`).
    ///
    /// As with [`save`](Self::save), a folder that bears an interval's name holds all of it, and one that
    /// is there already is left as it is. If it cannot be written the interval fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let into = dir.path();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec![('a', 1)], vec![('b', 2), ('c', 3)]]).save_records(into);
    /// harness.advance(2)?;
    /// let second = harness.ctx().saved_records::<(char, i32)>(into.join("2000"))?;
    /// assert_eq!(second.collect()?, [('b', 2), ('c', 3)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn save_records(&self, into: impl AsRef<Path>) {
        let (into, node) = (into.as_ref().to_owned(), self.node.clone());
        let label: Arc<str> = labelled("save_records").into();
        self.ctx.output("save_records", self.node.clone(), move |t| {
            let Some(rdd) = node.at(t)? else { return Ok(false) };
            if let Some(whole) = folder_of(&into, t) {
                fill_folder(&rdd, &whole, |beside| {
                    OperatorSpec::of::<WriteRecords<T>>(label.clone(), beside)
                })?;
            }
            Ok(true)
        });
    }
}
