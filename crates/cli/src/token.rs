//! The token that agents and their callers share: a file that only their user can read.

use std::{
    env,
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use cutwater_wire::handshake::Secret;
use tempfile::NamedTempFile;

/// Where the token is if nothing is said: among the user's configuration.
///
/// # Errors
/// The user has no folder.
pub fn usual_file() -> anyhow::Result<PathBuf> {
    let folder = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let folder = folder.filter(|folder| folder.is_absolute());
    Ok(folder
        .context("there is no HOME; say by `--token-file` where the token is")?
        .join("cutwater/agents.token"))
}

/// The token in `file`.
///
/// # Errors
/// It cannot be read, or others can read it too.
pub fn read(file: &Path) -> anyhow::Result<Secret> {
    let name = file.display();
    let opened = File::open(file).with_context(|| {
        format!("cannot read the token from {name}; the first agent makes it, and other machines need a copy")
    })?;
    let metadata = opened.metadata()?;
    ensure!(
        metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0,
        "the token in {name} must belong to this user and be readable by nobody else (chmod 600)"
    );
    let mut text = String::new();
    opened
        .take(1 << 10)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the token from {name}"))?;
    ensure!(!text.trim().is_empty(), "the token in {name} is empty");
    Ok(Secret::of(&text))
}

/// The token in `file`, which is made if it is not there.
///
/// # Errors
/// Those of [`read`], or it cannot be made.
pub fn read_or_make(file: &Path) -> anyhow::Result<Secret> {
    if !file.exists() {
        make(file).with_context(|| format!("cannot write a token to {}", file.display()))?;
    }
    read(file)
}

fn make(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Written beside (and readable by its user only) and then named, so that of two agents that start together both read the same whole token.
    let mut beside = NamedTempFile::new_in(folder)?;
    beside.write_all(Secret::new()?.to_text().as_bytes())?;
    match beside.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
        thread,
    };

    use super::*;

    #[test]
    fn it_is_made_once_and_only_for_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/token");
        assert!(read(&file).unwrap_err().to_string().contains("the first agent makes it"));
        let secrets: Vec<_> = thread::scope(|scope| {
            let made: Vec<_> = (0..4).map(|_| scope.spawn(|| read_or_make(&file).unwrap())).collect();
            made.into_iter().map(|made| made.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == read(&file).unwrap()));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_can_read_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "token").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains(file.to_str().unwrap()), "{error}");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&file).unwrap(), Secret::of("token"));
        fs::write(&file, " \n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("is empty"));
    }
}
