use std::{
    collections::{HashSet, VecDeque},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cutwater_core::{Time, limits};
use serde::{Deserialize, Serialize};

/// A file as a folder's listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub path: PathBuf,
    pub modified: Time,
    pub bytes: u64,
}

/// Which files of a folder are new at an interval (`api.md` §2).
///
/// Properties:
/// - a file is selected once, when it is first seen with a time of modification in
///   (threshold, end of the interval]; what is written to it later is not looked at;
/// - the threshold is the later of the program's start and the beginning of what is remembered, so
///   that it is enough to remember the files selected since then.
#[derive(Serialize, Deserialize)]
pub(super) struct Selection {
    remember: Duration,
    /// Whether files from before the program's start count, at the first listing.
    existing: bool,
    /// Before the first interval.
    start: Option<Time>,
    /// Selected files by interval, oldest first, and all of them by name.
    selected: VecDeque<(Time, Vec<PathBuf>)>,
    names: HashSet<PathBuf>,
}

impl Selection {
    pub fn new(interval: Duration, existing: bool) -> Self {
        let intervals = u128::from(limits::FOLDER_REMEMBER_MS).div_ceil(interval.as_millis().max(1));
        let remember = interval * u32::try_from(intervals).unwrap_or(u32::MAX);
        Self { remember, existing, start: None, selected: VecDeque::new(), names: HashSet::new() }
    }

    /// The new files at interval (from, to], the oldest first.
    pub fn select(&mut self, from: Time, to: Time, listed: Vec<Found>) -> Vec<Found> {
        let oldest = to - self.remember;
        let threshold = if std::mem::take(&mut self.existing) {
            self.start = Some(oldest);
            Time::from_ms(i64::MIN)
        } else {
            oldest.max(*self.start.get_or_insert(from))
        };
        let mut new: Vec<_> = listed
            .into_iter()
            .filter(|file| {
                threshold < file.modified && file.modified <= to && !self.names.contains(&file.path)
            })
            .collect();
        // The order of a listing is an accident of the file system.
        new.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        self.remember(to, oldest, &new);
        new
    }

    fn remember(&mut self, to: Time, oldest: Time, new: &[Found]) {
        if !new.is_empty() {
            let paths: Vec<_> = new.iter().map(|file| file.path.clone()).collect();
            self.names.extend(paths.iter().cloned());
            self.selected.push_back((to, paths));
        }
        // A file selected then was modified then at the latest, and is now too old to be new.
        while let Some((_, paths)) = self.selected.pop_front_if(|(time, _)| *time <= oldest) {
            for path in paths {
                self.names.remove(&path);
            }
        }
    }
}

/// The time of a modification as intervals count: the millisecond in which it ended, so that
/// something just after the end of an interval is not within it.
pub(super) fn time_of(modified: SystemTime) -> Time {
    let ms = |span: Duration| i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    Time::from_ms(match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_secs(2);

    fn file(name: &str, modified_ms: i64) -> Found {
        Found { path: name.into(), modified: Time::from_ms(modified_ms), bytes: 1 }
    }

    /// Names selected at the interval that ends at `to_ms`, out of all `files`.
    fn at(selection: &mut Selection, to_ms: i64, files: &[Found]) -> Vec<String> {
        let to = Time::from_ms(to_ms);
        let new = selection.select(to - BATCH, to, files.to_vec());
        new.into_iter().map(|file| file.path.display().to_string()).collect()
    }

    /// `queue_and_files/006`: a file from before the start counts only if it is asked for.
    #[test]
    fn new_files_only_or_all() {
        for (existing, expected) in [(false, "12345"), (true, "012345")] {
            let mut selection = Selection::new(BATCH, existing);
            let mut files = vec![file("0", 10_000)];
            let mut seen = String::new();
            for (batch, name) in (1..).zip(["1", "2", "3", "4", "5"]) {
                // Half a batch before the end of the batch.
                files.push(file(name, 12_000 + batch * 2_000 - 1_000));
                seen += &at(&mut selection, 12_000 + batch * 2_000, &files).concat();
            }
            assert_eq!(seen, expected);
        }
    }

    /// `queue_and_files/009`: a directory comes into sight with an old file and a fresh one.
    #[test]
    fn of_a_renamed_directory_only_the_fresh_file_is_new() {
        let mut selection = Selection::new(BATCH, false);
        assert!(at(&mut selection, 14_000, &[]).is_empty());
        let files = [file("existing", 10_000), file("renamed.txt", 14_000)];
        assert_eq!(at(&mut selection, 16_000, &files), ["renamed.txt"]);
    }

    /// `queue_and_files/010`: the rule itself, at its edges.
    #[test]
    fn the_rule_holds_at_its_edges() {
        let mut selection = Selection::new(BATCH, false);
        let files = [
            file("at start", 12_000),
            file("just after", 12_001),
            file("at end", 14_000),
            file("later", 14_001),
        ];
        assert_eq!(at(&mut selection, 14_000, &files), ["just after", "at end"]);
        assert_eq!(at(&mut selection, 16_000, &files), ["later"]);
        // Modified again: it was selected, and is remembered.
        assert!(at(&mut selection, 18_000, &[file("later", 17_000)]).is_empty());
        // 60 s are 30 batches; a file may come into sight late, but not later than that.
        let late = [file("seen late", 20_001), file("seen too late", 20_000)];
        assert_eq!(at(&mut selection, 80_000, &late), ["seen late"]);
    }

    #[test]
    fn what_is_remembered_is_a_window_of_whole_intervals() {
        assert_eq!(Selection::new(Duration::from_secs(7), false).remember, Duration::from_secs(63));
        assert_eq!(Selection::new(Duration::from_secs(100), false).remember, Duration::from_secs(100));
        let mut selection = Selection::new(BATCH, false);
        for batch in 1..=1_000 {
            at(&mut selection, batch * 2_000, &[file(&batch.to_string(), batch * 2_000)]);
            assert!(selection.names.len() <= 30 && selection.selected.len() <= 30);
        }
    }

    #[test]
    fn all_that_is_there_is_taken_once_however_old() {
        let mut selection = Selection::new(BATCH, true);
        let files = [file("ancient", 5), file("of the future", 3_000_000)];
        assert_eq!(at(&mut selection, 1_000_000, &files), ["ancient"]);
        for batch in 1..100 {
            assert!(at(&mut selection, 1_000_000 + batch * 2_000, &files).is_empty());
        }
        assert_eq!(at(&mut selection, 3_000_000, &files), ["of the future"]);
    }

    #[test]
    fn a_modification_belongs_to_the_millisecond_in_which_it_ended() {
        let at = |nanos| time_of(UNIX_EPOCH + Duration::from_nanos(nanos));
        assert_eq!([at(0), at(1), at(1_000_000), at(1_000_001)].map(Time::as_ms), [0, 1, 1, 2]);
        assert_eq!(time_of(UNIX_EPOCH - Duration::from_millis(5)).as_ms(), -5);
    }
}
