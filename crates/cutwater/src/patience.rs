use std::{thread, time::Duration};

use cutwater_core::limits;

use crate::{Error, ErrorKind};

/// How often a call to the outside that fails is made again, and after which pauses.
///
/// Only for calls that may be repeated: it may have been the answer that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Calls in all.
    attempts_max: u32,
    /// Before the second of them; it doubles with each.
    pause_ms_min: u64,
}

/// For what the driver asks of a sink.
pub(crate) const SINK: Patience =
    Patience { attempts_max: limits::SINK_ATTEMPTS_MAX, pause_ms_min: limits::SINK_PAUSE_MS_MIN };

/// For a task that stages records in a sink.
pub(crate) const STAGING: Patience =
    Patience { attempts_max: limits::SINK_STAGING_ATTEMPTS_MAX, pause_ms_min: limits::SINK_PAUSE_MS_MIN };

/// For the progress log.
pub(crate) const JOURNAL: Patience =
    Patience { attempts_max: limits::JOURNAL_ATTEMPTS_MAX, pause_ms_min: limits::JOURNAL_PAUSE_MS_MIN };

impl Patience {
    /// Makes a call, and makes it again while it fails for reasons outside and there is patience left. The thread waits.
    pub fn call<R>(self, what: &str, call: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
        self.call_and(what, pause, call)
    }

    fn call_and<R>(
        self,
        what: &str,
        mut pause: impl FnMut(Duration),
        mut call: impl FnMut() -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut attempt = 1;
        loop {
            match call() {
                Err(error) if error.kind() == ErrorKind::External && attempt < self.attempts_max => {
                    let ms = self.pause_ms_min << (attempt - 1);
                    tracing::warn!(%error, attempt, pause_ms = ms, "{what} has failed and is tried again");
                    pause(Duration::from_millis(ms));
                    attempt += 1;
                }
                done => return done,
            }
        }
    }
}

/// What fails in tests in this crate fails on purpose, and does not come back sooner or later.
fn pause(time: Duration) {
    if !cfg!(test) {
        thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a call that fails so many times, how often it was made, and the pauses in milliseconds.
    fn made(patience: Patience, failures: u32, error: fn() -> Error) -> (Result<(), Error>, u32, Vec<u128>) {
        let (mut calls, mut pauses_ms) = (0, Vec::new());
        let result = patience.call_and(
            "a call",
            |pause| pauses_ms.push(pause.as_millis()),
            || {
                calls += 1;
                if calls > failures { Ok(()) } else { Err(error()) }
            },
        );
        (result, calls, pauses_ms)
    }

    #[test]
    fn pauses_double_until_the_call_succeeds() {
        let away = || Error::external("away");
        let (result, calls, pauses_ms) = made(SINK, 4, away);
        assert_eq!((result.is_ok(), calls, pauses_ms), (true, 5, vec![50, 100, 200, 400]));
        let (result, calls, pauses_ms) = made(SINK, 0, away);
        assert_eq!((result.is_ok(), calls, pauses_ms), (true, 1, vec![]));
    }

    /// Long enough for a server to be started again, and then the program says what is wrong.
    #[test]
    fn an_outage_is_outlasted_for_some_seconds_and_not_for_ever() {
        for (patience, runs) in [(SINK, 1), (STAGING, limits::TASK_ATTEMPTS_MAX), (JOURNAL, 1)] {
            let (result, calls, pauses_ms) = made(patience, u32::MAX, || Error::external("away"));
            assert_eq!(result.unwrap_err().kind(), ErrorKind::External);
            assert_eq!(calls, patience.attempts_max);
            let ms = pauses_ms.iter().sum::<u128>() * u128::from(runs);
            assert!((1_000..10_000).contains(&ms), "{patience:?} waits for {ms} ms");
        }
    }

    #[test]
    fn what_is_wrong_with_the_program_or_its_rights_is_not_tried_again() {
        for error in [|| Error::user("no such column"), || Error::fenced("another master")] {
            let (result, calls, _) = made(SINK, 1, error);
            assert!(result.is_err() && calls == 1);
        }
    }
}
