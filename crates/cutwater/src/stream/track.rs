use std::{marker::PhantomData, time::Duration};

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

/// A state that the first value of a key makes and further values change.
struct Tracking<K, V, S, E, I, U> {
    values: E,
    initialize: I,
    update: U,
    types: PhantomData<fn(K, V) -> S>,
}

impl<K, V, S, E, I, U> Evolution for Tracking<K, V, S, E, I, U>
where
    K: Key,
    V: Record,
    S: Record,
    E: Record,
    I: Fn(&E, &K, V) -> S + Portable,
    U: Fn(&E, &K, S, V) -> Option<S> + Portable,
{
    type Env = E;
    type Key = K;
    type Value = V;
    type State = S;
    type Mapped = ();

    fn rebuild(values: E) -> Self {
        let (initialize, update) = (closure::conjure(), closure::conjure());
        Self { values, initialize, update, types: PhantomData }
    }

    fn record(&self, _: Time, key: &K, value: V, state: &mut State<S>) -> Option<()> {
        let next = match state.take() {
            Some(before) => (self.update)(&self.values, key, before, value),
            None => Some((self.initialize)(&self.values, key, value)),
        };
        match next {
            Some(next) => state.update(next),
            None => state.remove(),
        }
        None
    }

    fn expire(&self, _: Time, _: &K, _: &mut State<S>) -> Option<()> {
        None
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::track`] with the values handed over.
    #[track_caller]
    pub fn track<S, I, U>(self, _initialize: I, _update: U, timeout: Duration) -> StateStream<K, S>
    where
        S: Record,
        I: Fn(&E, &K, V) -> S + Portable,
        U: Fn(&E, &K, S, V) -> Option<S> + Portable,
    {
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<U>() };
        let spec = StateSpec::new().timeout(timeout);
        evolving::<Tracking<K, V, S, E, I, U>>(&self.of, "track", self.values, spec).1
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// A state for each key: `initialize` makes it from the first value, `update` makes the next from it
    /// and each further value (the `track` of the paper). A key goes when `update` answers `None`, and
    /// when it had no value for strictly longer than `timeout`, as it does in
    /// [`map_with_state_spec`](Self::map_with_state_spec) (`api.md` §5).
    ///
    /// An interval costs by the keys that are touched and those that go; reading the result costs by the
    /// keys there are, but for its [`count`](StateStream::count). If a function panics the interval
    /// fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let events = harness.input([vec![(1, '?'), (2, '?')], vec![(3, '?'), (1, 'X')]]);
    /// let sessions = events.track(
    ///     |_, _| 1,
    ///     |_, questions, event| if event == 'X' { None } else { Some(questions + 1) },
    ///     2 * second,
    /// );
    /// // Client 1 leaves; 2 is not heard of for more than two seconds, and then 3.
    /// assert_eq!(harness.run(&sessions.count(), 5)?, [[2], [2], [2], [1], [0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn track<S, I, U>(&self, initialize: I, update: U, timeout: Duration) -> StateStream<K, S>
    where
        S: Record,
        I: Fn(&K, V) -> S + Portable,
        U: Fn(&K, S, V) -> Option<S> + Portable,
    {
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<U>() };
        self.with(()).track(
            move |(), key, value| initialize(key, value),
            move |(), key, state, value| update(key, state, value),
            timeout,
        )
    }
}
