use std::collections::HashMap;

use super::*;

fn generated(seed: u64, records: usize) -> Vec<u8> {
    let mut block = vec![0; records * RECORD_BYTES];
    Generator::new(seed).fill(&mut block);
    block
}

#[test]
fn every_record_is_100_bytes_and_10_words_of_the_vocabulary() {
    let vocabulary: Vec<_> = (0..WORDS).map(word).collect();
    let text = generated(7, 1000);
    assert_eq!(text.len(), 100_000);
    for line in text.split_inclusive(|b| *b == b'\n') {
        assert_eq!(line.len(), 100);
        let words: Vec<_> = line[..99].split(|b| *b == b' ').collect();
        assert_eq!(words.len(), 10);
        assert!(words.iter().all(|w| vocabulary.iter().any(|v| v == w)));
    }
}

#[test]
fn frequencies_follow_zipf() {
    let text = generated(DEFAULT_SEED, 200_000);
    let mut counts: HashMap<&[u8], f64> = HashMap::new();
    for word in text.split(|b| b.is_ascii_whitespace()) {
        *counts.entry(word).or_default() += 1.0;
    }
    let count = |rank: u32| counts[word(rank - 1).as_slice()];
    for (rank, tolerance) in [(2, 0.02), (10, 0.05), (100, 0.15)] {
        let ratio = count(1) / count(rank) / f64::from(rank);
        assert!((ratio - 1.0).abs() < tolerance, "rank {rank}: {ratio}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_it_is_divided() {
    let whole = generated(3, 100);
    let (mut parts, mut generator) = (vec![0; whole.len()], Generator::new(3));
    let (first, second) = parts.split_at_mut(37 * RECORD_BYTES);
    generator.fill(first);
    generator.fill(second);
    assert_eq!(parts, whole);
    assert_ne!(generated(4, 100), whole);
}

#[test]
fn the_bytes_are_those_that_recorded_figures_were_measured_on() {
    let mut checksum = Crc::new();
    checksum.update(&generated(DEFAULT_SEED, 10_000));
    assert_eq!(checksum.sum(), 2_756_822_703, "a change here makes every recorded figure incomparable");
}

#[test]
fn the_default_pattern_is_in_about_one_line_of_a_thousand() {
    assert_eq!(word(999), RARE_WORD.as_bytes());
    let text = generated(DEFAULT_SEED, 200_000);
    let lines = text.split(|b| *b == b'\n');
    let matching = lines.filter(|l| l.windows(LETTERS).any(|w| w == RARE_WORD.as_bytes())).count();
    assert!((150..250).contains(&matching), "{matching}");
}

#[test]
fn the_progress_bar_can_be_drawn() {
    progress_bar(10).finish_and_clear();
}

fn options(out: PathBuf) -> Generate {
    Generate { records: 25_000, out, seed: DEFAULT_SEED }
}

#[test]
fn a_run_leaves_one_complete_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "old").unwrap();
    let report = run(&options(path.clone())).unwrap();
    let text = fs::read(&path).unwrap();
    assert_eq!(text, generated(DEFAULT_SEED, 25_000));
    let mut checksum = Crc::new();
    checksum.update(&text);
    assert_eq!(report.result, u64::from(checksum.sum()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_unfinished_file_vanishes_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "old").unwrap();
    let error = Partial::create(&path).unwrap().finish(100).unwrap_err().to_string();
    assert!(error.contains("has 0 bytes and not 100"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/text");
    let error = run(&options(missing.clone())).unwrap_err().to_string();
    assert!(error.contains(&missing.display().to_string()) && error.contains("no directory"), "{error}");
    let error = run(&options(folder.path().to_path_buf())).unwrap_err().to_string();
    assert!(error.contains("is not a file"), "{error}");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = write_records(&mut Full, &options(PathBuf::new()), &ProgressBar::hidden()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
