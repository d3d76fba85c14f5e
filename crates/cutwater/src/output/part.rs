//! Files of a folder, one for each partition, that are there all together or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use cutwater_core::Time;

use super::durable;
use crate::{
    Error, Record,
    rdd::{Rdd, unless_enough},
    task::{Emit, Flow, Node, OperatorSpec, Stop},
};

/// How often the removal of a folder is tried that is not empty after all, and how long it waits in between: what was
/// on its way is there within moments.
const REMOVE_TRIES_MAX: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(1);

/// Writes a partition to a file of its own in `folder`, which begins with `header`, and emits the
/// file's name.
pub(super) fn write_part<T: Record>(
    node: Node<'_>,
    partition: u32,
    folder: &Path,
    header: &[u8],
    mut write: impl FnMut(&mut dyn Write, T) -> io::Result<()>,
    emit: &mut Emit<'_, String>,
) -> Flow {
    // Several attempts may write at the same time, each to a name of its own; the last to rename puts
    // the same bytes in place as the first.
    static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let name = format!("part-{partition:05}");
    let beside = folder.join(format!(".{name}.{}-{attempt}", std::process::id()));
    let whole = folder.join(&name);

    let file = match File::create(&beside) {
        Ok(file) => file,
        Err(error) => return node.external(format_args!("cannot create {}: {error}", beside.display())),
    };
    let mut writer = BufWriter::new(file);
    let mut failed = writer.write_all(header).err();
    unless_enough(node.each::<T>(0, partition, &mut |record| {
        if failed.is_none() {
            failed = write(&mut writer, record).err();
        }
        if failed.is_none() { Flow::Continue(()) } else { Flow::Break(Stop::Enough) }
    }))?;
    let written =
        failed.map_or(Ok(()), Err).and_then(|()| finish(writer)).and_then(|()| fs::rename(&beside, &whole));
    match written {
        Ok(()) => emit(name),
        Err(error) => {
            // The attempt's own file, of no use to anyone now.
            let _ = fs::remove_file(&beside);
            node.external(format_args!("cannot write {}: {error}", whole.display()))
        }
    }
}

fn finish(writer: BufWriter<File>) -> io::Result<()> {
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Runs the operator that `write` makes for a folder beside `whole`, which gets that name when all of it
/// is there.
pub(super) fn fill_folder<T: Record>(
    rdd: &Rdd<T>,
    whole: &Path,
    write: impl FnOnce(&PathBuf) -> OperatorSpec<String>,
) -> Result<(), Error> {
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let beside = whole.with_file_name(format!(".{name}.partial"));
    let external = |what: &str, error: io::Error| {
        Error::external(format_args!("cannot {what} {}: {error}", beside.display()))
    };
    discard(&beside).map_err(|error| external("clear", error))?;
    fs::create_dir_all(&beside).map_err(|error| external("create", error))?;
    let written = rdd.narrow(&write(&beside)).compute();
    let rename = || {
        durable::sync_folder(&beside)?;
        fs::rename(&beside, whole)?;
        durable::sync_folder(whole.parent().unwrap_or(Path::new(".")))
    };
    let renamed = written.and_then(|_| rename().map_err(|error| external("rename", error)));
    if renamed.is_err() {
        // What is left of it is of no use, and the error that counts is the first.
        let _ = discard(&beside);
    }
    renamed
}

/// Removes a folder that attempts may still be writing to: once it has another name each of them can put into it
/// only the one thing that it was about to.
fn discard(folder: &Path) -> io::Result<()> {
    let dropped = folder.with_extension("dropped");
    remove(&dropped)?;
    match fs::rename(folder, &dropped) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.and_then(|()| remove(&dropped)),
    }
}

/// Removes a folder into which nothing new comes but what is on its way.
fn remove(folder: &Path) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < REMOVE_TRIES_MAX => {
                tries += 1;
                thread::sleep(REMOVE_PAUSE);
            }
            removed => return removed,
        }
    }
}

/// The folder of an interval in `into`, or `None` if it is there already and so holds all of it.
pub(super) fn folder_of(into: &Path, t: Time) -> Option<PathBuf> {
    let whole = into.join(t.as_ms().to_string());
    if whole.exists() {
        tracing::info!(interval = %t, folder = %whole.display(), "saved before; left as it is");
        return None;
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_still_written_to_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("1000.partial");
        for _ in 0..100 {
            fs::create_dir(&folder).unwrap();
            thread::scope(|scope| {
                for writer in 0..4 {
                    let folder = &folder;
                    // Until it has another name.
                    scope.spawn(move || {
                        (0..).map_while(|n| File::create(folder.join(format!("{writer}-{n}"))).ok()).count()
                    });
                }
                while fs::read_dir(&folder).unwrap().count() < 40 {}
                discard(&folder).unwrap();
            });
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
