//! Files that are never written over.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::CertsError;

pub fn make_folder(folder: &Path) -> Result<(), CertsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("make the folder", folder))
}

/// A key: only its owner can read it, from the first byte on.
pub fn write_private(file: &Path, text: &str) -> Result<(), CertsError> {
    write(file, text, 0o600)
}

pub fn write_public(file: &Path, text: &str) -> Result<(), CertsError> {
    write(file, text, 0o644)
}

pub fn read(file: &Path) -> Result<String, CertsError> {
    std::fs::read_to_string(file).map_err(failed("read", file))
}

fn write(file: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let write = || -> io::Result<()> {
        let mut created = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
        created.write_all(text.as_bytes())?;
        created.sync_all()
    };
    write().map_err(failed("write", file))
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> CertsError {
    move |error| CertsError::File { what, file: file.to_owned(), error }
}
