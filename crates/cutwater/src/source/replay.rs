mod ahead;
mod reader;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use cutwater_core::{Split, Time};

use self::{
    ahead::{Ahead, Dated},
    reader::{RawLine, Reader},
};
use super::{ErrorPolicy, Holder, Input, Malformed, SourceBuilder, Taken, intake::Bounds, lines::TOO_LONG};
use crate::{
    DStream, Record,
    error::{Error, ErrorKind},
    task::panic_message,
};

/// Files whose records know their time, replayed as it passes in them.
///
/// Properties:
/// - an interval (from, to] takes the records whose time is at most `to`, in the order of the files,
///   and leaves off at the first that is later by more than the slack, or when the interval is full;
/// - it reads ahead to that record and no further, nor more than an interval may hold, so that memory
///   does not depend on the files;
/// - the same files give the same intervals in every run, whatever the speed.
///
/// The driver's thread reads. If the process dies, a new run begins with the first file.
struct Replay<T, P, C> {
    name: String,
    holder: Holder<T>,
    policy: ErrorPolicy,
    bounds: Bounds,
    reader: Reader,
    parse: P,
    time_of: C,
    /// Records read ahead.
    ahead: Ahead<T>,
    slack: Duration,
    /// What was met that is none, and is in no interval yet.
    malformed: Vec<Malformed>,
    /// Up to here everything has been read, so that what still comes of it is late.
    complete: Option<Time>,
    /// Faults were found, and there is no point in reading.
    faulty: bool,
    /// The intervals that were cut: from where, to where, and the length of one, in milliseconds.
    cut: Option<(i64, i64, i64)>,
}

impl<T, P, C, E> Replay<T, P, C>
where
    T: Record,
    P: FnMut(&str) -> Result<T, E> + Send + 'static,
    C: Fn(&T) -> Time + Send + 'static,
    E: fmt::Display,
{
    /// Reads a line, which becomes the next record or is malformed. Answers with the bytes that were
    /// malformed; `None` if there was no line any more.
    fn step(&mut self) -> Result<Option<u64>, Error> {
        let Some(line) = self.reader.next()? else { return Ok(None) };
        if line.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(0));
        }
        let (parse, time_of) = (&mut self.parse, &self.time_of);
        let made = catch_unwind(AssertUnwindSafe(|| {
            let record = parse(text_of(&line)?).map_err(|error| error.to_string())?;
            let time = time_of(&record);
            Ok((record, time))
        }));
        match made {
            Ok(Ok((record, time))) => {
                self.ahead.put(Dated { record, time, bytes: line.length, waited: false });
                Ok(Some(0))
            }
            Ok(Err(error)) => {
                self.malformed.push(malformed(&line, error));
                Ok(Some(line.length))
            }
            Err(payload) => {
                let (path, message) = (line.path.display(), panic_message(&*payload));
                Err(Error::user(format_args!("panicked at byte {} of {path}: {message}", line.offset)))
            }
        }
    }

    /// Takes the records of interval (from, to].
    fn take(&mut self, from: Time, to: Time, records: &mut Vec<T>, taken: &mut Taken) -> Result<(), Error> {
        let mut complete = *self.complete.get_or_insert(from);
        while !self.is_full(records.len(), taken.bytes) {
            match self.ahead.take(to) {
                Some(next) => {
                    // What had to wait for room is of an earlier interval, too, but not late: its
                    // interval has not been read to the end before.
                    taken.late += u64::from(next.time <= complete);
                    taken.bytes += next.bytes;
                    complete = complete.max(begin_of_interval(next.time - self.slack, from, to));
                    self.complete = Some(complete);
                    records.push(next.record);
                }
                // What still comes is of a later interval, or late.
                None if self.is_far_enough(to) => break,
                None => match self.step()? {
                    Some(malformed) => taken.bytes += malformed,
                    None => break,
                },
            }
        }
        if self.is_full(records.len(), taken.bytes) && !self.ahead.is_due(to) && !self.is_far_enough(to) {
            // One line more, to be able to say whether anything has to wait.
            taken.bytes += self.step()?.unwrap_or(0);
        }
        taken.deferred = self.ahead.defer(to);
        if !self.ahead.is_due(to) && (self.is_far_enough(to) || self.reader.is_done()) {
            self.complete = Some(to);
        }
        Ok(())
    }

    /// Whether a record that happened before all others would be here. With slack it need not be the
    /// first of the files.
    fn knows_the_first(&self) -> bool {
        let Some((oldest, newest)) = self.ahead.oldest().zip(self.ahead.newest()) else { return false };
        self.slack.is_zero()
            || newest > oldest + self.slack
            || self.is_full(self.ahead.len(), self.ahead.bytes())
    }

    /// Whether a record of the interval that ends at `to` would come later than its slack; or whether so
    /// much was read ahead that it has to do.
    fn is_far_enough(&self, to: Time) -> bool {
        self.ahead.newest().is_some_and(|newest| newest > to + self.slack)
            || self.is_full(self.ahead.len(), self.ahead.bytes())
    }

    fn is_full(&self, records: usize, bytes: u64) -> bool {
        records + self.malformed.len() >= self.bounds.records_max || bytes >= self.bounds.bytes_max as u64
    }
}

/// The end of the last interval before the one that `time` is in, where (from, to] is one.
fn begin_of_interval(time: Time, from: Time, to: Time) -> Time {
    let length = (to.as_ms() - from.as_ms()).max(1);
    let back = (to.as_ms() - time.as_ms()).div_euclid(length);
    Time::from_ms(to.as_ms() - (back + 1) * length)
}

fn text_of<'a>(line: &RawLine<'a>) -> Result<&'a str, String> {
    if line.too_long {
        return Err(TOO_LONG.to_owned());
    }
    std::str::from_utf8(line.bytes).map_err(|error| format!("not UTF-8: {error}"))
}

fn malformed(line: &RawLine<'_>, error: String) -> Malformed {
    Malformed {
        bytes: line.bytes.to_owned(),
        place: line.path.display().to_string(),
        offset: line.offset,
        error,
    }
}

impl<T, P, C, E> Input for Replay<T, P, C>
where
    T: Record,
    P: FnMut(&str) -> Result<T, E> + Send + 'static,
    C: Fn(&T) -> Time + Send + 'static,
    E: fmt::Display,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn faults(&mut self) -> Vec<String> {
        let faults = self.reader.faults();
        self.faulty = !faults.is_empty();
        faults.into_iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }

    fn first_time(&mut self) -> Result<Option<Time>, Error> {
        while !self.faulty && !self.knows_the_first() {
            if self.ahead.is_empty() && self.is_full(0, 0) {
                // Going on would fill the memory with lines that are none.
                let (count, first) = (self.malformed.len(), self.malformed.first().map(Malformed::to_string));
                return Err(Error::new(
                    ErrorKind::Input,
                    format_args!(
                        "{}: none of the first {count} lines is a record: {}",
                        self.name,
                        first.unwrap_or_default()
                    ),
                ));
            }
            if self.step().map_err(|error| error.at(&self.name))?.is_none() {
                break;
            }
        }
        Ok(self.ahead.oldest())
    }

    fn cut(&mut self, from: Time, to: Time) -> Result<Taken, Error> {
        let begin = self.cut.map_or(from.as_ms(), |(begin, ..)| begin);
        self.cut = Some((begin, to.as_ms(), to.as_ms() - from.as_ms()));
        let (mut records, mut taken) = (Vec::new(), Taken::default());
        let result = self.take(from, to, &mut records, &mut taken);
        taken.records = records.len() as u64;
        taken.malformed = std::mem::take(&mut self.malformed);
        self.holder.put(to, records);
        // Dead letters are kept whatever else went wrong.
        let applied = self.policy.apply(&self.name, to, &taken.malformed);
        result.map_err(|error| error.at(&self.name))?;
        applied.map(|()| taken)
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.holder.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.holder.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        // Numbers cannot fail to be encoded.
        postcard::to_allocvec(&self.cut).unwrap_or_default()
    }

    /// The same files give the same intervals: those that were cut are read again and let go.
    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        let cut: Option<(i64, i64, i64)> = postcard::from_bytes(position).map_err(Error::internal)?;
        let Some((begin, end, length)) = cut else { return Ok(()) };
        self.cut = cut;
        for from in (begin..end).step_by(usize::try_from(length.max(1)).unwrap_or(usize::MAX)) {
            let (from, to) = (Time::from_ms(from), Time::from_ms(from + length));
            let result = self.take(from, to, &mut Vec::new(), &mut Taken::default());
            self.malformed.clear();
            // What failed then fails now, and was dealt with.
            if let Err(error) = result {
                tracing::debug!(source = self.name, %error, "read again");
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, to: Time) {
        self.holder.put(to, Vec::new());
    }

    fn is_past(&self) -> bool {
        true
    }

    fn is_exhausted(&self) -> bool {
        self.ahead.is_empty() && self.reader.is_done()
    }

    fn progress(&self) -> Option<f64> {
        Some(self.reader.progress())
    }

    fn stop(&mut self) {
        self.ahead.clear();
        self.reader.stop();
    }
}

impl SourceBuilder<'_> {
    /// Files replayed by the time of their records: `parse` makes a record of a line (blank lines are
    /// passed over) and `time_of` says when it happened. Files are read in the order given, those that
    /// end in `.gz` are decompressed; records are expected in the order of their times.
    ///
    /// The program's intervals are in the time of the records. They pass as fast as they did then, or
    /// [faster](crate::Builder::speed), or in [batch mode](crate::Builder::batch) as fast as they can be
    /// processed, and in each case hold the same records.
    ///
    /// A record that comes after records that happened more than the [slack](crate::Builder::slack) after
    /// its interval is late: it is put into the interval that is being made, and counted. What does not
    /// fit into an interval comes first in the next; of that the source knows, and counts, only what it
    /// has read ahead: one record, or as far as the slack. A panic of `parse` or `time_of`
    /// fails the interval; what is left of it comes with the next. A file that cannot be read on fails
    /// the interval, and the next goes on with the next file.
    ///
    /// ```
    /// # use cutwater::{Context, Time};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("clicks.csv");
    /// std::fs::write(&path, "ms,page\n1000,/\n1500,/about\n4000,/\n").unwrap();
    /// let ctx = Context::builder("clicks").threads(1).batch(true).progress(false).build()?;
    /// let clicks = ctx.source("clicks").header_lines(1).replay(
    ///     [&path],
    ///     |line| {
    ///         let (ms, page) = line.split_once(',').ok_or("no comma")?;
    ///         Ok::<_, String>((ms.parse::<i64>().map_err(|e| e.to_string())?, page.to_owned()))
    ///     },
    ///     |(ms, _)| Time::from_ms(*ms),
    /// );
    /// clicks.count().print();
    /// ctx.run()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn replay<T, Q, E>(
        self,
        paths: impl IntoIterator<Item = Q>,
        parse: impl FnMut(&str) -> Result<T, E> + Send + 'static,
        time_of: impl Fn(&T) -> Time + Send + 'static,
    ) -> DStream<T>
    where
        T: Record,
        Q: AsRef<Path>,
        E: fmt::Display + 'static,
    {
        self.only("replayed files", &["line_bytes_max", "header_lines"]);
        let Self { ctx, name, policy, bounds, line_bytes_max, header_lines, .. } = self;
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let (label, spec) = (name.clone(), Holder::spec(&name));
        let (interval, slack) = (ctx.interval(), ctx.settings().slack);
        ctx.source_stream(&label, |stream| {
            Box::new(Replay {
                name,
                holder: Holder::new(ctx.engine(), spec, stream),
                policy,
                bounds,
                reader: Reader::new(paths, header_lines, line_bytes_max),
                parse,
                time_of,
                ahead: Ahead::new(interval),
                slack,
                malformed: Vec::new(),
                complete: None,
                faulty: false,
                cut: None,
            })
        })
    }
}
