use std::time::{Duration, Instant};

use super::{Dating, Intake, Receiver, SourceBuilder, Stopped, received::Origin};
use crate::{DStream, Error, Record};

/// Records made by the program at a steady rate.
struct Rate<F> {
    pace: Pace,
    /// Ends after so many.
    total: Option<u64>,
    make: F,
}

/// How many records are due.
///
/// The nth is due n/rate after the beginning, so that rounding never adds up. After a stall it is
/// made good at twice the rate: a burst would be a load that nobody asked for.
struct Pace {
    per_second: u64,
    made: u64,
    asked: Duration,
}

/// How long the generator sleeps at most: a fraction of the shortest useful interval.
const TICK: Duration = Duration::from_millis(2);
/// What is longer was no tick that came late but a stall.
const STALL: Duration = Duration::from_millis(100);

impl Pace {
    /// How many records to make now, `elapsed` after the beginning.
    fn due(&mut self, elapsed: Duration) -> u64 {
        let since = elapsed.saturating_sub(std::mem::replace(&mut self.asked, elapsed));
        let behind = (self.within(elapsed) + 1).saturating_sub(self.made);
        // A share that rounds to nothing must not hold a slow generator up for ever, hence the one.
        let due = behind.min(2 * self.within(since.clamp(TICK, STALL)) + 1);
        self.made += due;
        due
    }

    /// How long until the next record is due; shorter than it, if that is long.
    fn wait(&self, elapsed: Duration) -> Duration {
        let next = u128::from(self.made) * 1_000_000_000 / u128::from(self.per_second.max(1));
        let next = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        next.saturating_sub(elapsed).max(TICK)
    }

    fn within(&self, span: Duration) -> u64 {
        u64::try_from(span.as_nanos() * u128::from(self.per_second) / 1_000_000_000).unwrap_or(u64::MAX - 1)
    }
}

impl<T: Record, F: Fn(u64) -> T + Send + 'static> Receiver<T> for Rate<F> {
    fn prepare(&mut self) -> Vec<String> {
        match self.pace.per_second {
            0 => vec!["a rate of 0 records a second gives none; it is at least 1".to_owned()],
            _ => Vec::new(),
        }
    }

    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error> {
        // Being told to stop is how it usually ends.
        let _ = self.generate(intake);
        Ok(())
    }
}

impl<F> Rate<F> {
    fn generate<T>(&mut self, intake: &Intake<T>) -> Result<(), Stopped>
    where
        F: Fn(u64) -> T,
    {
        let began = Instant::now();
        loop {
            let first = self.pace.made;
            let end = first + self.pace.due(began.elapsed());
            for n in first..self.total.map_or(end, |total| end.min(total)) {
                intake.push((self.make)(n), 0)?;
            }
            if self.total.is_some_and(|total| end >= total) {
                return Ok(());
            }
            intake.sleep(self.pace.wait(began.elapsed()))?;
        }
    }
}

impl<D> SourceBuilder<'_, D> {
    /// Records made by `make` from their number, `per_second` of them a second, for ever. Record n is
    /// the same in every run; the interval it falls into depends on the wall's clock. A generator that
    /// was held up makes good for it at twice its rate.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(1);
    /// let ticks = ctx.source("ticks").rate(1_000, |n| n);
    /// # drop(ticks);
    /// ```
    #[track_caller]
    pub fn rate<T: Record>(self, per_second: u64, make: impl Fn(u64) -> T + Send + 'static) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.generated(per_second, None, make)
    }

    /// The same until there are `total` of them; then the source has ended.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::Context;
    /// let ctx = Context::builder("squares").interval(Duration::from_millis(10)).threads(1).build()?;
    /// ctx.source("squares").rate_for(20, 1_000, |n| n * n).print();
    /// ctx.run()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn rate_for<T: Record>(
        self,
        total: u64,
        per_second: u64,
        make: impl Fn(u64) -> T + Send + 'static,
    ) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.generated(per_second, Some(total), make)
    }

    #[track_caller]
    fn generated<T: Record>(
        self,
        per_second: u64,
        total: Option<u64>,
        make: impl Fn(u64) -> T + Send + 'static,
    ) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("a generator", &[]);
        let pace = Pace { per_second, made: 0, asked: Duration::ZERO };
        self.received(Origin::Receiver(Box::new(Rate { pace, total, make }))).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u64) -> Pace {
        Pace { per_second, made: 0, asked: Duration::ZERO }
    }

    #[test]
    fn the_rate_is_kept_exactly_however_often_it_is_asked() {
        for (per_second, step) in [(1_000, 2), (7, 2), (1_000_000, 2), (3, 100)] {
            let mut pace = pace(per_second);
            for ms in (0..=10_000).step_by(step) {
                pace.due(Duration::from_millis(ms));
            }
            assert_eq!(pace.made, 10 * per_second + 1, "{per_second} a second");
        }
    }

    #[test]
    fn a_stall_is_made_good_at_twice_the_rate() {
        let mut pace = pace(1_000);
        pace.due(Duration::ZERO);
        pace.made = 1;
        pace.asked = Duration::from_secs(1);
        // A second behind; each tick of 10 ms makes its 10 records and 10 more.
        for ms in (1_010..=1_900).step_by(10) {
            assert!(pace.due(Duration::from_millis(ms)) <= 21);
        }
        for ms in (1_910..=2_200).step_by(10) {
            pace.due(Duration::from_millis(ms));
        }
        assert_eq!(pace.made, 2_201);
    }

    #[test]
    fn a_slow_rate_sleeps_until_its_next_record() {
        let mut pace = pace(2);
        assert_eq!(pace.due(Duration::ZERO), 1);
        assert_eq!(pace.wait(Duration::from_millis(100)), Duration::from_millis(400));
    }
}
