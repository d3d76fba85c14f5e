use super::{
    Intake, Stopped,
    decode::Decode,
    intake::{Mark, Span},
};

/// Cuts bytes that arrive in pieces into lines, without holding more than one line of a bounded
/// length.
pub(super) struct LineCutter {
    bytes_max: usize,
    /// The beginning of a line of which the rest has not arrived.
    kept: Vec<u8>,
    /// Where that line begins, in bytes from the beginning of the stream.
    begins: u64,
    /// Its beginning was handed on as too long; the rest is passed over.
    passing: bool,
    offset: u64,
}

/// A line without its end (`\n` or `\r\n`).
pub(super) struct Line<'a> {
    pub bytes: &'a [u8],
    /// Where it begins, in bytes from the beginning of the stream.
    pub offset: u64,
    /// Where what comes after it does: the next line, or the rest of this one if it has not ended.
    pub ends: u64,
    /// Whether it has.
    pub has_ended: bool,
    /// Whether these are only its first bytes, since it is longer than a line may be.
    pub too_long: bool,
}

impl LineCutter {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Vec::new(), begins: 0, passing: false, offset: 0 }
    }

    /// Calls `each` with every line that ends in `bytes`.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            let begins = std::mem::replace(&mut self.begins, self.offset + end as u64 + 1);
            self.offset = self.begins;
            if std::mem::take(&mut self.passing) {
                continue;
            }
            // Most lines arrive whole and are looked at where they lie.
            let mut kept = std::mem::take(&mut self.kept);
            let line = if kept.is_empty() {
                line
            } else {
                kept.extend_from_slice(&line[..line.len().min(self.bytes_max + 2 - kept.len())]);
                &kept
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let too_long = line.len() > self.bytes_max;
            let bytes = &line[..line.len().min(self.bytes_max)];
            each(Line { bytes, offset: begins, ends: self.offset, has_ended: true, too_long });
            kept.clear();
            self.kept = kept;
        }
        self.offset += bytes.len() as u64;
        if self.passing {
            return;
        }
        // One byte over the bound may still be the first of a line end.
        let room = self.bytes_max + 1 - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.passing = true;
            let kept = std::mem::take(&mut self.kept);
            let (offset, ends) = (self.begins, self.offset);
            each(Line { bytes: &kept[..self.bytes_max], offset, ends, has_ended: false, too_long: true });
        }
    }

    /// What is fed next lies at `offset` of its stream: at the beginning of a line, or inside one that was handed on as
    /// too long.
    pub fn begin_at(&mut self, offset: u64, inside: bool) {
        *self = Self { begins: offset, offset, passing: inside, ..Self::new(self.bytes_max) };
    }

    /// The beginning of a line that did not end.
    pub fn rest(&mut self) -> Option<(Vec<u8>, u64)> {
        let rest = std::mem::take(&mut self.kept);
        (!rest.is_empty()).then_some((rest, self.begins))
    }
}

/// Makes records of the lines of one connection or file.
pub(super) struct LineFeed<T> {
    cutter: LineCutter,
    decode: Decode<T>,
    place: String,
    /// The file's number, if it can be read again.
    file: Option<u64>,
}

impl<T> LineFeed<T> {
    pub fn new(place: String, decode: Decode<T>, line_bytes_max: usize) -> Self {
        Self { cutter: LineCutter::new(line_bytes_max), decode, place, file: None }
    }

    /// The same for a file, from that place on.
    pub fn starting_at(mut self, mark: Mark) -> Self {
        self.cutter.begin_at(mark.offset, mark.inside);
        self.file = Some(mark.file);
        self
    }

    /// Takes what has arrived. If the program is over meanwhile, the lines that it does not take any
    /// more are counted as dropped.
    pub fn take(&mut self, bytes: &[u8], intake: &Intake<T>) -> Result<(), Stopped> {
        let mut refused = 0;
        self.cutter.feed(bytes, |line| {
            if refused > 0 || put(line, self.decode, &self.place, self.file, intake).is_err() {
                refused += 1;
            }
        });
        intake.dropped(refused);
        if refused == 0 { Ok(()) } else { Err(Stopped) }
    }

    /// The connection has ended as it should: what came last is a line, even without a line end.
    pub fn end(&mut self, intake: &Intake<T>) -> Result<(), Stopped> {
        let bytes_max = self.cutter.bytes_max;
        match self.cutter.rest() {
            Some((rest, offset)) => {
                // Without a line feed after it, a carriage return is part of the line.
                let too_long = rest.len() > bytes_max;
                let ends = self.cutter.offset;
                let line = Line { bytes: &rest, offset, ends, has_ended: true, too_long };
                put(line, self.decode, &self.place, self.file, intake)
            }
            None => Ok(()),
        }
    }

    /// The connection broke: nobody knows how the line that had begun would have gone on.
    pub fn broken(&mut self, intake: &Intake<T>) {
        if self.cutter.rest().is_some() {
            intake.dropped(1);
        }
    }

    /// A file was cut short: nobody knows either, and what comes next is from its beginning. It counts as another.
    pub fn begin_anew(&mut self, file: u64, intake: &Intake<T>) {
        self.broken(intake);
        self.cutter.begin_at(0, false);
        self.file = Some(file);
        intake.reach(Mark { file, offset: 0, inside: false });
    }
}

/// What is wrong with a line that is too long.
pub(super) const TOO_LONG: &str = "longer than a line may be; these are its first bytes";

/// Puts in what `line` holds, which may be of a file that can be read again.
pub(super) fn put<T>(
    line: Line<'_>,
    decode: Decode<T>,
    place: &str,
    file: Option<u64>,
    intake: &Intake<T>,
) -> Result<(), Stopped> {
    let Line { bytes, offset, ends, has_ended, too_long } = line;
    let span = file.map(|file| Span {
        begins: Mark { file, offset, inside: false },
        ends: Mark { file, offset: ends, inside: !has_ended },
    });
    if too_long {
        return intake.malformed_from(span, bytes, place, offset, TOO_LONG);
    }
    match decode(bytes) {
        Ok(Some(record)) => intake.push_from(span, record, bytes.len() + 1),
        Ok(None) => {
            span.into_iter().for_each(|span| intake.reach(span.ends));
            Ok(())
        }
        Err(error) => intake.malformed_from(span, bytes, place, offset, error),
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::Time;

    use super::*;
    use crate::source::{decode, intake::Bounds};

    /// The lines of `text` when it arrives `piece` bytes at a time.
    fn cut(text: &str, piece: usize, bytes_max: usize) -> Vec<(String, u64, bool)> {
        let mut cutter = LineCutter::new(bytes_max);
        let mut lines = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            cutter.feed(bytes, |line| {
                lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.offset, line.too_long));
            });
        }
        if let Some((rest, offset)) = cutter.rest() {
            lines.push((String::from_utf8(rest).unwrap(), offset, false));
        }
        lines
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = "one\r\n\ntwo\nabcdefgh\nabcdefghi\nlong, and longer than it may be\r\nlast";
        let line = |text: &str, offset, too_long| (text.to_owned(), offset, too_long);
        let expected = [
            line("one", 0, false),
            line("", 5, false),
            line("two", 6, false),
            line("abcdefgh", 10, false),
            line("abcdefgh", 19, true),
            line("long, an", 29, true),
            line("last", 62, false),
        ];
        for piece in 1..=text.len() {
            assert_eq!(cut(text, piece, 8), expected, "{piece} bytes at a time");
        }
    }

    #[test]
    fn what_came_last_is_a_line_unless_the_connection_broke() {
        for breaks in [false, true] {
            let intake = Intake::new(Bounds { records_max: 10, bytes_max: 100 }, None);
            let mut feed = LineFeed::new("test".to_owned(), decode::text, 10);
            feed.take(b"one\ntw", &intake).unwrap();
            if breaks {
                feed.broken(&intake);
            } else {
                feed.end(&intake).unwrap();
            }
            let cut = intake.cut(Time::from_ms(0), Time::from_ms(1));
            let expected: &[&str] = if breaks { &["one"] } else { &["one", "tw"] };
            assert_eq!(cut.records, expected);
            assert_eq!(cut.dropped, u64::from(breaks));
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_line_may() {
        let mut cutter = LineCutter::new(100);
        let mut said = 0;
        for _ in 0..1_000 {
            cutter.feed(&[b'x'; 1_000], |line| {
                assert!(line.too_long);
                said += 1;
            });
            assert!(cutter.kept.len() <= 101);
        }
        assert_eq!(said, 1);
    }
}
