//! Slow, obvious answers that a job compares the engine's with.
//!
//! Nothing here is shared with the engine: no partitions, no combiners, no search library. A mistake would have
//! to be made twice, in two different ways, to go unnoticed.
//!
//! A record is what lies between newlines, without them; the last one needs none. A word is what lies between
//! spaces and is not empty.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use crate::error::BenchError;

/// How often each word occurs.
pub type Counts = HashMap<Vec<u8>, u64>;

/// Every record of a file.
pub const ALL: Range<u64> = 0..u64::MAX;

/// The records of the chunks that a window of `window` chunks covers when it ends with chunk `last`, counted
/// from 0. Early windows are shorter: nothing lies before the first chunk.
pub fn window_records(last: u64, window: u64, chunk_records: u64) -> Range<u64> {
    let end = last + 1;
    end.saturating_sub(window) * chunk_records..end * chunk_records
}

/// Counts the `records` of a file that contain `pattern`. Every record contains the empty pattern.
///
/// # Errors
///
/// If the file cannot be read.
pub fn count_matching(path: &Path, records: Range<u64>, pattern: &[u8]) -> Result<u64, BenchError> {
    let mut matching = 0;
    for_each_record(path, records, |record| {
        // The first byte by itself spares a call for each of the many places that do not even begin right.
        let found = pattern.first().is_none_or(|first| {
            record.windows(pattern.len()).any(|place| place[0] == *first && place == pattern)
        });
        matching += u64::from(found);
    })?;
    Ok(matching)
}

/// Counts the words of the `records` of a file.
///
/// # Errors
///
/// If the file cannot be read.
pub fn count_words(path: &Path, records: Range<u64>) -> Result<Counts, BenchError> {
    let mut counts = Counts::new();
    for_each_record(path, records, |record| {
        for word in record.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            // Looked up before it is inserted, so that only a new word is copied.
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_vec(), 1);
                }
            }
        }
    })?;
    Ok(counts)
}

/// The ten most frequent words, most frequent first; of equally frequent ones the alphabetically first.
pub fn top_ten(counts: &Counts) -> Vec<(Vec<u8>, u64)> {
    let mut all: Vec<_> = counts.iter().map(|(word, count)| (word.clone(), *count)).collect();
    all.sort_unstable_by(|(word_a, count_a), (word_b, count_b)| {
        count_b.cmp(count_a).then_with(|| word_a.cmp(word_b))
    });
    all.truncate(10);
    all
}

/// One number for a set of counts, whatever their order: the `result` of a job that counts.
///
/// It tells two runs apart; it does not replace the comparison of all counts with the reference. 53 bits, so that
/// every reader of JSON keeps it exact.
pub fn digest<'a>(counts: impl IntoIterator<Item = (&'a [u8], u64)>) -> u64 {
    let sum = counts.into_iter().fold(0u64, |sum, (word, count)| sum.wrapping_add(hash(word, count)));
    sum >> 11
}

/// FNV-1a over the word and its count, mixed once more: sums need good upper bits, which FNV lacks.
fn hash(word: &[u8], count: u64) -> u64 {
    let bytes = word.iter().copied().chain(count.to_le_bytes());
    let fnv = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Calls `visit` with each of the `records` of a file, in order.
///
/// # Errors
///
/// If the file cannot be read.
pub fn for_each_record(path: &Path, records: Range<u64>, visit: impl FnMut(&[u8])) -> Result<(), BenchError> {
    let file = File::open(path).map_err(BenchError::file("open", path))?;
    visit_records(file, records, 1 << 20, visit).map_err(BenchError::file("read", path))
}

fn visit_records(
    mut input: impl Read,
    records: Range<u64>,
    buffer_bytes: usize,
    mut visit: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    let mut filled = 0;
    let mut index = 0;
    loop {
        let read = match input.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let before = filled;
        filled += read;
        if read == 0 {
            if filled > 0 && records.contains(&index) {
                visit(&buffer[..filled]);
            }
            return Ok(());
        }
        // Only the new bytes can hold the newline that ends what was left over.
        let (mut start, mut search) = (0, before);
        while let Some(length) = buffer[search..filled].iter().position(|byte| *byte == b'\n') {
            let newline = search + length;
            if records.contains(&index) {
                visit(&buffer[start..newline]);
            }
            index += 1;
            if index >= records.end {
                return Ok(());
            }
            (start, search) = (newline + 1, newline + 1);
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            // A record longer than the buffer.
            buffer.resize(2 * filled, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "a b a\nb c\n\na  d\nlast a";

    fn file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), TEXT).unwrap();
        file
    }

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(word, count)| (word.as_bytes().to_vec(), *count)).collect()
    }

    #[test]
    fn records_are_the_same_for_every_size_of_buffer() {
        let expected: Vec<_> = TEXT.split('\n').map(|line| line.as_bytes().to_vec()).collect();
        for buffer_bytes in 1..30 {
            let mut seen = Vec::new();
            visit_records(TEXT.as_bytes(), ALL, buffer_bytes, |record| seen.push(record.to_vec())).unwrap();
            assert_eq!(seen, expected, "buffer of {buffer_bytes}");
        }
    }

    #[test]
    fn a_newline_at_the_end_begins_no_record() {
        let mut seen = 0;
        visit_records("a\nb\n".as_bytes(), ALL, 16, |_| seen += 1).unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn matching_records_are_counted_once() {
        let file = file();
        let count =
            |records, pattern: &str| count_matching(file.path(), records, pattern.as_bytes()).unwrap();
        assert_eq!(count(ALL, "a"), 3);
        assert_eq!(count(1..4, "a"), 1);
        assert_eq!(count(ALL, "b c"), 1);
        assert_eq!(count(ALL, "c\n"), 0);
        assert_eq!(count(ALL, ""), 5);
    }

    #[test]
    fn words_are_counted_over_the_records_asked_for() {
        let file = file();
        let count = |records| count_words(file.path(), records).unwrap();
        assert_eq!(count(ALL), counts(&[("a", 4), ("b", 2), ("c", 1), ("d", 1), ("last", 1)]));
        assert_eq!(count(0..2), counts(&[("a", 2), ("b", 2), ("c", 1)]));
        assert_eq!(count(7..9), Counts::new());
        assert_eq!(count(0..0), Counts::new());
    }

    #[test]
    fn a_window_covers_the_last_chunks() {
        assert_eq!(window_records(4, 3, 10), 20..50);
        assert_eq!(window_records(1, 3, 10), 0..20);
    }

    #[test]
    fn ties_of_the_top_ten_are_broken_by_the_alphabet() {
        let many: Counts = (0..20u8).map(|n| (vec![b'a' + n], u64::from(n / 2))).collect();
        let top: Vec<_> = top_ten(&many).into_iter().map(|(word, count)| (word[0] as char, count)).collect();
        let expected = "stqropmnkl".chars().zip([9, 9, 8, 8, 7, 7, 6, 6, 5, 5]).collect::<Vec<_>>();
        assert_eq!(top, expected);
        assert_eq!(top_ten(&counts(&[("a", 1)])).len(), 1);
    }

    #[test]
    fn the_digest_ignores_order_and_sees_every_count() {
        let pairs = [(b"a".as_slice(), 1), (b"b".as_slice(), 2)];
        let digest_of = |pairs: &[(&'static [u8], u64)]| digest(pairs.iter().copied());
        assert_eq!(digest_of(&pairs), digest_of(&[pairs[1], pairs[0]]));
        assert_ne!(digest_of(&pairs), digest_of(&[(b"a", 2), (b"b", 1)]));
        assert!(digest_of(&pairs) < 1 << 53);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = count_words(Path::new("no/such/file"), ALL).unwrap_err().to_string();
        assert!(error.contains("cannot open no/such/file"), "{error}");
    }
}
