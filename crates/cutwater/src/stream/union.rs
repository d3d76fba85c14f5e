use std::time::Duration;

use super::{Made, Parent};
use crate::{
    Context, DStream, Record,
    rdd::{All, union_of},
    task::OperatorSpec,
};

impl<T: Record> DStream<T> {
    /// The records of both streams: [`Context::union`] of two, by whose rules it goes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let (a, b) = (harness.input([vec![1], vec![2]]), harness.input([vec![10], vec![]]));
    /// assert_eq!(harness.run(&a.union(&b), 2)?, [vec![1, 10], vec![2]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn union(&self, other: &DStream<T>) -> DStream<T> {
        self.ctx.union([self.clone(), other.clone()])
    }
}

impl Context {
    /// The records of all `streams`, in the order of the streams.
    ///
    /// The streams are of this context and have the same slide; if not, or if there are none, the program
    /// does not start. If one of them has no dataset at a time, the interval fails (`api.md` §4.6): that is
    /// not the same as an empty one, which adds nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sensors = [vec![1], vec![2], vec![]].map(|records| harness.input([records]));
    /// assert_eq!(harness.run(&harness.ctx().union(sensors), 1)?, [[1, 2]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn union<T: Record>(&self, streams: impl IntoIterator<Item = DStream<T>>) -> DStream<T> {
        let streams: Vec<_> = streams.into_iter().collect();
        let slides: Vec<_> = streams.iter().map(DStream::slide).collect();
        let slide = self.same_slide("union", &slides);
        let nodes: Vec<_> = streams.into_iter().map(|stream| stream.node).collect();
        let parents: Vec<Parent> = nodes.iter().map(|node| (node.clone() as _, Duration::ZERO)).collect();
        let spec = OperatorSpec::new::<All<T>>("union", &());
        self.stream_made(Made::OfItsInterval, "union", slide, parents, move |t| {
            let rdds = nodes.iter().map(|node| node.required(t)).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(union_of(&spec, &rdds)))
        })
    }
}
