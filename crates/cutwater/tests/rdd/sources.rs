use std::{fs, io::Write, path::Path};

use cutwater::{Context, ErrorKind};

use crate::grid;

#[test]
fn vectors_ranges_and_iterators() {
    grid(|ctx, partitions| {
        assert_eq!(
            ctx.parallelize_into(partitions, vec!["a".to_owned(), "b".to_owned()]).collect().unwrap(),
            ["a", "b"]
        );
        assert_eq!(ctx.parallelize_into(partitions, 5..=9u8).collect().unwrap(), [5, 6, 7, 8, 9]);
        assert_eq!(ctx.parallelize_into(partitions, (0..9).step_by(4)).collect().unwrap(), [0, 4, 8]);
        assert_eq!(ctx.parallelize_into(partitions, Some(1.5)).collect().unwrap(), [1.5]);
    });
    assert_eq!(Context::local(3).parallelize(0..10).num_partitions(), 3);
}

fn gzip(path: &Path, members: &[&str]) {
    let mut file = fs::File::create(path).unwrap();
    for member in members {
        // Files put together with `cat` have several members.
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(member.as_bytes()).unwrap();
        file.write_all(&encoder.finish().unwrap()).unwrap();
    }
}

#[test]
fn lines_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let towns: String = (0..1000).map(|n| format!("town {n} – {}\n", "é".repeat(n % 9))).collect();
    let texts = [
        ("towns.txt", towns.as_str()),
        ("empty.txt", ""),
        ("blank.txt", "\n\n\n"),
        ("unended.txt", "one\ntwo"),
        ("windows.txt", "one\r\ntwo\r\n\r\nthree\rx\r\n"),
        ("return.txt", "one\ntwo\r"),
    ];
    for (name, text) in texts {
        fs::write(at(name), text).unwrap();
    }
    gzip(&at("packed.gz"), &["a\nb", "c\n", "d\n"]);
    gzip(&at("SHOUTED.GZ"), &["e\nf\n"]);
    for threads in [1, 2, 4] {
        let ctx = Context::local(threads);
        for (name, text) in texts {
            let lines = ctx.text_files([at(name)]).unwrap();
            assert_eq!(lines.num_partitions() as usize, threads);
            assert_eq!(lines.collect().unwrap(), text.lines().collect::<Vec<_>>(), "{name}");
        }
        let packed = ctx.text_files([at("packed.gz")]).unwrap();
        assert_eq!(packed.num_partitions(), 1, "a compressed file cannot be entered in the middle");
        assert_eq!(packed.collect().unwrap(), ["a", "bc", "d"]);
        assert_eq!(ctx.text_files([at("SHOUTED.GZ")]).unwrap().collect().unwrap(), ["e", "f"]);
        let all = ctx.text_files([at("unended.txt"), at("packed.gz"), at("windows.txt")]).unwrap();
        assert_eq!(all.collect().unwrap(), ["one", "two", "a", "bc", "d", "one", "two", "", "three\rx"]);
        assert_eq!(all.take(3).unwrap(), ["one", "two", "a"]);
        assert_eq!(all.count().unwrap(), 9);
    }
}

#[test]
fn every_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("there"), "x").unwrap();
    let ctx = Context::local(1);
    let error = ctx.text_files(["gone", "there", "lost"].map(|name| dir.path().join(name))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    let text = error.to_string();
    assert!(text.contains("gone") && text.contains("lost") && !text.contains("there"), "{text}");
}

#[test]
fn a_file_that_goes_away_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleeting");
    fs::write(&path, "x\n").unwrap();
    let lines = Context::local(1).text_files([&path]).unwrap();
    fs::remove_file(&path).unwrap();
    let error = lines.collect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains("fleeting") && error.to_string().contains("sources.rs:"), "{error}");
}

#[test]
fn bytes_that_are_not_text_are_refused_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mixed");
    fs::write(&path, b"fine\n\xff\xfe\nfine\n").unwrap();
    let error = Context::local(2).text_files([&path]).unwrap().collect().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("at byte 5 of") && text.contains("mixed") && text.contains("UTF-8"), "{text}");
}

#[test]
fn broken_compression_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.gz");
    fs::write(&path, "this is not gzip").unwrap();
    let error = Context::local(1).text_files([&path]).unwrap().collect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains("broken.gz"), "{error}");
}
