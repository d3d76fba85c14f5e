//! The same work in a plain loop on one thread, measured in the same run: machines differ, and so do
//! the hours of one machine, but the ratio of two figures of one minute says something.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    str,
    time::Instant,
};

use hashbrown::HashMap;

use crate::error::BenchError;

/// Bytes read at a time; as much as the engine reads.
const READ_BYTES: usize = 128 << 10;

/// Records a second of a loop that counts words over a range of bytes of a file: looked up where they
/// lie, or as `owned` strings.
///
/// # Errors
/// The file cannot be read.
pub fn wordcount(path: &Path, bytes: Range<u64>, owned: bool) -> Result<f64, BenchError> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    if owned {
        let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        return measure(path, bytes, |line| {
            for word in words(line.to_owned()) {
                *counts.entry(word).or_default() += 1;
            }
        });
    }
    measure(path, bytes, |line| {
        for word in line.split(' ') {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    })
}

/// Records a second of a loop that looks for a pattern in lines where they lie.
///
/// # Errors
/// The file cannot be read.
pub fn grep(path: &Path, bytes: Range<u64>, pattern: &str) -> Result<f64, BenchError> {
    let mut matching = 0u64;
    let rate = measure(path, bytes, |line| matching += u64::from(line.contains(pattern)));
    std::hint::black_box(matching);
    rate
}

/// Calls `each` with every line. Lines are those of `generate`: a range that begins
/// and ends with a record.
fn measure(path: &Path, bytes: Range<u64>, mut each: impl FnMut(&str)) -> Result<f64, BenchError> {
    let failed = |source| BenchError::File { action: "read", path: path.to_owned(), source };
    let began = Instant::now();
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(bytes.start)).map_err(failed)?;
    let mut input = file.take(bytes.end - bytes.start);
    let (mut buffer, mut kept, mut records) = (vec![0; READ_BYTES], 0, 0u64);
    loop {
        let read = input.read(&mut buffer[kept..]).map_err(failed)?;
        if read == 0 {
            return Ok(records as f64 / began.elapsed().as_secs_f64());
        }
        let filled = kept + read;
        let whole = buffer[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        for line in str::from_utf8(&buffer[..whole]).unwrap_or_default().lines() {
            each(line);
            records += 1;
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_sees_every_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let record = format!("{}\n", ["abcdefghi"; 10].join(" "));
        std::fs::write(&path, record.repeat(5000)).unwrap();
        let mut seen = 0;
        measure(&path, 100..400_000, |line| seen += usize::from(line.len() == 99)).unwrap();
        assert_eq!(seen, 3999);
    }
}
