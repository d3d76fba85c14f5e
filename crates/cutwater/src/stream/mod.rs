//! Streams: `DStream<T>`, one operation a file.
//!
//! A stream answers one question: what is your dataset at time t? ([`StreamNode::at`]). Operations
//! that only change each interval's dataset live with the dataset's operation in `rdd/`; here are
//! those that look across intervals or streams, and outputs.

mod count;
mod count_by_value_and_window;
mod count_by_window;
mod event_time;
mod evolve;
mod for_each_rdd;
mod group_by_key_and_window;
mod inverse_window;
mod join;
mod look_ahead;
mod map_with_state;
mod node;
mod partials;
mod persist;
mod print;
mod reduce;
mod reduce_by_key_and_window;
mod reduce_by_key_and_window_inverse;
mod reduce_by_window;
mod refreshed;
mod remember;
mod running_reduce;
mod saving;
mod sessions;
mod slice;
mod state_spec;
mod state_stream;
mod stateful;
#[cfg(test)]
mod tests;
mod timeline;
mod track;
mod transform;
mod transform_many;
mod union;
mod update_state_by_key;
pub(crate) mod window;

use std::{fmt, sync::Arc, time::Duration};

pub use event_time::{Emission, EventStream, EventWindow, EventWindows, Windowed};
pub use for_each_rdd::Done;
pub(crate) use look_ahead::LookAhead;
pub use map_with_state::MapWithState;
pub(crate) use node::{AnyStream, Made, StreamNode};
pub(crate) use saving::{StateAt, ids};
pub use sessions::Session;
pub use state_spec::StateSpec;
pub use state_stream::StateStream;
pub(crate) use timeline::Timeline;
pub(crate) use transform::Parent;
pub use transform_many::Streams;

use crate::{
    Record,
    collection::{Collection, With},
    context::Context,
    placement,
    rdd::Rdd,
};

/// A stream: a dataset for each interval.
///
/// Properties:
/// - it is a description, built once by the program before it runs;
/// - its `slide` is how often it has a dataset: every interval, or every so many;
/// - at a time it has a dataset, an empty one, or none at all, and these differ (`api.md` §4);
/// - what it answers for a time is always the same.
///
/// It lives on the master; only the thread that runs the program asks it. If the process dies, the
/// program builds it again.
pub struct DStream<T> {
    pub(crate) node: Arc<StreamNode<T>>,
    pub(crate) ctx: Context,
}

impl<T> Clone for DStream<T> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), ctx: self.ctx.clone() }
    }
}

impl<T: Record> fmt::Debug for DStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DStream({} every {:?})", self.node.label(), self.node.slide())
    }
}

impl<T: Record> DStream<T> {
    /// How often the stream has a dataset.
    pub fn slide(&self) -> Duration {
        self.node.slide()
    }

    /// Gives the last operation a name, by which errors and reports call it. The first name counts.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.node.name(name);
        self
    }

    /// Hands `values` over to the next operation, whose function takes them as its first parameter.
    /// They are serialised and travel to wherever the function runs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let threshold = 10;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let high = harness.input([vec![3, 12], vec![11]]).with(threshold).filter(|t, x| x > t);
    /// assert_eq!(harness.run(&high, 2)?, [[12], [11]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn with<E: Record>(&self, values: E) -> With<Self, E> {
        With::new(self.clone(), values)
    }
}

impl<T: Record> Collection for DStream<T> {
    type Item = T;
    type Of<B: Record> = DStream<B>;

    #[track_caller]
    fn derive<B: Record>(
        &self,
        name: &str,
        f: impl Fn(&Rdd<T>) -> Rdd<B> + Send + Sync + 'static,
    ) -> DStream<B> {
        let parent = self.node.clone();
        let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO)];
        let of_parent = move |t| Ok(parent.at(t)?.map(|rdd| f(&rdd)));
        self.ctx.stream_made(Made::OfItsInterval, name, self.slide(), parents, of_parent)
    }

    fn parallelism(&self) -> u32 {
        placement::partitions(self.ctx.engine().parallelism(), self.key_groups())
    }

    fn key_groups(&self) -> u32 {
        self.ctx.engine().key_groups()
    }
}
