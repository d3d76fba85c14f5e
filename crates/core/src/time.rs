use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// The label of an interval: the moment at which it ends, in milliseconds since 1970-01-01 UTC.
///
/// Interval `t` of length Δ covers (t−Δ, t] (`api.md` §4.1).
///
/// ```
/// use std::time::Duration;
/// use cutwater_core::Time;
///
/// let t = Time::from_ms(5_400);
/// assert_eq!(t.floor(Duration::from_secs(1)), Time::from_ms(5_000));
/// assert_eq!(t.next_multiple(Duration::from_secs(1)), Time::from_ms(6_000));
/// assert_eq!(Time::from_ms(1_357_034_400_000).to_string(), "2013-01-01T10:00:00Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(i64);

impl Time {
    /// The moment `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The greatest multiple of `step` that is not after this moment. `step` counts whole
    /// milliseconds and is at least one.
    pub fn floor(self, step: Duration) -> Self {
        Self(self.0 - self.0.rem_euclid(ms(step)))
    }

    /// The least multiple of `step` that is strictly after this moment: where a program that
    /// starts now begins (`api.md` §4.1).
    pub fn next_multiple(self, step: Duration) -> Self {
        Self(self.floor(step).0 + ms(step))
    }

    /// The least `first` + k·`step` that is strictly after this moment: where a program that began at `first`
    /// goes on if it is started again now (`api.md` §4.1). `step` as for [`floor`](Self::floor).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater_core::Time;
    /// let (now, first) = (Time::from_ms(3_250), Time::from_ms(500));
    /// assert_eq!(now.next_from(first, Duration::from_secs(1)), Time::from_ms(3_500));
    /// ```
    pub fn next_from(self, first: Self, step: Duration) -> Self {
        let since = Self(self.0 - first.0);
        Self(first.0 + since.next_multiple(step).0)
    }

    /// How long it is from `earlier` until this moment; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

fn ms(step: Duration) -> i64 {
    i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1)
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    /// ISO 8601 in UTC, with milliseconds only where there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )?;
        if ms != 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

/// A text that is not a moment as [`Time`] is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time such as 2013-01-31T10:00:00Z")]
pub struct TimeError(String);

impl FromStr for Time {
    type Err = TimeError;

    /// Reads what `Display` writes.
    ///
    /// ```
    /// use cutwater_core::Time;
    ///
    /// let time: Time = "2013-01-01T10:00:00Z".parse()?;
    /// assert_eq!(time.as_ms(), 1_357_034_400_000);
    /// assert!("yesterday".parse::<Time>().is_err());
    /// # Ok::<(), cutwater_core::TimeError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text).ok_or_else(|| TimeError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Time> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    // Digits beyond the third are finer than a label.
    let ms: i64 = format!("{:0<3.3}", fraction).parse().ok()?;
    let days = days_from_civil(year, month, day);
    // A day that the month does not have would come back as one of the next month.
    if !in_range || civil_from_days(days) != (year, month, day) {
        return None;
    }
    Some(Time(days * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000 + ms))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text
        .split(separator)
        .map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Day number since 1970-01-01 to a date of the proleptic Gregorian calendar. A year is taken to
/// begin in March, so that the day that leap years add is its last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_as_dates() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_356_998_400_000, "2013-01-01T00:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(Time::from_ms(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Time::from_ms(ms)));
        }
        for wrong in [
            "",
            "2013-02-29T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01",
            "2013-1-1T0:0:0Zx",
            "-1-1-1T0:0:0Z",
        ] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_is_strictly_after_now() {
        let second = Duration::from_secs(1);
        assert_eq!(Time::from_ms(3_000).next_multiple(second), Time::from_ms(4_000));
        assert_eq!(Time::from_ms(-1).floor(second), Time::from_ms(-1_000));
    }
}
