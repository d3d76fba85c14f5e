use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    DStream, Error, Record,
    closure::{self, Portable},
    rdd::{Rdd, unless_enough},
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop, labelled},
};

/// Writes a partition to a file of its own in a folder, and emits the file's name.
struct WriteLines<T, F>(PathBuf, F, PhantomData<fn(T)>);

impl<T: Record, F: Fn(&T) -> String + Portable> Operator for WriteLines<T, F> {
    type Env = PathBuf;
    type Out = String;

    fn rebuild(folder: PathBuf) -> Self {
        Self(folder, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        // Several attempts may write at the same time, each to a name of its own; the last to rename
        // puts the same bytes in place as the first.
        static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
        let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("part-{partition:05}");
        let beside = self.0.join(format!(".{name}.{}-{attempt}", std::process::id()));
        let whole = self.0.join(&name);

        let mut failed = None;
        let file = match File::create(&beside) {
            Ok(file) => file,
            Err(error) => return node.external(format_args!("cannot create {}: {error}", beside.display())),
        };
        let mut writer = BufWriter::new(file);
        unless_enough(node.each::<T>(0, partition, &mut |record| {
            let line = node.call(|| (self.1)(&record));
            match writer.write_all(line.as_bytes()).and_then(|()| writer.write_all(b"\n")) {
                Ok(()) => Flow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    Flow::Break(Stop::Enough)
                }
            }
        }))?;
        let written = failed
            .map_or(Ok(()), Err)
            .and_then(|()| finish(writer))
            .and_then(|()| fs::rename(&beside, &whole));
        match written {
            Ok(()) => emit(name),
            Err(error) => {
                // The attempt's own file, of no use to anyone now.
                let _ = fs::remove_file(&beside);
                node.external(format_args!("cannot write {}: {error}", whole.display()))
            }
        }
    }
}

fn finish(writer: BufWriter<File>) -> io::Result<()> {
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Writes a file for each partition into a folder beside `whole`, which gets that name when all are
/// there. `label` is whoever asked, long before perhaps.
pub(crate) fn write_folder<T, F>(rdd: &Rdd<T>, label: Arc<str>, whole: &Path, _line: F) -> Result<(), Error>
where
    T: Record,
    F: Fn(&T) -> String + Portable,
{
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let beside = whole.with_file_name(format!(".{name}.partial"));
    let external = |what: &str, error: io::Error| {
        Error::external(format_args!("cannot {what} {}: {error}", beside.display()))
    };
    match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(external("clear", error)),
        _ => {}
    }
    fs::create_dir_all(&beside).map_err(|error| external("create", error))?;
    let spec = OperatorSpec::of::<WriteLines<T, F>>(label, &beside);
    let written = rdd.narrow(&spec).compute();
    let renamed = written.and_then(|_| fs::rename(&beside, whole).map_err(|error| external("rename", error)));
    if renamed.is_err() {
        // What is left of it is of no use, and the error that counts is the first.
        let _ = fs::remove_dir_all(&beside);
    }
    renamed
}

impl<T: Record> DStream<T> {
    /// Saves every interval as text: a folder `into/<time in ms>` with a file `part-<partition>` for
    /// each partition, a line for each record, as `line` writes it.
    ///
    /// Files are written in a folder beside it which is renamed when all are there: a folder that bears
    /// an interval's name holds all of it. One that is there already is left as it is, and the interval
    /// is not computed again for it (`paper.md` §7).
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
        let (into, node) = (into.as_ref().to_owned(), self.node.clone());
        let label: Arc<str> = labelled("save").into();
        self.ctx.output("save", self.node.clone(), move |t| {
            let Some(rdd) = node.at(t)? else { return Ok(false) };
            let whole = into.join(t.as_ms().to_string());
            if whole.exists() {
                tracing::info!(interval = %t, folder = %whole.display(), "saved before; left as it is");
                return Ok(true);
            }
            write_folder(&rdd, label.clone(), &whole, line).map(|()| true)
        });
    }
}
