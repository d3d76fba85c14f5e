use std::time::Duration;

use crate::source::{
    Intake, Stopped,
    decode::Decode,
    lines::{Line, LineCutter, put},
};

/// Makes records of an answer of server-sent events: the `data:` of each is one record.
///
/// The format is that of the HTML standard, but for lines that end in a lone carriage return, which
/// nobody sends. The names of events are not looked at.
pub(super) struct Events<T> {
    cutter: LineCutter,
    event: Event,
    decode: Decode<T>,
    place: String,
    bytes_max: usize,
}

/// An event of which the end has not arrived.
#[derive(Default)]
struct Event {
    /// What its `data:` lines hold, joined by line ends.
    data: Option<Vec<u8>>,
    /// Where the first of them begins.
    offset: u64,
    id: Option<String>,
    /// It was too long and has been handed on as such.
    spoilt: bool,
}

/// What the events of an answer say about the connection, for the next one.
#[derive(Default)]
pub(super) struct Resume {
    /// The id of the last event that was taken.
    pub last_id: Option<String>,
    /// How long the server wants to be left alone before it is asked again.
    pub retry: Option<Duration>,
}

impl<T> Events<T> {
    pub fn new(place: String, decode: Decode<T>, bytes_max: usize) -> Self {
        let cutter = LineCutter::new(bytes_max);
        Self { cutter, event: Event::default(), decode, place, bytes_max }
    }

    /// Takes what has arrived. If the program is over meanwhile, the events that it does not take any
    /// more are counted as dropped.
    pub fn take(&mut self, bytes: &[u8], intake: &Intake<T>, resume: &mut Resume) -> Result<(), Stopped> {
        let Self { cutter, event, decode, place, bytes_max } = self;
        let mut refused = 0;
        let mut give = |line: Line<'_>| {
            if refused > 0 || put(line, *decode, place, None, intake).is_err() {
                refused += 1;
            }
        };
        cutter.feed(bytes, |line| {
            if line.too_long {
                if !std::mem::replace(&mut event.spoilt, true) {
                    give(line);
                }
            } else if line.bytes.is_empty() {
                let Event { data, offset, id, spoilt } = std::mem::take(event);
                if let (Some(data), false) = (data, spoilt) {
                    give(Line { bytes: &data, offset, ends: offset, has_ended: true, too_long: false });
                }
                // Remembered only now: an event that breaks off is to be sent again.
                if id.is_some() {
                    resume.last_id = id.filter(|id| !id.is_empty());
                }
            } else if event.take(&line, *bytes_max, resume) {
                let data = event.data.take().unwrap_or_default();
                let offset = event.offset;
                give(Line { bytes: &data, offset, ends: offset, has_ended: true, too_long: true });
            }
        });
        intake.dropped(refused);
        if refused == 0 { Ok(()) } else { Err(Stopped) }
    }

    /// The answer has ended. An event that had begun is none, says the standard.
    pub fn end(&mut self, intake: &Intake<T>) {
        if self.event.data.take().is_some() || self.cutter.rest().is_some() {
            intake.dropped(1);
        }
    }
}

impl Event {
    /// Takes a line that is not blank; says whether the event has just become too long.
    fn take(&mut self, line: &Line<'_>, bytes_max: usize, resume: &mut Resume) -> bool {
        // Some servers begin with the mark of the byte order.
        let bytes =
            line.bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| line.offset == 0).unwrap_or(line.bytes);
        let (name, value) = match memchr::memchr(b':', bytes) {
            Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
            None => (bytes, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" if !self.spoilt => {
                match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => {
                        self.offset = line.offset;
                        self.data = Some(value.to_vec());
                    }
                }
                self.spoilt = self.data.as_ref().is_some_and(|data| data.len() > bytes_max);
                if let (true, Some(data)) = (self.spoilt, &mut self.data) {
                    data.truncate(bytes_max);
                }
                return self.spoilt;
            }
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => {
                let asked = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                resume.retry = asked.map(Duration::from_millis).or(resume.retry);
            }
            // A comment (no name), a name of events, or what a later standard may bring.
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::Time;

    use super::*;
    use crate::source::{decode, intake::Bounds};

    /// The events of `text` when it arrives `piece` bytes at a time, and what is left.
    fn events(text: &str, piece: usize, bytes_max: usize) -> (Vec<String>, Resume, Vec<u64>, u64) {
        let intake = Intake::new(Bounds { records_max: 100, bytes_max: 1 << 20 }, None);
        let (mut events, mut resume) =
            (Events::new("test".to_owned(), decode::text, bytes_max), Resume::default());
        for bytes in text.as_bytes().chunks(piece) {
            events.take(bytes, &intake, &mut resume).unwrap();
        }
        events.end(&intake);
        let cut = intake.cut(Time::from_ms(0), Time::from_ms(1));
        (cut.records, resume, cut.malformed.into_iter().map(|bad| bad.offset).collect(), cut.dropped)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}data: first\nid: 1\n\n: a comment\n\ndata:second\r\ndata\r\ndata:  line\r\nretry: 2500\r\n\
                    event: named\r\n\r\nid: 7\n\nid: 8\nunknown: x\ndata: cut off";
        for piece in [1, 2, 3, 7, text.len()] {
            let (records, resume, malformed, dropped) = events(text, piece, 100);
            assert_eq!(records, ["first", "second\n\n line"], "{piece} bytes at a time");
            assert_eq!(resume.last_id.as_deref(), Some("7"));
            assert_eq!(resume.retry, Some(Duration::from_millis(2_500)));
            assert_eq!((malformed, dropped), (vec![], 1));
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_reported_once() {
        let text = "data: 1234\ndata: 5678\ndata: 9\n\ndata: fine\n\ndata: much longer than it may be\n\ndata: ok\n\n";
        for piece in [1, text.len()] {
            let (records, _, malformed, dropped) = events(text, piece, 10);
            assert_eq!(records, ["fine", "ok"]);
            assert_eq!((malformed, dropped), (vec![0, 43], 0));
        }
    }
}
