use std::time::Duration;

use super::AnyStream;
use crate::{DStream, Record};

impl<T: Record> DStream<T> {
    /// Keeps the datasets of this stream, and what they are made from, for at least `span` after their
    /// time (`api.md` §4.10), for [`slice`](Self::slice) and the like. Operations that look back keep
    /// what they need anyway; [`Builder::remember`](crate::Builder::remember) says it for all streams.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let numbers = harness.input([vec![1], vec![2], vec![3]]).remember(2 * second);
    /// harness.watch(&numbers);
    /// harness.advance(3)?;
    /// assert_eq!(harness.held(&numbers), [Time::from_ms(2_000), Time::from_ms(3_000)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn remember(self, span: Duration) -> Self {
        AnyStream::remember(&*self.node, span);
        self
    }
}
