//! Times and spans as people read them, in the same way wherever they are shown.

use std::time::Duration;

use crate::Time;

/// The label of an interval as a time of the day, `utc_offset` seconds east of Greenwich, with milliseconds
/// only if intervals are shorter than a second, and with the date if that is not clear otherwise.
///
/// ```
/// use std::time::Duration;
/// use cutwater_core::{Time, text::interval_label};
///
/// let time = Time::from_ms(1_431_637_480_452);
/// assert_eq!(interval_label(time, Duration::from_secs(1), -7 * 3600, true), "2015/05/14 14:04:40");
/// assert_eq!(interval_label(time, Duration::from_millis(50), 0, false), "21:04:40.452");
/// ```
pub fn interval_label(time: Time, interval: Duration, utc_offset: i32, with_date: bool) -> String {
    let local = Time::from_ms(time.as_ms().saturating_add(i64::from(utc_offset) * 1000));
    let text = local.floor(Duration::from_secs(1)).to_string();
    let (date, clock) = text.trim_end_matches('Z').split_once('T').unwrap_or(("", &text));
    let mut label = if with_date { format!("{} {clock}", date.replace('-', "/")) } else { clock.to_owned() };
    if interval < Duration::from_secs(1) {
        label += &format!(".{:03}", local.as_ms().rem_euclid(1000));
    }
    label
}

/// A span of time as a number of the largest unit of which it holds one, for axes and headings.
///
/// ```
/// use std::time::Duration;
/// use cutwater_core::text::in_largest_unit;
///
/// assert_eq!(in_largest_unit(Duration::from_secs(90)), (1.5, "min"));
/// ```
pub fn in_largest_unit(span: Duration) -> (f64, &'static str) {
    let units = [(86_400_000, "days"), (3_600_000, "hrs"), (60_000, "min"), (1_000, "sec")];
    let ms = span.as_secs_f64() * 1000.0;
    let (unit_ms, unit) = units.into_iter().find(|(unit, _)| ms >= f64::from(*unit)).unwrap_or((1, "ms"));
    (ms / f64::from(unit_ms), unit)
}
