use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Error, rdd::is_gzip};

/// The lines of files, one file after the other, read as they are asked for.
pub(super) struct Reader {
    paths: Vec<PathBuf>,
    header_lines: usize,
    line_bytes_max: usize,
    /// The file that is read, or will be next.
    at: usize,
    open: Option<Open>,
    line: Vec<u8>,
    /// Bytes of all files as they lie on disk, and those of them that were read.
    total: u64,
    read: Arc<AtomicU64>,
}

struct Open {
    input: Box<dyn BufRead + Send>,
    /// Where the next line begins, in bytes of the text.
    offset: u64,
    headers: usize,
}

/// A line without its end.
pub(super) struct RawLine<'a> {
    pub bytes: &'a [u8],
    pub path: &'a Path,
    pub offset: u64,
    /// With its end.
    pub length: u64,
    /// Whether these are only its first bytes.
    pub too_long: bool,
}

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

impl Reader {
    pub fn new(paths: Vec<PathBuf>, header_lines: usize, line_bytes_max: usize) -> Self {
        Self {
            paths,
            header_lines,
            line_bytes_max,
            at: 0,
            open: None,
            line: Vec::new(),
            total: 0,
            read: Arc::default(),
        }
    }

    /// What keeps files from being read, file by file.
    pub fn faults(&mut self) -> Vec<String> {
        let size = |path: &PathBuf| {
            let metadata = fs::metadata(path)?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            File::open(path).map(|_| metadata.len())
        };
        if self.paths.is_empty() {
            return vec!["no file is given".to_owned()];
        }
        let mut faults = Vec::new();
        self.total = 0;
        for path in &self.paths {
            match size(path) {
                Ok(size) => self.total += size,
                Err(error) => faults.push(format!("cannot read {}: {error}", path.display())),
            }
        }
        faults
    }

    /// The next line; `None` after the last. After an error it goes on with the next file: what
    /// cannot be read now will not be read by trying for ever.
    pub fn next(&mut self) -> Result<Option<RawLine<'_>>, Error> {
        while self.at < self.paths.len() {
            match self.step() {
                Ok(Some((offset, length))) => {
                    let too_long = self.line.len() > self.line_bytes_max;
                    self.line.truncate(self.line_bytes_max);
                    return Ok(Some(RawLine {
                        bytes: &self.line,
                        path: &self.paths[self.at],
                        offset,
                        length,
                        too_long,
                    }));
                }
                Ok(None) => self.pass_on(),
                Err(error) => {
                    let offset = self.open.as_ref().map_or(0, |open| open.offset);
                    let path = self.paths[self.at].display();
                    let error =
                        Error::external(format_args!("cannot read {path} on from byte {offset}: {error}"));
                    self.pass_on();
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Reads a line into `line`, which may be cut short but tells by its length that it is; says
    /// where it begins and how long it is. `None` at the end of the file.
    fn step(&mut self) -> io::Result<Option<(u64, u64)>> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let headers = self.header_lines;
                none.insert(Open { input: opened(&self.paths[self.at], &self.read)?, offset: 0, headers })
            }
        };
        loop {
            let begins = open.offset;
            // The line, its end of two bytes, and one to tell that it is longer.
            let keep = self.line_bytes_max + 3;
            let length = read_line(&mut *open.input, &mut self.line, keep)?;
            open.offset += length;
            if length == 0 {
                return Ok(None);
            }
            if open.headers > 0 {
                open.headers -= 1;
                continue;
            }
            return Ok(Some((begins, length)));
        }
    }

    fn pass_on(&mut self) {
        self.open = None;
        self.at += 1;
    }

    /// Reads no further.
    pub fn stop(&mut self) {
        self.open = None;
        self.at = self.paths.len();
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.paths.len()
    }

    /// How much of the files was read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        let read = self.read.load(Ordering::Relaxed);
        if self.total == 0 || self.is_done() { 1.0 } else { (read as f64 / self.total as f64).min(1.0) }
    }
}

/// Reads a line and keeps its first `keep` bytes, without the line end; says how long it was with it.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, keep: usize) -> io::Result<u64> {
    line.clear();
    let mut length = 0;
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let newline = memchr::memchr(b'\n', buffer);
        let piece = newline.map_or(buffer.len(), |at| at + 1);
        let kept = newline.unwrap_or(piece).min(keep - line.len());
        line.extend_from_slice(&buffer[..kept]);
        input.consume(piece);
        length += piece as u64;
        if newline.is_some() || piece == 0 {
            // Without a line feed after it, a carriage return is part of the line.
            if newline.is_some() && line.ends_with(b"\r") {
                line.pop();
            }
            return Ok(length);
        }
    }
}

fn opened(path: &Path, read: &Arc<AtomicU64>) -> io::Result<Box<dyn BufRead + Send>> {
    let file = Counted { file: File::open(path)?, read: read.clone() };
    Ok(if is_gzip(path) {
        let compressed = BufReader::with_capacity(READ_BYTES, file);
        Box::new(BufReader::with_capacity(READ_BYTES, flate2::bufread::MultiGzDecoder::new(compressed)))
    } else {
        Box::new(BufReader::with_capacity(READ_BYTES, file))
    })
}

/// A file that counts what is read from it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(reader: &mut Reader) -> Vec<(String, u64, bool)> {
        let mut lines = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.offset, line.too_long));
        }
        lines
    }

    #[test]
    fn files_are_read_in_order_without_their_headers() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, zipped, empty) = (dir.path().join("a"), dir.path().join("b.gz"), dir.path().join("c"));
        fs::write(&plain, "name,value\r\nx,1\r\n\r\ny,2").unwrap();
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(&zipped).unwrap(), flate2::Compression::fast());
        gzip.write_all(b"name,value\nz,30000\nlong,400000\n").unwrap();
        gzip.finish().unwrap();
        fs::write(&empty, "").unwrap();
        let mut reader = Reader::new(vec![plain, zipped, empty], 1, 7);
        assert_eq!(reader.faults(), Vec::<String>::new());
        assert_eq!(reader.progress(), 0.0);
        let line = |text: &str, offset, too_long| (text.to_owned(), offset, too_long);
        let expected = [
            line("x,1", 12, false),
            line("", 17, false),
            line("y,2", 19, false),
            line("z,30000", 11, false),
            line("long,40", 19, true),
        ];
        assert_eq!(all(&mut reader), expected);
        assert!(reader.is_done());
        assert_eq!(reader.progress(), 1.0);
    }

    #[test]
    fn every_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(vec![dir.path().join("missing"), dir.path().to_owned()], 0, 100);
        let faults = reader.faults();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].contains("missing") && faults[1].contains("directory"), "{faults:?}");
        assert_eq!(Reader::new(Vec::new(), 0, 100).faults(), ["no file is given"]);
    }

    #[test]
    fn a_broken_file_is_named_with_the_place_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (broken, good) = (dir.path().join("broken.gz"), dir.path().join("good"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all("a line\n".repeat(100).as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
        fs::write(&good, "good\n").unwrap();
        let mut reader = Reader::new(vec![broken, good], 0, 100);
        let error = loop {
            match reader.next() {
                Ok(line) => assert_eq!(line.unwrap().bytes, b"a line"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("broken.gz on from byte"), "{error}");
        assert_eq!(all(&mut reader), [("good".to_owned(), 0, false)]);
    }
}
