use serde::{Deserialize, Serialize};

use crate::{Error, Record, rdd::Rdd};

/// A summary of numbers, put together in one pass without loss of digits (Welford's method, and
/// Chan's for parts).
///
/// ```
/// use cutwater::Stats;
///
/// let stats: Stats = [1.0, 2.0, 3.0, 4.0].into_iter().collect();
/// assert_eq!((stats.count, stats.mean, stats.min, stats.max), (4, 2.5, 1.0, 4.0));
/// assert_eq!((stats.sum(), stats.variance()), (10.0, 1.25));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// How many there are.
    pub count: u64,
    /// Their mean; not a number if there are none.
    pub mean: f64,
    /// The least, infinity if there are none.
    pub min: f64,
    /// The greatest, minus infinity if there are none.
    pub max: f64,
    /// The sum of the squares of their distances from the mean.
    squares: f64,
}

impl Default for Stats {
    /// The summary of no numbers.
    fn default() -> Self {
        Self { count: 0, mean: f64::NAN, min: f64::INFINITY, max: f64::NEG_INFINITY, squares: 0.0 }
    }
}

impl Stats {
    /// The summary of these numbers and one more.
    #[must_use]
    pub fn with(self, number: f64) -> Self {
        if self.count == 0 {
            return Self { count: 1, mean: number, min: number, max: number, squares: 0.0 };
        }
        let count = self.count + 1;
        let distance = number - self.mean;
        let mean = self.mean + distance / count as f64;
        Self {
            count,
            mean,
            min: self.min.min(number),
            max: self.max.max(number),
            squares: self.squares + distance * (number - mean),
        }
    }

    /// The summary of these numbers and those of another.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match (self.count, other.count) {
            (0, _) => return other,
            (_, 0) => return self,
            _ => {}
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        Self {
            count,
            mean: self.mean + distance * share,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            squares: self.squares + other.squares + distance * distance * self.count as f64 * share,
        }
    }

    /// Their sum, 0 if there are none.
    #[must_use]
    pub fn sum(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.mean * self.count as f64 }
    }

    /// The mean square of their distances from the mean; not a number if there are none.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.squares / self.count as f64 }
    }

    /// The variance of what they are a sample of, as far as the sample tells; not a number if there
    /// are fewer than two.
    #[must_use]
    pub fn sample_variance(&self) -> f64 {
        if self.count < 2 { f64::NAN } else { self.squares / (self.count - 1) as f64 }
    }

    /// The standard deviation: the root of [`variance`](Self::variance).
    #[must_use]
    pub fn stdev(&self) -> f64 {
        self.variance().sqrt()
    }

    /// The root of [`sample_variance`](Self::sample_variance).
    #[must_use]
    pub fn sample_stdev(&self) -> f64 {
        self.sample_variance().sqrt()
    }
}

impl FromIterator<f64> for Stats {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::default(), Self::with)
    }
}

impl<T: Record + Into<f64>> Rdd<T> {
    /// Count, mean, variance, least and greatest of all numbers, in one pass (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let stats = ctx.parallelize([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).stats()?;
    /// assert_eq!((stats.count, stats.mean, stats.stdev(), stats.max), (8, 5.0, 2.0, 9.0));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn stats(&self) -> Result<Stats, Error> {
        self.aggregate(Stats::default(), |stats, number| stats.with(number.into()), Stats::merge)
    }

    /// The mean of all numbers; not a number if there are none (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1u32, 2, 6]).mean()?, 3.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn mean(&self) -> Result<f64, Error> {
        Ok(self.stats()?.mean)
    }

    /// The mean square of all numbers' distances from their mean; not a number if there are none
    /// (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1.0, 3.0]).variance()?, 1.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn variance(&self) -> Result<f64, Error> {
        Ok(self.stats()?.variance())
    }

    /// The variance of what the numbers are a sample of; not a number if there are fewer than two
    /// (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1.0, 3.0]).sample_variance()?, 2.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_variance(&self) -> Result<f64, Error> {
        Ok(self.stats()?.sample_variance())
    }

    /// The standard deviation of all numbers: the root of [`variance`](Self::variance)
    /// (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1.0, 5.0]).stdev()?, 2.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn stdev(&self) -> Result<f64, Error> {
        Ok(self.stats()?.stdev())
    }

    /// The root of [`sample_variance`](Self::sample_variance) (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1.0, 2.0, 3.0]).sample_stdev()?, 1.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_stdev(&self) -> Result<f64, Error> {
        Ok(self.stats()?.sample_stdev())
    }
}
