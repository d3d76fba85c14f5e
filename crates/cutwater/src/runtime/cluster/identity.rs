use std::{fs::File, sync::OnceLock};

use cutwater_wire::handshake::ExecutableHash;

use crate::error::Error;

/// What this process runs. The kernel's own link is followed, so that a file that was replaced since the
/// start is not taken for what is running.
pub(crate) fn executable() -> Result<ExecutableHash, Error> {
    static HASH: OnceLock<ExecutableHash> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(*hash);
    }
    let unreadable =
        |error| Error::external(format_args!("cannot read the executable of this process: {error}"));
    let file = match File::open("/proc/self/exe") {
        Ok(file) => file,
        Err(_) => std::env::current_exe().and_then(File::open).map_err(unreadable)?,
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(unreadable)?;
    Ok(*HASH.get_or_init(|| ExecutableHash(hasher.finalize().into())))
}

/// The memory of this machine in bytes, or 0 if it does not say.
pub(crate) fn memory_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}
