use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::ControlFlow,
    path::{Path, PathBuf},
    str::{self, Utf8Error},
};

use cutwater_core::{Split, limits};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::{
    Context, Error,
    rdd::{DatasetNode, Rdd},
    source::{Malformed, OnMalformed},
    task::{Emit, Finding, Flow, LENT_RECORDS, Look, Node, Operator, OperatorSpec, Stop},
};

/// The lines of a file that begin in a range of its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LineSplit {
    pub path: PathBuf,
    pub start: u64,
    pub end: u64,
}

/// Bytes read from a file at a time: few calls, and the lines still in the cache when they are cut.
const READ_BYTES: usize = 128 << 10;

/// Lines of ranges of files, without their line ends (`\n` or `\r\n`).
pub(crate) struct Lines(OnMalformed);

impl Operator for Lines {
    type Env = OnMalformed;
    type Out = String;

    fn rebuild(policy: OnMalformed) -> Self {
        Self(policy)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        self.each(node, partition, |line| match line {
            Some(text) => emit(text.to_owned()),
            None => Flow::Continue(()),
        })
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, String>) -> Flow {
        let mut lent = Lent::default();
        self.each(node, partition, |line| match line {
            Some(text) => lent.put(text, look),
            None => lent.hand_out(look),
        })
    }

    fn lends(&self, _: Node<'_>) -> bool {
        true
    }
}

impl Lines {
    /// Calls `each` with every line of a partition that is text, and with `None` when there is no more,
    /// or something that may end the task.
    fn each(&self, node: Node<'_>, partition: u32, mut each: impl FnMut(Option<&str>) -> Flow) -> Flow {
        let split: LineSplit = match postcard::from_bytes(&node.split(partition)?.place) {
            Ok(split) => split,
            Err(error) => return node.refuse(format_args!("a range of a file cannot be read back: {error}")),
        };
        let (mut records, mut bytes) = (0, 0);
        let read = lines_of(&split, |line| {
            bytes += line.bytes.len() as u64 + 1;
            let error = match line.text() {
                Ok(text) => {
                    if records % LENT_RECORDS as u64 == 0 {
                        // What was read is reported as a whole.
                        node.go_on(0)?;
                    }
                    records += 1;
                    return each(Some(text));
                }
                Err(error) => error,
            };
            each(None)?;
            let malformed = Malformed {
                bytes: line.bytes.to_owned(),
                place: split.path.display().to_string(),
                offset: line.offset,
                error: format!("not UTF-8: {error}"),
            };
            match self.0 {
                OnMalformed::Fail => node.refuse(malformed),
                OnMalformed::Report => {
                    node.report(partition, Finding::Malformed(malformed));
                    Flow::Continue(())
                }
            }
        });
        node.report(partition, Finding::Read { records, bytes });
        match read {
            Ok(Flow::Continue(())) => each(None),
            Ok(stopped) => stopped,
            Err(error) => {
                each(None)?;
                node.external(format_args!("cannot read {}: {error}", split.path.display()))
            }
        }
    }
}

/// Lines on loan: written into strings that are used again and again, which costs less than to make one
/// for each line.
#[derive(Default)]
pub(super) struct Lent {
    lines: Vec<String>,
    /// How many of them are lent next.
    filled: usize,
    bytes: usize,
}

impl Lent {
    pub fn put(&mut self, text: &str, look: &mut Look<'_, String>) -> Flow {
        if self.filled == self.lines.len() {
            self.lines.push(String::new());
        }
        let line = &mut self.lines[self.filled];
        line.clear();
        line.push_str(text);
        self.filled += 1;
        self.bytes += text.len();
        if self.filled == LENT_RECORDS || self.bytes >= READ_BYTES {
            self.hand_out(look)
        } else {
            Flow::Continue(())
        }
    }

    pub fn hand_out(&mut self, look: &mut Look<'_, String>) -> Flow {
        let lent = &self.lines[..std::mem::take(&mut self.filled)];
        let flow = if lent.is_empty() { Flow::Continue(()) } else { look(lent) };
        if std::mem::take(&mut self.bytes) >= READ_BYTES {
            // Long lines are rare and their room is not kept for others.
            self.lines.clear();
        }
        flow
    }
}

/// A line of a file, without its line end.
pub(crate) struct Line<'a> {
    pub bytes: &'a [u8],
    /// The offset in the file at which it begins.
    pub offset: u64,
    /// The same as text, if all that was read with it is.
    text: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub fn text(&self) -> Result<&'a str, Utf8Error> {
        self.text.map_or_else(|| str::from_utf8(self.bytes), Ok)
    }
}

/// Calls `each` with every line of the split.
pub(crate) fn lines_of(
    split: &LineSplit,
    mut each: impl FnMut(Line<'_>) -> Flow,
) -> io::Result<ControlFlow<Stop>> {
    let mut file = File::open(&split.path)?;
    if is_gzip(&split.path) {
        return lines_in(&mut MultiGzDecoder::new(file), 0, u64::MAX, each);
    }
    // A line belongs to the range in which it begins. One begins at `start` only if the byte before
    // ends a line, so reading starts there and the first piece is somebody else's.
    let from = split.start.saturating_sub(1);
    file.seek(SeekFrom::Start(from))?;
    let mut skipped = split.start == 0;
    lines_in(&mut file, from, split.end, |line| {
        if !skipped {
            skipped = true;
            return Flow::Continue(());
        }
        each(line)
    })
}

/// Lines of `input`, which is at `offset` of its file, that begin before `end`.
fn lines_in(
    input: &mut impl Read,
    mut offset: u64,
    end: u64,
    mut each: impl FnMut(Line<'_>) -> Flow,
) -> io::Result<ControlFlow<Stop>> {
    let mut buffer = vec![0; READ_BYTES];
    // Bytes of the buffer that hold the beginning of a line of which the rest is still to be read.
    let mut kept = 0;
    while offset < end {
        if kept == buffer.len() {
            if kept >= limits::FILE_LINE_BYTES_MAX {
                let message =
                    format!("the line at byte {offset} is longer than {kept} bytes; is this a text file?");
                return Err(io::Error::other(message));
            }
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = match input.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            if kept > 0 {
                // Without a line feed after it, a carriage return is part of the line.
                return Ok(each(Line { bytes: &buffer[..kept], offset, text: None }));
            }
            break;
        }
        let filled = kept + read;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |newline| newline + 1);
        // All of it is checked at once, which is quicker than line by line.
        let text = str::from_utf8(&buffer[..whole]).ok();
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &buffer[..whole]) {
            if offset >= end {
                return Ok(Flow::Continue(()));
            }
            let bytes = trimmed(&buffer[start..newline]);
            let text = text.map(|text| &text[start..start + bytes.len()]);
            if let ControlFlow::Break(stop) = each(Line { bytes, offset, text }) {
                return Ok(ControlFlow::Break(stop));
            }
            offset += (newline + 1 - start) as u64;
            start = newline + 1;
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    Ok(Flow::Continue(()))
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a file is compressed and so can only be read from its beginning.
pub(crate) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

impl LineSplit {
    /// The file in `parts` ranges of about the same size; a compressed one is a single range.
    pub fn of_file(path: &Path, parts: u32) -> io::Result<Vec<Self>> {
        let size = std::fs::metadata(path)?.len();
        let parts = if is_gzip(path) { 1 } else { u64::from(parts.max(1)) };
        let at = |i: u64| (u128::from(size) * u128::from(i) / u128::from(parts)) as u64;
        Ok((0..parts)
            .map(|i| Self {
                path: path.to_owned(),
                start: at(i),
                end: if parts == 1 { u64::MAX } else { at(i + 1) },
            })
            .collect())
    }

    pub fn into_split(self) -> Result<Split, Error> {
        let place = postcard::to_allocvec(&self).map_err(Error::internal)?.into();
        Ok(Split { blocks: Vec::new(), place })
    }
}

impl Context {
    /// The lines of text files, without their line ends. Files ending in `.gz` are decompressed; each
    /// other file is read in as many ranges as tasks run at once.
    ///
    /// # Errors
    /// A file is missing or cannot be read; all that are, are named.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("towns.txt");
    /// std::fs::write(&path, "Oslo\nRome\n").unwrap();
    /// let ctx = Context::local(2);
    /// assert_eq!(ctx.text_files([&path])?.collect()?, ["Oslo", "Rome"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn text_files<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Rdd<String>, Error> {
        let spec = OperatorSpec::new::<Lines>("text_files", &OnMalformed::Fail);
        let (mut splits, mut faults) = (Vec::new(), Vec::new());
        for path in paths {
            match LineSplit::of_file(path.as_ref(), self.engine().parallelism()) {
                Ok(parts) => splits.extend(parts),
                Err(error) => faults.push(format!("cannot read {}: {error}", path.as_ref().display())),
            }
        }
        if !faults.is_empty() {
            return Err(Error::external(faults.join("; ")));
        }
        let splits = splits.into_iter().map(LineSplit::into_split).collect::<Result<_, _>>()?;
        Ok(DatasetNode::source(self.engine(), splits, &spec.any).of(&spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a file is cut, every line is read once, whole and in order.
    #[test]
    fn ranges_share_out_the_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        for text in ["", "\n", "a", "a\nbb\nccc\n", "\n\nx\r\n\ny", "0123456789\n0123456789\n"] {
            std::fs::write(&path, text).unwrap();
            for parts in 1..=8 {
                let mut lines = Vec::new();
                for split in LineSplit::of_file(&path, parts).unwrap() {
                    let flow = lines_of(&split, |line| {
                        assert!(text[line.offset as usize..].starts_with(line.text().unwrap()));
                        lines.push(line.text().unwrap().to_owned());
                        Flow::Continue(())
                    });
                    assert!(matches!(flow, Ok(Flow::Continue(()))));
                }
                assert_eq!(lines, text.lines().collect::<Vec<_>>(), "{text:?} in {parts} parts");
            }
        }
    }

    #[test]
    fn a_line_may_be_longer_than_what_is_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        let long = "x".repeat(3 * READ_BYTES);
        std::fs::write(&path, format!("short\n{long}\nend")).unwrap();
        let mut lengths = Vec::new();
        let split = LineSplit { path, start: 0, end: u64::MAX };
        let flow = lines_of(&split, |line| {
            lengths.push(line.bytes.len());
            Flow::Continue(())
        });
        assert!(flow.is_ok());
        assert_eq!(lengths, [5, long.len(), 3]);
    }
}
