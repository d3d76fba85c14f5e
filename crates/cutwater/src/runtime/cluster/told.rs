use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{context::ADDRESS_FILE, error::Error};

/// Writes where workers join to the file that the environment names, if it does. Whoever starts a master on
/// any free port learns from it which that is, and that it listens.
pub(crate) fn tell_address(address: &str) -> Result<(), Error> {
    let Some(file) = env::var_os(ADDRESS_FILE).map(PathBuf::from).filter(|file| !file.as_os_str().is_empty())
    else {
        return Ok(());
    };
    write(&file, address).map_err(|error| {
        Error::external(format_args!(
            "cannot write the address of this master to {}: {error}",
            file.display()
        ))
    })
}

fn write(file: &Path, address: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    // Whoever waits for it sees all of it or nothing.
    fs::write(&beside, format!("{address}\n"))?;
    fs::rename(&beside, file)
}
