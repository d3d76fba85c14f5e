use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{context::ADDRESS_FILE, error::Error};

/// Writes where workers join to the file that the environment names, if it does; and in a second line, if so, that the
/// program `goes_on` where it was when it is started again. Whoever starts a master on any free port learns from it which
/// that is, that it listens, and whether it may be started again.
pub(crate) fn tell_address(address: &str, goes_on: bool) -> Result<(), Error> {
    let Some(file) = env::var_os(ADDRESS_FILE).map(PathBuf::from).filter(|file| !file.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let text = format!("{address}\n{}", if goes_on { "goes on\n" } else { "" });
    write(&file, &text).map_err(|error| {
        Error::external(format_args!(
            "cannot write the address of this master to {}: {error}",
            file.display()
        ))
    })
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    // Whoever waits for it sees all of it or nothing.
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}
