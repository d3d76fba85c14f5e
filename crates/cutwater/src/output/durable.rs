//! Files and folders that are still there after the power has failed.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::testing;

/// Creates `path` with `bytes`, whole or not at all. Answers `false`, and changes nothing, if it is there already or if
/// somebody else was at work in the folder meanwhile. `beside` is a name for the time until then that nobody else uses.
pub(super) fn create(path: &Path, beside: &str, bytes: &[u8]) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = folder.join(beside);
    let mut file = File::create(&beside)?;
    testing::step("file created beside");
    // A link, and not a rename: it fails where there is a file already.
    let linked =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&beside, path));
    testing::step("file linked");
    let _ = fs::remove_file(&beside);
    match linked {
        Ok(()) => sync_folder(folder).map(|()| true),
        // Whoever created it may not have come to this yet, and it is built upon now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync_folder(folder).map(|()| false),
        // Somebody has cleared away what is beside, and so been there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates a folder, with those it is in.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("/"));
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(parent)?;
            return create_folder(folder);
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Also if it was there: who created it may not have come to this yet.
    sync_folder(parent)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a file that is named without one.
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}
