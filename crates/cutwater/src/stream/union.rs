use std::time::Duration;

use super::Parent;
use crate::{
    Context, DStream, Record,
    rdd::{All, union_of},
    task::OperatorSpec,
};

impl<T: Record> DStream<T> {
    /// The records of both streams, which must have the same slide.
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
    /// The records of all `streams`, of which there is at least one and which have the same slide.
    ///
    /// # Panics
    /// There is no stream.
    #[track_caller]
    pub fn union<T: Record>(&self, streams: impl IntoIterator<Item = DStream<T>>) -> DStream<T> {
        let streams: Vec<_> = streams.into_iter().collect();
        assert!(!streams.is_empty(), "a union needs at least one stream");
        let slide = streams[0].slide();
        for other in &streams[1..] {
            self.same_slide("union", slide, other.slide());
        }
        let nodes: Vec<_> = streams.into_iter().map(|stream| stream.node).collect();
        let parents: Vec<Parent> = nodes.iter().map(|node| (node.clone() as _, Duration::ZERO)).collect();
        let spec = OperatorSpec::new::<All<T>>("union", &());
        self.stream("union", slide, parents, move |t| {
            let rdds = nodes.iter().map(|node| node.required(t)).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(union_of(&spec, &rdds)))
        })
    }
}
