use std::{fmt, ops::Deref};

use crate::{DStream, Record};

/// All keys with their states, interval by interval: a stream like any other, of which the count is
/// known without looking at each key.
///
/// An interval costs by the keys that were touched in it; reading this stream costs by the keys there
/// are.
///
/// ```
/// # use std::time::Duration;
/// # use cutwater::testing::Harness;
/// # let second = Duration::from_secs(1);
/// let harness = Harness::new(second);
/// let clicks = harness.input([vec![('a', 1), ('b', 1)], vec![('a', 1)]]);
/// let sessions = clicks.track(|_, n| n, |_, sum, n| Some(sum + n), 60 * second);
/// let (many, count) = (harness.watch(&sessions.filter(|(_, n)| *n > 1)), harness.watch(&sessions.count()));
/// harness.advance(2)?;
/// assert_eq!(many.all(), [Some(vec![]), Some(vec![('a', 2)])]);
/// assert_eq!(count.all(), [Some(vec![2]), Some(vec![2])]);
/// # Ok::<(), cutwater::Error>(())
/// ```
pub struct StateStream<K, S> {
    pub(super) entries: DStream<(K, S)>,
    /// The number of keys of each partition.
    pub(super) sizes: DStream<u64>,
}

impl<K, S> Clone for StateStream<K, S> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), sizes: self.sizes.clone() }
    }
}

impl<K: Record, S: Record> fmt::Debug for StateStream<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateStream({:?})", self.entries)
    }
}

impl<K, S> Deref for StateStream<K, S> {
    type Target = DStream<(K, S)>;

    fn deref(&self) -> &DStream<(K, S)> {
        &self.entries
    }
}

impl<K, S> StateStream<K, S> {
    /// The stream of keys and states by itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{DStream, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let clicks = harness.input([vec![('a', 1)], vec![]]);
    /// let sums: DStream<(char, i32)> =
    ///     clicks.track(|_, n| n, |_, sum, n| Some(sum + n), 60 * second).entries();
    /// assert_eq!(harness.run(&sums, 2)?, [[('a', 1)], [('a', 1)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn entries(&self) -> DStream<(K, S)> {
        self.entries.clone()
    }

    /// How many keys there are: what [`DStream::count`] says of it (`api.md` §3), for the price of
    /// looking at each partition once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let open = harness.input([vec![(1, 'x'), (2, 'x')], vec![]]).sessions(Duration::ZERO).state_snapshots();
    /// assert_eq!(harness.run(&open.count(), 2)?, [[2], [0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> DStream<u64> {
        self.sizes.reduce(|a, b| a + b)
    }
}
