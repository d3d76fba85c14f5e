mod place;

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cutwater_core::limits;
use serde::de::DeserializeOwned;

use self::place::{FileId, Files, Position};
use super::{
    Dating, Intake, Receiver, SourceBuilder, Stopped,
    decode::{self, Decode},
    intake::Mark,
    lines::LineFeed,
    received::Origin,
};
use crate::{DStream, Error, Record};

/// How long between looks at the file.
const POLL: Duration = Duration::from_millis(limits::TAIL_POLL_MS);

/// Bytes read from a file at a time.
const READ_BYTES: usize = 64 << 10;

/// Lines of the file that is at a path, and of those that take its place.
///
/// Properties:
/// - a line is taken when its end is there, and once;
/// - a file whose place was taken is read to its end before the one in its place is begun;
/// - the file in hand stays open, so that no other can have its number meanwhile.
///
/// The receiver's thread has it, once the driver's has opened what is there before the start. If the
/// process dies, the next goes on where what is in an interval ends, if intervals are written down.
struct Tail<T> {
    path: PathBuf,
    decode: Decode<T>,
    line_bytes_max: usize,
    include_existing: bool,
    file: Option<Followed<T>>,
    /// What has taken its place, until it has been read to its end.
    next: Option<Followed<T>>,
    files: Arc<Files>,
    /// What was wrong at the last look, and reported.
    trouble: Option<String>,
}

/// A file in hand, and how far it has been read.
struct Followed<T> {
    file: Arc<File>,
    id: FileId,
    /// Where reading it has begun.
    began: Mark,
    offset: u64,
    feed: LineFeed<T>,
}

impl<T: Record> Receiver<T> for Tail<T> {
    fn prepare(&mut self) -> Vec<String> {
        // What is there before the start is told from what appears later by opening it now.
        match self.open(!self.include_existing) {
            Ok(file) => {
                self.files.begin_at(file.as_ref().map(|file| file.began));
                self.file = file;
                Vec::new()
            }
            Err(error) => vec![format!("cannot follow {}: {error}", self.path.display())],
        }
    }

    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error> {
        // Until the first look has read to the end, there may be more than is known of.
        intake.set_away(true);
        if let Some(position) = self.files.resumed() {
            self.go_on(&position, intake);
        }
        while let Ok(found) = self.look(intake) {
            let trouble = match found {
                Ok(true) => None,
                Ok(false) => Some("there is no file".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            intake.set_away(trouble.is_some());
            self.report(trouble);
            if intake.sleep(POLL).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl<T> Tail<T> {
    /// Goes on where another process was, as far as that can be found.
    fn go_on(&mut self, position: &Position, intake: &Intake<T>) {
        (self.file, self.next) = (None, None);
        // Without a file what appears is read from its beginning.
        let Some(place) = &position.from else { return };
        let (path, offset) = (self.path.display(), place.offset);
        let found = place.find(&self.path).and_then(|found| {
            let Some((at, file)) = found else { return Ok(None) };
            self.follow(&at, file, offset, place.inside).map(|file| Some((at, file)))
        });
        match found {
            Ok(Some((at, file))) => {
                if at == self.path {
                    tracing::info!(%path, offset, "goes on where it was read to");
                } else {
                    let moved = at.display();
                    tracing::info!(%path, offset, %moved, "was rotated meanwhile; the old file is read to its end first");
                }
                intake.go_on(position.passed(file.began.file));
                self.file = Some(file);
            }
            Ok(None) if offset == 0 => {}
            Ok(None) => {
                tracing::warn!(%path, offset, "the file that was read so far is not there any more, nor under another name; lines after that place are missed, and what is there now is read from its beginning");
            }
            Err(error) => {
                tracing::warn!(%path, offset, %error, "the file that was read so far cannot be looked for; what is there now is read from its beginning");
            }
        }
    }

    /// From now on that file is in hand.
    fn take_up(&mut self, file: Option<Followed<T>>, intake: &Intake<T>) {
        if let Some(file) = &file {
            intake.reach(file.began);
        }
        self.file = file;
    }

    /// Reads what there is to read; answers whether there is a file at the path.
    fn look(&mut self, intake: &Intake<T>) -> Result<io::Result<bool>, Stopped> {
        // Before reading: what was written to the file in hand before another took its place is then read.
        let (is_there, appeared) = match self.appeared() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(file) = &mut self.file {
            let read = file.read_on(&self.files, intake)?;
            match (read, self.next.take()) {
                (Ok(()), None) => {}
                (Err(error), None) => return Ok(Err(error)),
                (read, next) => {
                    file.leave(read, intake)?;
                    self.take_up(next, intake);
                    if let Err(error) = self.read_on(intake)? {
                        return Ok(Err(error));
                    }
                }
            }
        }
        // Writers go on for a moment in a file that was moved away: it is read once more at the next look.
        self.next = appeared;
        if self.file.is_none() {
            let next = self.next.take();
            self.take_up(next, intake);
            return Ok(self.read_on(intake)?.map(|()| is_there));
        }
        Ok(Ok(is_there))
    }

    /// Whether there is a file at the path, and that file if it is not in hand yet.
    fn appeared(&self) -> io::Result<(bool, Option<Followed<T>>)> {
        let newest = self.next.as_ref().or(self.file.as_ref()).map(|file| file.id);
        match there(&self.path)? {
            Some(id) if newest == Some(id) => Ok((true, None)),
            Some(_) => self.open(false).map(|file| (file.is_some(), file)),
            None => Ok((false, None)),
        }
    }

    fn read_on(&mut self, intake: &Intake<T>) -> Result<io::Result<()>, Stopped> {
        self.file.as_mut().map_or(Ok(Ok(())), |file| file.read_on(&self.files, intake))
    }

    /// Opens what is at the path: at its beginning, or behind the last line that is complete.
    fn open(&self, at_end: bool) -> io::Result<Option<Followed<T>>> {
        if there(&self.path)?.is_none() {
            return Ok(None);
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // Moved away since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let offset = if at_end { last_line_start(&file, metadata.len(), self.line_bytes_max)? } else { 0 };
        self.follow(&self.path, file, offset, false).map(Some)
    }

    /// Takes a file in hand from that place on.
    fn follow(&self, path: &Path, file: File, offset: u64, inside: bool) -> io::Result<Followed<T>> {
        let file = Arc::new(file);
        (&*file).seek(SeekFrom::Start(offset))?;
        let id = FileId::of(&file.metadata()?);
        let began = Mark { file: self.files.number(&file), offset, inside };
        let feed = LineFeed::new(path.display().to_string(), self.decode, self.line_bytes_max);
        Ok(Followed { file, id, began, offset, feed: feed.starting_at(began) })
    }

    /// Says once what is wrong, and once that it no longer is.
    fn report(&mut self, trouble: Option<String>) {
        if trouble != self.trouble {
            let path = self.path.display();
            match &trouble {
                Some(reason) => tracing::warn!(%path, %reason, "cannot be followed; looking until it can"),
                None => tracing::info!(%path, "followed again"),
            }
            self.trouble = trouble;
        }
    }
}

impl<T> Followed<T> {
    /// Reads to the end of the file as it is now.
    fn read_on(&mut self, files: &Files, intake: &Intake<T>) -> Result<io::Result<()>, Stopped> {
        match self.cut_short() {
            Ok(true) => self.feed.begin_anew(files.number(&self.file), intake),
            Ok(false) => {}
            Err(error) => return Ok(Err(error)),
        }
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match (&*self.file).read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(read) => {
                    self.offset += read as u64;
                    self.feed.take(&buffer[..read], intake)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
            // A file of lines that are no records never asks the intake.
            if intake.is_stopped() {
                return Err(Stopped);
            }
        }
    }

    /// Ends with the file as it was `read`, since there is another in its place.
    fn leave(&mut self, read: io::Result<()>, intake: &Intake<T>) -> Result<(), Stopped> {
        match read {
            Ok(()) => self.feed.end(intake),
            Err(error) => {
                tracing::warn!(%error, "a file that was moved away cannot be read to its end");
                self.feed.broken(intake);
                Ok(())
            }
        }
    }

    /// Whether the file has become shorter than what was read of it; then it is at its beginning again.
    fn cut_short(&mut self) -> io::Result<bool> {
        let cut_short = self.file.metadata()?.len() < self.offset;
        if cut_short {
            (&*self.file).rewind()?;
            self.offset = 0;
        }
        Ok(cut_short)
    }
}

/// Which file is at `path`, if there is one.
fn there(path: &Path) -> io::Result<Option<FileId>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(FileId::of(&metadata))),
        Ok(metadata) if metadata.is_dir() => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder; give the path of a file, or use `watch_folder`",
        )),
        // Opening a pipe would wait for whoever writes to it, and it cannot be read again.
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a link to one")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the line begins that is not complete in the first `bytes` bytes of `file`: behind the last line end,
/// or so far before that the line is certain to be too long.
fn last_line_start(file: &File, bytes: u64, line_bytes_max: usize) -> io::Result<u64> {
    let furthest = bytes.saturating_sub((line_bytes_max as u64).saturating_add(2));
    let mut end = bytes;
    while end > furthest {
        let start = end.saturating_sub(READ_BYTES as u64).max(furthest);
        let mut piece = vec![0; (end - start) as usize];
        file.read_exact_at(&mut piece, start)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(furthest)
}

impl<D> SourceBuilder<'_, D> {
    /// The lines that are written to the file at `path`, as `tail -F` shows them: it may not be there yet,
    /// it may grow, and it may be rotated. A line is taken when its end (`\n`) has been written; until
    /// then it waits.
    ///
    /// What is in the file when the program starts is passed over, but for a last line without an end,
    /// unless [`include_existing`](Self::include_existing) says otherwise. Files that take its place are
    /// read from their beginning:
    ///
    /// - *renamed*, and another made or moved in: the old one is read to its end first, where a line needs no
    ///   line end. Until there is another, what its writer adds to it is taken too.
    /// - *cut short* (`copytruncate`): read from its beginning again; a line that had begun is counted as
    ///   dropped.
    ///
    /// Malformed lines have the path and the offset in the file of that time. While there is no file, or it
    /// cannot be read, which is said once in the log, the source is
    /// [stalled](super::Standing::Stalled).
    ///
    /// It looks every 50 ms, and later while it waits for room in an interval. What that cannot see is missed: a file that takes the place of another and
    /// gives it up again between two looks; what is written to a file when the one in its place has been there
    /// for two looks; that a file was cut short, if it is as long as before at the next look.
    ///
    /// With a [checkpoint](crate::Builder::checkpoint) it is written down with each interval how far the file was read, and
    /// a program that is started again, or a master that takes over and sees the same file, goes on there. If the file was
    /// rotated meanwhile, it is looked for by its content under names in the same folder that begin with its own
    /// (`service.log.1`), whether it was moved or copied there, and read to its end first. What cannot be found (it was
    /// removed or compressed, or several took its place one after the other) is missed, which the log says.
    ///
    /// ```
    /// # use std::{fs, time::Duration};
    /// # use cutwater::Context;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("service.log");
    /// fs::write(&path, "INFO up\nERROR no disk\n").unwrap();
    /// let ctx = Context::builder("errors").interval(Duration::from_millis(20)).threads(1).build()?;
    /// let lines = ctx.source("log").include_existing().tail(&path);
    /// let stop = ctx.clone();
    /// lines.filter(|line| line.starts_with("ERROR")).for_each_rdd(move |rdd, t| {
    ///     for line in rdd.collect()? {
    ///         println!("{t}: {line}");
    ///         stop.stop();
    ///     }
    ///     Ok::<(), cutwater::Error>(())
    /// });
    /// ctx.run()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn tail(self, path: impl AsRef<Path>) -> DStream<String>
    where
        D: Dating<String>,
    {
        self.followed(path.as_ref(), decode::text)
    }

    /// The same where every line is a JSON value. Blank lines are passed over.
    ///
    /// ```
    /// # use cutwater::Context;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Request { path: String, status: u16 }
    ///
    /// let ctx = Context::local(1);
    /// let requests = ctx.source("requests").tail_json::<Request>("/var/log/requests.jsonl");
    /// # drop(requests);
    /// ```
    #[track_caller]
    pub fn tail_json<T: Record + DeserializeOwned>(self, path: impl AsRef<Path>) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.followed(path.as_ref(), decode::json)
    }

    #[track_caller]
    fn followed<T: Record>(self, path: &Path, decode: Decode<T>) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("a file that is followed", &["line_bytes_max", "include_existing"]);
        let receiver = Tail {
            path: path.to_owned(),
            decode,
            line_bytes_max: self.line_bytes_max,
            include_existing: self.include_existing,
            file: None,
            next: None,
            files: Arc::default(),
            trouble: None,
        };
        let files = receiver.files.clone();
        self.received_from(Origin::Receiver(Box::new(receiver)), Some(files)).1
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cutwater_core::Time;

    use super::*;
    use crate::source::intake::Bounds;

    /// A file that is looked at when the test says so.
    struct Case {
        _dir: tempfile::TempDir,
        path: PathBuf,
        tail: Tail<String>,
        intake: Intake<String>,
    }

    impl Case {
        fn new(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            fs::write(&path, text).unwrap();
            let mut tail = Tail {
                path: path.clone(),
                decode: decode::text,
                line_bytes_max: 100,
                include_existing: true,
                file: None,
                next: None,
                files: Arc::default(),
                trouble: None,
            };
            assert!(tail.prepare().is_empty());
            let intake = Intake::new(Bounds { records_max: 100, bytes_max: 10_000 }, None);
            Self { _dir: dir, path, tail, intake }
        }

        /// Moves the file away and hands it on, as its writer still has it.
        fn rotate(&self) -> File {
            let old = self.path.with_extension("old");
            fs::rename(&self.path, &old).unwrap();
            File::options().append(true).open(&old).unwrap()
        }

        /// What a look takes.
        fn look(&mut self) -> Vec<String> {
            self.tail.look(&self.intake).unwrap().unwrap();
            self.intake.cut(Time::from_ms(0), Time::from_ms(1)).records
        }
    }

    #[test]
    fn a_file_may_be_rotated_at_every_look() {
        let mut case = Case::new("a\n");
        let mut taken = Vec::new();
        for text in ["b\n", "c\n", "d\n", "e\n"] {
            case.rotate();
            fs::write(&case.path, text).unwrap();
            taken.extend(case.look());
        }
        taken.extend(case.look());
        assert_eq!(taken, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn what_is_written_to_the_old_file_until_the_look_after_is_taken_first() {
        let mut case = Case::new("a\n");
        let mut old = case.rotate();
        fs::write(&case.path, "new\n").unwrap();
        assert_eq!(case.look(), ["a"]);
        write!(old, "b\nc").unwrap();
        assert_eq!(case.look(), ["b", "c", "new"]);
        write!(old, "too late").unwrap();
        assert_eq!(case.look(), [""; 0]);
    }

    #[test]
    fn a_file_whose_place_is_empty_is_read_on() {
        let mut case = Case::new("a\n");
        let mut old = case.rotate();
        for text in ["b", "c"] {
            case.look();
            writeln!(old, "{text}").unwrap();
            assert_eq!(case.look(), [text]);
        }
    }

    #[test]
    fn the_last_line_is_found_however_far_back_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let far = 3 * READ_BYTES;
        for (last_bytes, line_bytes_max, start) in
            [(0, 100, 10), (50, 100, 10), (far, far, 10), (far, 100, far + 10 - 102)]
        {
            fs::write(&path, "complete.\n".to_owned() + &"x".repeat(last_bytes)).unwrap();
            let file = File::open(&path).unwrap();
            let bytes = file.metadata().unwrap().len();
            assert_eq!(last_line_start(&file, bytes, line_bytes_max).unwrap(), start as u64, "{last_bytes}");
        }
    }
}
