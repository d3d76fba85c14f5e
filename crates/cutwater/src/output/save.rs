use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::part::{fill_folder, folder_of, write_part};
use crate::{
    DStream, Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, labelled},
};

/// Writes a partition to a file of its own in a folder, and emits the file's name.
struct WriteLines<T, E, F>(PathBuf, E, F, PhantomData<fn(T)>);

impl<T: Record, E: Record, F: Fn(&E, &T) -> String + Portable> Operator for WriteLines<T, E, F> {
    type Env = (PathBuf, E);
    type Out = String;

    fn rebuild((folder, values): Self::Env) -> Self {
        Self(folder, values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        let write = |file: &mut dyn std::io::Write, record| {
            file.write_all(node.call(|| (self.2)(&self.1, &record)).as_bytes())?;
            file.write_all(b"\n")
        };
        write_part(node, partition, &self.0, b"", write, emit)
    }
}

/// Writes a file for each partition into a folder beside `whole`, which gets that name when all are
/// there. `label` is whoever asked, long before perhaps.
pub(crate) fn write_folder<T, E, F>(
    rdd: &Rdd<T>,
    label: Arc<str>,
    whole: &Path,
    values: E,
    _line: F,
) -> Result<(), Error>
where
    T: Record,
    E: Record,
    F: Fn(&E, &T) -> String + Portable,
{
    fill_folder(rdd, whole, |beside| {
        OperatorSpec::of::<WriteLines<T, E, F>>(label, &(beside.clone(), values))
    })
}

impl<T: Record, E: Record> With<DStream<T>, E> {
    /// [`DStream::save`] with the values handed over.
    #[track_caller]
    pub fn save<F: Fn(&E, &T) -> String + Portable>(self, into: impl AsRef<Path>, line: F) {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        let (into, node) = (into.as_ref().to_owned(), of.node.clone());
        let label: Arc<str> = labelled("save").into();
        of.ctx.output("save", of.node.clone(), move |t| {
            let Some(rdd) = node.at(t)? else { return Ok(false) };
            if let Some(whole) = folder_of(&into, t) {
                write_folder(&rdd, label.clone(), &whole, values.clone(), line)?;
            }
            Ok(true)
        });
    }
}

impl<T: Record> DStream<T> {
    /// Saves every interval as text: a folder `into/<time in ms>` with a file `part-<partition>` for
    /// each partition, a line for each record, as `line` writes it.
    ///
    /// Files are written in a folder beside it which is renamed when all are there: a folder that bears
    /// an interval's name holds all of it. One that is there already is left as it is, and the interval
    /// is not computed again for it (`paper.md` §7). It is for one master and a local folder; where another master may
    /// take over, or readers check what they read, [`sink`](Self::sink) the lines into a
    /// [`FileSink`](crate::output::FileSink).
    ///
    /// ```
    /// # use std::{fs, time::Duration};
    /// # use cutwater::testing::Harness;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let into = dir.path();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec![('a', 1), ('b', 2)]]).save(into, |(key, n)| format!("{key},{n}"));
    /// harness.advance(1)?;
    /// assert_eq!(fs::read_to_string(into.join("1000/part-00000")).unwrap(), "a,1\n");
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn save<F: Fn(&T) -> String + Portable>(&self, into: impl AsRef<Path>, line: F) {
        const { closure::captures_nothing::<F>() };
        self.with(()).save(into, move |(), record| line(record));
    }
}
