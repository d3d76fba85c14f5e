//! Three services that write logs, each rotated when it is full: two are renamed, and one is copied and cut short.
//!
//! `cargo run --release --example log_writer [folder]`

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cutwater_examples::made_up::{random, temporary};

const LOG_BYTES_MAX: u64 = 20_000;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).map(PathBuf::from);
    let path = |name: &str| match &folder {
        Some(folder) => folder.join(format!("{name}.log")),
        None => temporary(&format!("{name}.log")),
    };
    let paths = ["auth", "orders", "search"].map(path);
    let mut logs = Vec::new();
    for path in &paths {
        logs.push(open(path)?);
        println!("{}", path.display());
    }
    for n in 0u64.. {
        for (log, path) in logs.iter_mut().zip(&paths) {
            let chance = random(n) ^ path.as_os_str().len() as u64;
            let level = if chance.is_multiple_of(20) { "ERROR" } else { "INFO" };
            writeln!(log, "{n} {level} request {chance:x}")?;
            if log.metadata()?.len() >= LOG_BYTES_MAX {
                rotate(log, path)?;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn rotate(log: &mut File, path: &Path) -> io::Result<()> {
    let old = path.with_extension("log.1");
    if path.ends_with("search.log") {
        fs::copy(path, old)?;
        log.set_len(0)
    } else {
        fs::rename(path, old)?;
        *log = open(path)?;
        Ok(())
    }
}
