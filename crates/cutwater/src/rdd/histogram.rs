use std::cmp::Ordering;

use crate::{Error, Record, rdd::Rdd};

/// What is not a number sorts last, and so may be the end of the last bucket (`api.md` §12).
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The bucket of a number; `None` if it is outside. Buckets are closed on the left, and the last
/// one on the right too.
fn bucket(edges: &[f64], number: f64) -> Option<usize> {
    let (first, last) = (*edges.first()?, *edges.last()?);
    if order(number, first).is_lt() || order(number, last).is_gt() {
        return None;
    }
    let begun = edges.partition_point(|edge| order(*edge, number).is_le());
    Some(begun.min(edges.len() - 1) - 1)
}

impl<T: Record + Into<f64>> Rdd<T> {
    /// How many numbers lie in each bucket, of which `edges` are the ends in ascending order
    /// (`api.md` §12). A bucket holds its left edge and not its right one; the last holds both.
    /// Numbers outside are not counted. What is not a number sorts last: it is counted only in a last
    /// bucket that ends in it.
    ///
    /// # Errors
    /// There are fewer than two edges or they descend, besides the errors of
    /// [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let numbers = ctx.parallelize([-1.0, 0.0, 4.9, 5.0, 10.0, 11.0]);
    /// assert_eq!(numbers.histogram(&[0.0, 5.0, 10.0])?, [2, 2]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn histogram(&self, edges: &[f64]) -> Result<Vec<u64>, Error> {
        if edges.len() < 2 {
            return Err(Error::user(format_args!(
                "`histogram` with edges {edges:?}: a bucket has two, so there are at least as many"
            )));
        }
        if edges.is_sorted_by(|a, b| order(*a, *b).is_le()) {
            self.counted_in(edges)
        } else {
            Err(Error::user(format_args!("`histogram` with edges {edges:?}: they do not ascend")))
        }
    }

    /// How many numbers lie in each of `buckets` buckets of equal width between the least and the
    /// greatest, and the edges of the buckets (`api.md` §12). If all numbers are the same there is one
    /// bucket.
    ///
    /// # Errors
    /// There are no numbers, or one is infinite or not a number, or there are no buckets, besides the
    /// errors of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let (edges, counts) = ctx.parallelize([1u32, 2, 3, 5]).even_histogram(2)?;
    /// assert_eq!((edges, counts), (vec![1.0, 3.0, 5.0], vec![2, 2]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn even_histogram(&self, buckets: u32) -> Result<(Vec<f64>, Vec<u64>), Error> {
        let refused = |why: &str| Err(Error::user(format_args!("`even_histogram`: {why}")));
        if buckets == 0 {
            return refused("there is at least one bucket");
        }
        let stats = self.stats()?;
        if stats.count == 0 {
            return refused("there are no numbers, so nothing to lay buckets over");
        }
        // The mean is finite only if every number is; the extremes pass over what is not a number.
        if !(stats.mean.is_finite() && stats.min.is_finite() && stats.max.is_finite()) {
            return refused("a number is infinite or not a number; give the edges, or filter it out");
        }
        let (min, span) = (stats.min, stats.max - stats.min);
        let mut edges = vec![min];
        if span > 0.0 {
            edges.extend((1..buckets).map(|i| min + f64::from(i) * span / f64::from(buckets)));
        }
        edges.push(stats.max);
        let counts = self.counted_in(&edges)?;
        Ok((edges, counts))
    }

    #[track_caller]
    fn counted_in(&self, edges: &[f64]) -> Result<Vec<u64>, Error> {
        let add = |edges: &Vec<f64>, mut counts: Vec<u64>, number: T| {
            if let Some(bucket) = bucket(edges, number.into()) {
                counts[bucket] += 1;
            }
            counts
        };
        let merge =
            |counts: Vec<u64>, other: Vec<u64>| counts.iter().zip(other).map(|(a, b)| a + b).collect();
        self.with(edges.to_vec()).aggregate(vec![0; edges.len() - 1], add, merge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_belong_to_the_bucket_they_begin_and_the_last_to_the_last() {
        let edges = [0.0, 5.0, 5.0, 10.0];
        let buckets = [-0.1, 0.0, 4.9, 5.0, 10.0, 10.1, f64::NAN].map(|number| bucket(&edges, number));
        assert_eq!(buckets, [None, Some(0), Some(0), Some(2), Some(2), None, None]);
        let open = [f64::NEG_INFINITY, 0.0, f64::NAN];
        let buckets = [f64::NEG_INFINITY, -0.0, f64::INFINITY, f64::NAN].map(|number| bucket(&open, number));
        assert_eq!(buckets, [Some(0), Some(1), Some(1), Some(1)]);
    }
}
