use std::time::{Duration, Instant};

use crate::{
    Error, Record,
    rdd::{Count, Rdd},
    task::OperatorSpec,
};

/// A number that is known to lie between two others, with a confidence of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The likeliest answer.
    pub value: f64,
    /// It is hardly less.
    pub low: f64,
    /// It is hardly more.
    pub high: f64,
    /// Whether everything was looked at, so that all three are the same.
    pub exact: bool,
}

/// Standard deviations on each side of the mean that hold 95 % of a normal distribution.
const DEVIATIONS: f64 = 1.96;

/// Adds up counts of partitions, in growing rounds, until `enough` says that it is time.
fn count_in_rounds(
    counts: impl Fn(u32, u32) -> Result<Vec<u64>, Error>,
    partitions: u32,
    mut enough: impl FnMut() -> bool,
) -> Result<Estimate, Error> {
    let (mut seen, mut round, mut sum, mut squares) = (0, 1, 0.0, 0.0);
    while seen < partitions && (seen == 0 || !enough()) {
        let next = u32::min(round, partitions - seen);
        for count in counts(seen, next)? {
            sum += count as f64;
            squares += (count as f64).powi(2);
        }
        (seen, round) = (seen + next, round.saturating_mul(2));
    }
    let (n, all) = (f64::from(seen), f64::from(partitions));
    if seen == partitions {
        return Ok(Estimate { value: sum, low: sum, high: sum, exact: true });
    }
    // Partitions that were not looked at are taken to be like those that were. Of a single one
    // it is not known how they differ; then they may be as different as its size.
    let variance = if seen > 1 { (squares - sum * sum / n).max(0.0) / (n - 1.0) } else { squares };
    let deviation = DEVIATIONS * all * (variance / n * (1.0 - n / all)).sqrt();
    let value = sum / n * all;
    Ok(Estimate { value, low: (value - deviation).max(sum), high: value + deviation, exact: false })
}

impl<T: Record> Rdd<T> {
    /// About how many records there are, after about `timeout` (`api.md` §12).
    ///
    /// Partitions are counted in growing rounds, and no round is begun when the time is over; the
    /// rest are taken to be like those that were counted. It differs from other engines in three
    /// ways: a round that was begun is finished, so the answer may come later than `timeout` and the
    /// first partition is always counted; nothing goes on after the answer; and the bounds are
    /// always those of 95 % confidence. It is the one operation whose answer depends on the wall's
    /// clock, so do not let records depend on it.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let numbers = ctx.parallelize_into(64, 0..6400);
    /// let soon = numbers.count_approx(Duration::ZERO)?;
    /// assert!(soon.low <= 6400.0 && 6400.0 <= soon.high && !soon.exact);
    /// let late = numbers.count_approx(Duration::MAX)?;
    /// assert!(late.value == 6400.0 && late.exact);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_approx(&self, timeout: Duration) -> Result<Estimate, Error> {
        let began = Instant::now();
        let spec = OperatorSpec::new::<Count<T>>("count_approx", &());
        let counts = |from, some| self.some_partitions(from, some, &spec).collect();
        count_in_rounds(counts, self.num_partitions(), || began.elapsed() >= timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_what_was_not_counted() {
        let sizes: Vec<u64> = (0..40).map(|p| 100 + p * 7 % 13).collect();
        let truth: u64 = sizes.iter().sum();
        let counts = |from: u32, n: u32| Ok(sizes[from as usize..(from + n) as usize].to_vec());
        for rounds in 0..5 {
            let mut more = 0..rounds;
            let enough = || more.next().is_none();
            let got = count_in_rounds(counts, 40, enough).unwrap();
            assert!(got.low <= truth as f64 && truth as f64 <= got.high, "{rounds} {got:?} {truth}");
            assert!(!got.exact);
        }
        let all = count_in_rounds(counts, 40, || false).unwrap();
        assert_eq!((all.value, all.exact), (truth as f64, true));
        assert!(count_in_rounds(counts, 0, || true).unwrap().exact);
    }
}
