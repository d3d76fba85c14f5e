use std::{
    fs::{self, File},
    io::{self, BufReader},
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use cutwater_core::Split;

use crate::{
    Context, Error, Record,
    output::frames::{FrameError, Frames},
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec, labelled},
};

/// The records of a file of frames.
struct ReadRecords<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for ReadRecords<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let path: PathBuf = match postcard::from_bytes(&node.split(partition)?.place) {
            Ok(path) => path,
            Err(error) => {
                return node.refuse(format_args!("the name of a file cannot be read back: {error}"));
            }
        };
        let failed = |error: FrameError| {
            let message = format!("cannot read {}: {error}", path.display());
            // Reading once more may help against the disk, not against the wrong type.
            if matches!(error, FrameError::Mistyped { .. }) {
                node.refuse(message)
            } else {
                node.external(message)
            }
        };
        let opened = File::open(&path).map_err(FrameError::from);
        let mut frames = match opened.and_then(|file| Frames::new(BufReader::new(file))) {
            Ok(frames) => frames,
            Err(error) => return failed(error),
        };
        loop {
            match frames.next() {
                Ok(Some(record)) => {
                    node.go_on(1)?;
                    emit(record)?;
                }
                Ok(None) => return Flow::Continue(()),
                Err(error) => return failed(error),
            }
        }
    }
}

impl Context {
    /// The records that [`DStream::save_records`](crate::DStream::save_records) or
    /// [`Rdd::save_records`] saved: those of one folder, or, given the folder in which a stream was saved,
    /// those of all its intervals in order of time (`api.md` §12). A file is a partition.
    ///
    /// # Errors
    /// The folder cannot be read or holds no such files. A damaged file, or records of another type, are
    /// errors of the action that reads them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let into = dir.path();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec![3, 1], vec![], vec![2]]).save_records(into);
    /// harness.advance(3)?;
    /// assert_eq!(harness.ctx().saved_records::<i32>(into)?.collect()?, [3, 1, 2]);
    /// assert!(harness.ctx().saved_records::<String>(into)?.collect().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn saved_records<T: Record>(&self, folder: impl AsRef<Path>) -> Result<Rdd<T>, Error> {
        let folder = folder.as_ref();
        let label: Arc<str> = labelled("saved_records").into();
        let spec = OperatorSpec::of::<ReadRecords<T>>(label.clone(), &());
        let files = saved_files(folder).map_err(|error| {
            Error::external(format_args!("{label}: cannot read {}: {error}", folder.display()))
        })?;
        if files.is_empty() {
            return Err(Error::external(format_args!(
                "{label}: {} holds no records that were saved",
                folder.display()
            )));
        }
        let split = |path: PathBuf| {
            let place = postcard::to_allocvec(&path).map_err(Error::user)?.into();
            Ok(Split { blocks: Vec::new(), place })
        };
        let splits = files.into_iter().map(split).collect::<Result<_, Error>>()?;
        Ok(DatasetNode::source(self.engine(), splits, &spec.any).of(&spec))
    }
}

/// The files of a folder, or of the folders in it that bear a time; in order.
fn saved_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut parts, mut times) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix("part-").and_then(|number| number.parse::<u32>().ok()) {
            parts.push((number, entry.path()));
        } else if let Ok(time) = name.parse::<i64>() {
            times.push((time, entry.path()));
        }
    }
    parts.sort();
    let mut files: Vec<_> = parts.into_iter().map(|(_, path)| path).collect();
    if files.is_empty() {
        times.sort();
        for (_, interval) in times {
            files.extend(saved_files(&interval)?);
        }
    }
    Ok(files)
}
