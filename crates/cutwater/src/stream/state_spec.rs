use std::time::Duration;

use crate::{DStream, Record, collection::Collection, rdd::Rdd};

/// How an operation keeps its state: with what it begins, in how many partitions, and for how long a
/// key is kept without records. Whatever is not said stays as usual.
///
/// ```
/// # use std::time::Duration;
/// # use cutwater::{State, StateSpec, testing::Harness};
/// # let harness = Harness::new(Duration::from_secs(1));
/// # let letters = harness.input([vec![('p', 1)]]);
/// let known = harness.ctx().parallelize([('p', 10)]);
/// let spec = StateSpec::new().initial_state(known).partitions(4).timeout(Duration::from_secs(60));
/// let counts = letters.map_with_state_spec(
///     |_, letter, n, count: &mut State<i32>| {
///         let n = n?; // no value: the key is timing out
///         *count.get_or_insert_with(|| 0) += n;
///         Some((*letter, *count.get()))
///     },
///     spec,
/// );
/// assert_eq!(harness.run(&counts, 1)?, [[('p', 11)]]);
/// # Ok::<(), cutwater::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to an operation"]
pub struct StateSpec<K, S> {
    pub(super) initial: Option<Rdd<(K, S)>>,
    pub(super) partitions: Option<u32>,
    pub(super) timeout: Option<Duration>,
}

impl<K, S> Default for StateSpec<K, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, S> StateSpec<K, S> {
    /// No state to begin with, as many partitions as tasks run at once, and no timeout (`api.md` §5).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StateSpec, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sums = harness.input([vec![('a', 1)], vec![('a', 2)]]).update_state_by_key_spec(
    ///     |_, _, values, sum| Some(sum.unwrap_or(0) + values.iter().sum::<i32>()),
    ///     StateSpec::new(),
    /// );
    /// assert_eq!(harness.run(&sums, 2)?, [[('a', 1)], [('a', 3)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn new() -> Self {
        Self { initial: None, partitions: None, timeout: None }
    }

    /// Begins with these keys and their states. They join in with the first interval that has state
    /// (`api.md` §5), and count as touched then. Of a key that is there twice the later state is taken.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StateSpec, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let spec = StateSpec::new().initial_state(harness.ctx().parallelize([('a', 10)]));
    /// let sums = harness.input([vec![('a', 1)]]).update_state_by_key_spec(
    ///     |_, _, values, sum| Some(sum.unwrap_or(0) + values.iter().sum::<i32>()),
    ///     spec,
    /// );
    /// assert_eq!(harness.run(&sums, 1)?, [[('a', 11)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn initial_state(mut self, initial: Rdd<(K, S)>) -> Self {
        self.initial = Some(initial);
        self
    }

    /// Keeps the state in `partitions` partitions; at least one, or the program does not start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StateSpec, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let input = harness.input([vec![('a', 1)]]);
    /// let spec = StateSpec::new().partitions(7);
    /// let sums = input.update_state_by_key_spec(|_, _, values, sum| sum.or(values.first().copied()), spec);
    /// let parts = sums.transform(|rdd, _| Ok(rdd.map_partitions(|part| [part.len()])));
    /// assert_eq!(harness.run(&parts, 1)?[0].len(), 7);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Lets go of keys that had no record for strictly longer than `idle` (`api.md` §5), counted from
    /// the time of the interval in which they last had one. It is looked at in every interval.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StateSpec, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let gone = harness.input([vec![('a', 1)]]).map_with_state_spec(
    ///     |now, key, value, state| match value {
    ///         Some(value) => {
    ///             state.update(value);
    ///             None
    ///         }
    ///         None => Some((*key, now.as_ms())),
    ///     },
    ///     StateSpec::new().timeout(second),
    /// );
    /// assert_eq!(harness.run(&gone, 4)?, [vec![], vec![], vec![('a', 3_000)], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn timeout(mut self, idle: Duration) -> Self {
        self.timeout = Some(idle);
        self
    }

    /// The number of partitions for a stream; zero is a fault of the program.
    #[track_caller]
    pub(super) fn partitions_for<T: Record>(&self, of: &DStream<T>, name: &str) -> u32 {
        match self.partitions {
            Some(0) => {
                of.ctx.fault(name, "state in 0 partitions has nowhere to be; give it at least one");
                1
            }
            Some(partitions) => partitions,
            None => of.parallelism(),
        }
    }
}
