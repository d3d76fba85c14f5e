use std::time::Duration;

use cutwater_core::Time;

use super::{Parent, StreamNode};
use crate::{
    DStream, Error, Record,
    rdd::{All, Held, Rdd, held, union_of},
    task::OperatorSpec,
};

/// A window of time and how often it is looked through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub window: Duration,
    pub slide: Duration,
}

impl Span {
    /// The times in (from, to] at which a stream of `slide` has datasets, oldest first.
    pub fn times(from: Time, to: Time, slide: Duration) -> impl Iterator<Item = Time> {
        std::iter::successors(Some(from + slide), move |t| Some(*t + slide)).take_while(move |t| *t <= to)
    }
}

impl<T: Record> StreamNode<T> {
    /// The datasets in (from, to], oldest first; times without one are passed over, and so is
    /// everything before zero time.
    pub fn between(&self, from: Time, to: Time) -> Result<Vec<Rdd<T>>, Error> {
        let mut rdds = Vec::new();
        // A window may be much longer than the program is old.
        let from = from.max(self.zero().unwrap_or(to));
        for t in Span::times(from, to, super::AnyStream::slide(self)) {
            rdds.extend(self.at(t)?);
        }
        Ok(rdds)
    }
}

impl<T: Record> DStream<T> {
    /// Every `slide`, the records of the last `window`. Both are multiples of this stream's own
    /// slide (`api.md` §4.4). The first windows, which reach back before the start, hold what there
    /// is; if there is nothing they are empty and not absent (§4.5). If a span is not a multiple, the
    /// program does not start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let last_two = harness.input([vec![1], vec![2], vec![3]]).window(2 * second, second);
    /// assert_eq!(harness.run(&last_two, 3)?, [vec![1], vec![1, 2], vec![2, 3]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn window(&self, window: Duration, slide: Duration) -> DStream<T> {
        self.windowed("window", window, slide)
    }

    /// The same as part of the operation `name`.
    #[track_caller]
    pub(super) fn windowed(&self, name: &str, window: Duration, slide: Duration) -> DStream<T> {
        let Span { window, slide } = self.ctx.window_of(name, self.slide(), window, slide);
        // A record is in several windows and computed for the first of them.
        let parent = self.kept();
        let keep = parent.keep().cloned();
        let parents: Vec<Parent> = vec![(parent.clone(), window)];
        let engine = self.ctx.engine().clone();
        let spec = OperatorSpec::new::<All<T>>(name, &());
        let nothing = OperatorSpec::new::<Held<T>>(name, &());
        let windows = self.ctx.stream(name, slide, parents, move |t| {
            let rdds = parent.between(t - window, t)?;
            if rdds.is_empty() {
                return Ok(Some(held(&engine, &nothing, 0, 0, Vec::new())));
            }
            Ok(Some(union_of(&spec, &rdds)))
        });
        if let Some(keep) = keep {
            windows.node.keep_as(keep);
        }
        windows
    }
}
