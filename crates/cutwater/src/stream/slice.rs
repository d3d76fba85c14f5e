use std::time::Duration;

use cutwater_core::Time;

use crate::{DStream, Error, Record, rdd::Rdd};

impl<T: Record> DStream<T> {
    /// The datasets from `from` to `to`, both included, oldest first (`api.md` §4.8). Both bounds are
    /// rounded down to a multiple of the stream's slide, counted from zero time; nothing is at zero time
    /// or before. Intervals without a dataset, and those whose input is not fixed yet, are passed over.
    ///
    /// A dataset that nobody has asked for is described now, from what its parents still hold: how long
    /// that is, [`remember`](Self::remember) and [`Builder::remember`](crate::Builder::remember) say.
    ///
    /// It may be called from an output, from [`on_interval`](crate::Context::on_interval), and after the
    /// program has run.
    ///
    /// # Errors
    /// The program has not started; or the records of a time are not held any longer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let numbers = harness.input([vec![1], vec![2], vec![3]]).remember(5 * second);
    /// harness.advance(3)?;
    /// // From 1.5 s, which is 1 s, to 2.5 s, which is 2 s.
    /// let slice = numbers.slice(Time::from_ms(1_500), Time::from_ms(2_500))?;
    /// let records = slice.iter().map(|(_, rdd)| rdd.collect()).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(records, [[1], [2]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn slice(&self, from: Time, to: Time) -> Result<Vec<(Time, Rdd<T>)>, Error> {
        let timeline = self.ctx.timeline();
        let Some(zero) = timeline.zero() else {
            return Err(Error::user(format_args!(
                "`slice` of {}: the program has not started, so there are no intervals yet",
                super::AnyStream::label(&*self.node)
            )));
        };
        let slide = self.slide();
        let first = floor_from(zero, from, slide).max(zero + slide);
        let last = floor_from(zero, to, slide).min(timeline.now().unwrap_or(zero));
        let mut slice = Vec::new();
        let mut t = first;
        while t <= last {
            slice.extend(self.node.at(t)?.map(|rdd| (t, rdd)));
            t = t + slide;
        }
        Ok(slice)
    }
}

/// The greatest multiple of `slide`, counted from `zero`, that is not after `time`.
fn floor_from(zero: Time, time: Time, slide: Duration) -> Time {
    let slide = i64::try_from(slide.as_millis()).unwrap_or(i64::MAX).max(1);
    let since = time.as_ms().saturating_sub(zero.as_ms());
    Time::from_ms(zero.as_ms().saturating_add(since.div_euclid(slide).saturating_mul(slide)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, testing::Harness};

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: i64) -> Time {
        Time::from_ms(ms)
    }

    fn remembering(seconds: u32) -> Harness {
        Harness::with(Context::builder("test").interval(SECOND).threads(1).remember(seconds * SECOND), 1)
    }

    fn collected(slice: Vec<(Time, Rdd<u32>)>) -> Vec<u32> {
        slice.into_iter().flat_map(|(_, rdd)| rdd.collect().unwrap()).collect()
    }

    /// The table of `slice_and_retention/001`.
    #[test]
    fn bounds_are_inclusive_and_zero_holds_nothing() {
        let harness = remembering(10);
        let numbers = harness.input([vec![1], vec![2], vec![3], vec![4]]);
        harness.advance(4).unwrap();
        for (from, to, expected) in [
            (0, 1000, &[1][..]),
            (0, 2000, &[1, 2]),
            (1000, 2000, &[1, 2]),
            (2000, 4000, &[2, 3, 4]),
            (3000, 9000, &[3, 4]),
            (i64::MIN, i64::MAX, &[1, 2, 3, 4]),
            (4000, 1000, &[]),
        ] {
            assert_eq!(collected(numbers.slice(ms(from), ms(to)).unwrap()), expected, "{from} to {to}");
        }
    }

    /// The table of `slice_and_retention/005`.
    #[test]
    fn bounds_are_rounded_down() {
        let harness = remembering(10);
        let numbers = harness.input([vec![1], vec![2], vec![3]]);
        harness.advance(3).unwrap();
        for (from, to, expected) in
            [(500, 2500, &[1000, 2000][..]), (1999, 1999, &[1000]), (0, 999, &[]), (-1500, 500, &[])]
        {
            let times: Vec<i64> =
                numbers.slice(ms(from), ms(to)).unwrap().iter().map(|(t, _)| t.as_ms()).collect();
            assert_eq!(times, expected, "{from} to {to}");
        }
    }

    /// The rule of `slice_and_retention/002`.
    #[test]
    fn before_the_start_it_is_an_error() {
        let harness = remembering(1);
        let error = harness.input([vec![1]]).slice(ms(0), ms(1000)).unwrap_err();
        assert!(error.to_string().contains("has not started"), "{error}");
    }

    /// The table of `slice_and_retention/003`: a window asks for its own length on top of what is asked
    /// of it.
    #[test]
    fn retention_adds_up_through_windows() {
        let harness = remembering(3);
        let map = harness.input((0..10).map(|i| vec![i % 10])).map(|n| (n, 1));
        let inner = map.window(2 * SECOND, SECOND);
        let outer = inner.window(4 * SECOND, 2 * SECOND);
        let watched = harness.watch(&outer);
        harness.advance(10).unwrap();
        assert_eq!(watched.all().len(), 5);
        let seconds = [&outer, &inner, &map].map(|stream| harness.remembered(stream).as_secs());
        assert_eq!(seconds, [3, 7, 9]);
        assert_eq!(harness.held(&outer), [8_000, 10_000].map(ms));
        assert_eq!(harness.held(&inner).first(), Some(&ms(4_000)));
        assert_eq!(harness.held(&map).first(), Some(&ms(2_000)));
    }

    /// What was not asked for is described from what the parents hold; what nobody holds is an error and
    /// not an empty dataset.
    #[test]
    fn missing_datasets_are_made_or_said_to_be_gone() {
        let harness = remembering(3);
        let doubled = harness.input((1..8).map(|n| vec![n])).map(|n| n * 2);
        let pairs = doubled.window(2 * SECOND, SECOND);
        harness.advance(7).unwrap();
        assert_eq!(collected(pairs.slice(ms(6_000), ms(6_000)).unwrap()), [10, 12]);
        let error = pairs.slice(ms(1_000), ms(1_000)).unwrap_err();
        assert!(error.to_string().contains("remember"), "{error}");
    }
}
