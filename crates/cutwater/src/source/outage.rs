use std::{fmt, io, thread, time::Duration};

use crossbeam_channel::{RecvTimeoutError, bounded};
use cutwater_core::limits;

use super::{Intake, Stopped};

pub(super) const STOP_POLL: Duration = Duration::from_millis(limits::STOP_POLL_MS);

/// A server that may go away and come back: how long to wait between tries, and when to say so.
///
/// Waits double from try to try, without any jitter: nothing in a program is left to chance, and a
/// server has few programs that read from it.
pub(super) struct Outage {
    place: String,
    first: Duration,
    next: Duration,
    /// An outage was reported and its end was not.
    reported: bool,
}

impl Outage {
    /// Until it has answered for the first time the server is away too.
    pub fn new<T>(place: &str, intake: &Intake<T>) -> Self {
        intake.set_away(true);
        Self::of(place)
    }

    fn of(place: &str) -> Self {
        let first = Duration::from_millis(limits::RECONNECT_MS_MIN);
        Self { place: place.to_owned(), first, next: first, reported: false }
    }

    /// Says once that the server is away, and waits until it is time to try again.
    pub fn wait<T>(&mut self, intake: &Intake<T>, reason: impl fmt::Display) -> Result<(), Stopped> {
        let delay = self.delay();
        intake.set_away(true);
        self.report(reason);
        intake.sleep(delay)
    }

    /// The same where the server said how long to wait; never longer than it may ask.
    pub fn wait_as_asked<T>(
        &mut self,
        intake: &Intake<T>,
        asked: Duration,
        reason: impl fmt::Display,
    ) -> Result<(), Stopped> {
        intake.set_away(true);
        self.report(reason);
        intake.sleep(bounded_wait(asked))
    }

    /// The server is there.
    pub fn over(&mut self) {
        self.next = self.first;
        if std::mem::take(&mut self.reported) {
            tracing::info!(place = %self.place, "connected again");
        }
    }

    /// The server asks to be left alone for so long before a first try.
    pub fn begin_with(&mut self, first: Duration) {
        self.first = bounded_wait(first);
        self.next = self.first;
    }

    fn delay(&mut self) -> Duration {
        let most = Duration::from_millis(limits::RECONNECT_MS_MAX).max(self.first);
        let delay = self.next;
        self.next = (delay * 2).min(most);
        delay
    }

    fn report(&mut self, reason: impl fmt::Display) {
        if !std::mem::replace(&mut self.reported, true) {
            tracing::warn!(place = %self.place, %reason, "not connected; trying again until it is");
        }
    }
}

/// What a server may ask for: not forever, and not a storm of requests either.
fn bounded_wait(asked: Duration) -> Duration {
    let (least, most) = (limits::RECONNECT_MS_MIN, limits::SERVER_WAIT_MS_MAX);
    asked.clamp(Duration::from_millis(least), Duration::from_millis(most))
}

/// Runs `call` on a thread of its own and waits for its answer, or until the program is over. Looking
/// up a name and connecting cannot be broken off, so their thread is then left behind; it ends by
/// itself when `call` gives up.
pub(super) fn unless_stopped<T, R: Send + 'static>(
    intake: &Intake<T>,
    call: impl FnOnce() -> R + Send + 'static,
) -> Result<io::Result<R>, Stopped> {
    let (sender, answer) = bounded(1);
    let spawned = thread::Builder::new().name("cutwater-connect".to_owned()).spawn(move || {
        // Nobody takes the answer if the program is over.
        let _ = sender.send(call());
    });
    if let Err(error) = spawned {
        return Ok(Err(error));
    }
    loop {
        match answer.recv_timeout(STOP_POLL) {
            Ok(answer) => return Ok(Ok(answer)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(io::Error::other("the attempt panicked"))),
            Err(RecvTimeoutError::Timeout) if intake.is_stopped() => return Err(Stopped),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_an_outage() {
        let mut outage = Outage::of("example");
        let delays: Vec<_> = (0..8).map(|_| outage.delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        outage.over();
        assert_eq!(outage.delay().as_millis(), 100);
    }

    #[test]
    fn a_server_may_ask_for_patience_but_not_for_ever() {
        let mut outage = Outage::of("example");
        outage.begin_with(Duration::from_secs(10));
        assert_eq!([outage.delay(), outage.delay()], [Duration::from_secs(10); 2]);
        outage.begin_with(Duration::from_secs(1_000_000));
        assert_eq!(outage.delay(), Duration::from_secs(60));
        outage.begin_with(Duration::ZERO);
        assert_eq!(outage.delay(), Duration::from_millis(100));
    }
}
