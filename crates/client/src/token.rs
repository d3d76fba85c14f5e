use std::{
    fs,
    path::{Path, PathBuf},
};

use cutwater_wire::handshake::Secret;

/// What proves that a client may send. It is never printed.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// Known from the start.
    Known(Secret),
    /// In this file, which is read again for each connection: a program that was started again has another.
    File(PathBuf),
    /// In the file where a program on this machine puts it, by the port of its address.
    Usual,
}

impl Token {
    /// The secret for a connection to `address`.
    pub fn secret(&self, address: &str) -> Result<Secret, String> {
        match self {
            Self::Known(secret) => Ok(secret.clone()),
            Self::File(file) => read(file),
            Self::Usual => {
                let port = address.rsplit(':').next().unwrap_or_default();
                let folder =
                    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
                read(&folder.join(format!("cutwater-{port}.token"))).map_err(|why| {
                    format!("{why}; a program with certificates takes no client without (`Builder::tls`)")
                })
            }
        }
    }
}

fn read(file: &Path) -> Result<Secret, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read the token from {}: {error}", file.display()))?;
    if text.trim().is_empty() {
        return Err(format!("the token file {} is empty", file.display()));
    }
    Ok(Secret::of(&text))
}
