use std::{fmt, marker::PhantomData, ops::Deref};

use cutwater_core::Time;

use super::{
    StateSpec, StateStream,
    evolve::{Evolution, evolving},
};
use crate::{
    DStream, Key, Record, State,
    closure::{self, Portable},
    collection::With,
};

/// What a function of the program makes of each record and the state of its key.
struct Mapping<K, V, S, M, E, F>(E, F, PhantomData<fn(K, V, S) -> M>);

impl<K, V, S, M, E, F> Evolution for Mapping<K, V, S, M, E, F>
where
    K: Key,
    V: Record,
    S: Record,
    M: Record,
    E: Record,
    F: Fn(&E, Time, &K, Option<V>, &mut State<S>) -> Option<M> + Portable,
{
    type Env = E;
    type Key = K;
    type Value = V;
    type State = S;
    type Mapped = M;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn record(&self, now: Time, key: &K, value: V, state: &mut State<S>) -> Option<M> {
        self.1(&self.0, now, key, Some(value), state)
    }

    fn expire(&self, now: Time, key: &K, state: &mut State<S>) -> Option<M> {
        self.1(&self.0, now, key, None, state)
    }
}

/// A stream that was mapped with state: what the function gave out, and the state by itself.
///
/// It is used as the stream of what the function gave out; [`state_snapshots`](Self::state_snapshots)
/// is the other. Both come from one run of the function for each record. See
/// [`DStream::map_with_state`].
pub struct MapWithState<K, S, M> {
    mapped: DStream<M>,
    states: StateStream<K, S>,
}

impl<K, S, M> MapWithState<K, S, M> {
    pub(super) fn new((mapped, states): (DStream<M>, StateStream<K, S>)) -> Self {
        Self { mapped, states }
    }

    /// The stream of what the function gave out, by itself (`api.md` §5).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{DStream, State, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// fn sums(sales: &DStream<(char, i32)>) -> DStream<i32> {
    ///     let sum = sales.map_with_state(|_, price, sum: &mut State<i32>| {
    ///         *sum.get_or_insert_with(|| 0) += price;
    ///         *sum.get()
    ///     });
    ///     sum.mapped().named("sums")
    /// }
    ///
    /// let sums = sums(&harness.input([vec![('a', 5)], vec![('a', 7)]]));
    /// assert_eq!(harness.run(&sums, 2)?, [[5], [12]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn mapped(&self) -> DStream<M> {
        self.mapped.clone()
    }

    /// All keys with their states after each interval, from the first interval on (`api.md` §5).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{State, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let scores = harness.input([vec![('a', 3), ('b', 5)], vec![('a', 4)]]);
    /// let best = scores.map_with_state(|_, score, best: &mut State<i32>| {
    ///     best.update(best.get_option().copied().unwrap_or(0).max(score));
    /// });
    /// let all = best.state_snapshots().transform(|rdd, _| rdd.sort_by(|entry| *entry));
    /// assert_eq!(harness.run(&all, 2)?, [[('a', 3), ('b', 5)], [('a', 4), ('b', 5)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn state_snapshots(&self) -> StateStream<K, S> {
        self.states.clone()
    }
}

impl<K, S, M> Clone for MapWithState<K, S, M> {
    fn clone(&self) -> Self {
        Self { mapped: self.mapped.clone(), states: self.states.clone() }
    }
}

impl<K, S, M: Record> fmt::Debug for MapWithState<K, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapWithState({:?})", self.mapped)
    }
}

impl<K, S, M> Deref for MapWithState<K, S, M> {
    type Target = DStream<M>;

    fn deref(&self) -> &DStream<M> {
        &self.mapped
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::map_with_state`] with the values handed over.
    #[track_caller]
    pub fn map_with_state<S, M, F>(self, f: F) -> MapWithState<K, S, M>
    where
        S: Record,
        M: Record,
        F: Fn(&E, &K, V, &mut State<S>) -> M + Portable,
    {
        const { closure::captures_nothing::<F>() };
        // Without a timeout every call brings a value.
        self.map_with_state_spec(
            move |values, _, key, value, state| value.map(|value| f(values, key, value, state)),
            StateSpec::new(),
        )
    }

    /// [`DStream::map_with_state_spec`] with the values handed over.
    #[track_caller]
    pub fn map_with_state_spec<S, M, F>(self, _f: F, spec: StateSpec<K, S>) -> MapWithState<K, S, M>
    where
        S: Record,
        M: Record,
        F: Fn(&E, Time, &K, Option<V>, &mut State<S>) -> Option<M> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        MapWithState::new(evolving::<Mapping<K, V, S, M, E, F>>(
            &self.of,
            "map_with_state",
            self.values,
            spec,
        ))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// Each record replaced by what `f` makes of it and of the state of its key, which `f` may change.
    /// It is called once for each record, in the order of the partitions; the second record of a key
    /// finds what the first has left (`api.md` §5).
    ///
    /// An interval costs by its records, however many keys there are. From the first interval on every
    /// interval has a dataset, an empty one if there were no records. If `f` panics (as it does when it
    /// changes a state that it has removed) the interval fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{State, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let visits = harness.input([vec![(7, 'x'), (8, 'x'), (7, 'y')], vec![(7, 'x')]]);
    /// let numbered = visits.map_with_state(|user, page, visits: &mut State<u32>| {
    ///     *visits.get_or_insert_with(|| 0) += 1;
    ///     format!("user {user}, visit {}: {page}", visits.get())
    /// });
    /// let of_user_7 = numbered.filter(|line| line.starts_with("user 7"));
    /// assert_eq!(
    ///     harness.run(&of_user_7, 2)?,
    ///     [vec!["user 7, visit 1: x", "user 7, visit 2: y"], vec!["user 7, visit 3: x"]]
    /// );
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with_state<S, M, F>(&self, f: F) -> MapWithState<K, S, M>
    where
        S: Record,
        M: Record,
        F: Fn(&K, V, &mut State<S>) -> M + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_with_state(move |(), key, value, state| f(key, value, state))
    }

    /// [`map_with_state`](Self::map_with_state) with everything there is to say: `f` sees the interval's
    /// time and gives out something or nothing, and `spec` says with what state to begin, in how many
    /// partitions to keep it, and when to let go of idle keys (`api.md` §5).
    ///
    /// When a key was idle for too long, `f` is called with it once more, without a value and with a
    /// state that [is timing out](State::is_timing_out), after the interval's records and in order of
    /// the deadlines; keys of one deadline come in the order of the state's table. A record in the very
    /// interval in which its key would time out keeps the key. Unlike in Spark, no interval is passed
    /// over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{State, StateSpec, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let beats = harness.input([vec![(1, ()), (2, ())], vec![(1, ())]]);
    /// let silent = beats.map_with_state_spec(
    ///     |now, host, beat, last_seen| match beat {
    ///         Some(()) => {
    ///             last_seen.update(now);
    ///             None
    ///         }
    ///         None => Some(format!("host {host} is silent since {}", last_seen.get())),
    ///     },
    ///     StateSpec::new().timeout(2 * second),
    /// );
    /// assert_eq!(harness.run(&silent, 4)?[3], ["host 2 is silent since 1970-01-01T00:00:01Z"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with_state_spec<S, M, F>(&self, f: F, spec: StateSpec<K, S>) -> MapWithState<K, S, M>
    where
        S: Record,
        M: Record,
        F: Fn(Time, &K, Option<V>, &mut State<S>) -> Option<M> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_with_state_spec(move |(), now, key, value, state| f(now, key, value, state), spec)
    }
}
