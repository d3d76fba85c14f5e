use std::{marker::PhantomData, time::Duration};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{
    MapWithState, StateSpec,
    evolve::{Evolution, evolving},
};
use crate::{
    DStream, Key, Record, State,
    closure::{self, Portable},
    collection::With,
};

/// Records of one key without a gap between them.
///
/// Records arrive in intervals, and so do the times of a session: it lasts from the interval of its
/// first record to that of its last. See [`DStream::sessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session<S> {
    /// The time of the interval in which its first record arrived.
    pub start: Time,
    /// The time of the interval in which its last record arrived.
    pub end: Time,
    /// Its values, or what was made of them.
    pub value: S,
}

/// A session made of the values that come before it has been idle for a gap.
struct Sessions<K, V, S, E, I, U> {
    values: E,
    gap: Duration,
    first: I,
    next: U,
    types: PhantomData<fn(K, V) -> S>,
}

impl<K, V, S, E, I, U> Evolution for Sessions<K, V, S, E, I, U>
where
    K: Key,
    V: Record,
    S: Record,
    E: Record,
    I: Fn(&E, V) -> S + Portable,
    U: Fn(&E, S, V) -> S + Portable,
{
    type Env = (E, Duration);
    type Key = K;
    type Value = V;
    type State = Session<S>;
    type Mapped = (K, Session<S>);

    fn rebuild((values, gap): Self::Env) -> Self {
        Self { values, gap, first: closure::conjure(), next: closure::conjure(), types: PhantomData }
    }

    fn record(&self, now: Time, key: &K, value: V, state: &mut State<Session<S>>) -> Option<(K, Session<S>)> {
        // A timeout spares a key that has records in the interval in which it is due, but these come
        // after the gap.
        let (open, closed) = match state.take() {
            Some(session) if session.end + self.gap < now => (None, Some((key.clone(), session))),
            open => (open, None),
        };
        state.update(match open {
            Some(Session { start, value: before, .. }) => {
                Session { start, end: now, value: (self.next)(&self.values, before, value) }
            }
            None => Session { start: now, end: now, value: (self.first)(&self.values, value) },
        });
        closed
    }

    fn expire(&self, _: Time, key: &K, state: &mut State<Session<S>>) -> Option<(K, Session<S>)> {
        state.take().map(|session| (key.clone(), session))
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::fold_sessions`] with the values handed over.
    #[track_caller]
    pub fn fold_sessions<S, I, U>(
        self,
        gap: Duration,
        _first: I,
        _next: U,
    ) -> MapWithState<K, Session<S>, (K, Session<S>)>
    where
        S: Record,
        I: Fn(&E, V) -> S + Portable,
        U: Fn(&E, S, V) -> S + Portable,
    {
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<U>() };
        let (env, spec) = ((self.values, gap), StateSpec::new().timeout(gap));
        MapWithState::new(evolving::<Sessions<K, V, S, E, I, U>>(&self.of, "sessions", env, spec))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// The sessions of each key: its records, cut where none arrived for strictly longer than `gap`.
    ///
    /// A session is given out once, in the first interval in which it is known to be over: the first
    /// whose time is more than `gap` after its end. Those still open are the
    /// [`state_snapshots`](MapWithState::state_snapshots). It is a layer over
    /// [`map_with_state_spec`](Self::map_with_state_spec) with a timeout (`api.md` §5), and costs the
    /// same.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Session, Time, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let clicks = harness.input([vec![(7, 'x')], vec![(7, 'y')], vec![], vec![], vec![(7, 'z')]]);
    /// let sessions = clicks.sessions(second);
    /// let (start, end) = (Time::from_ms(1_000), Time::from_ms(2_000));
    /// let first = (7, Session { start, end, value: vec!['x', 'y'] });
    /// assert_eq!(harness.run(&sessions, 5)?[3], [first]); // 4 s is more than a second after 2 s
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sessions(&self, gap: Duration) -> MapWithState<K, Session<Vec<V>>, (K, Session<Vec<V>>)> {
        self.fold_sessions(
            gap,
            |value| vec![value],
            |mut values, value| {
                values.push(value);
                values
            },
        )
    }

    /// [`sessions`](Self::sessions) of which only a summary is kept: `first` makes it from the first
    /// value, `next` from it and each further value.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let sales = harness.input([vec![('a', 5)], vec![('a', 7)]]);
    /// let totals = sales.fold_sessions(second, |price| price, |sum, price| sum + price);
    /// let totals = totals.map(|(shop, session)| (shop, session.value));
    /// assert_eq!(harness.run(&totals, 4)?, [vec![], vec![], vec![], vec![('a', 12)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn fold_sessions<S, I, U>(
        &self,
        gap: Duration,
        first: I,
        next: U,
    ) -> MapWithState<K, Session<S>, (K, Session<S>)>
    where
        S: Record,
        I: Fn(V) -> S + Portable,
        U: Fn(S, V) -> S + Portable,
    {
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<U>() };
        self.with(()).fold_sessions(
            gap,
            move |(), value| first(value),
            move |(), summary, value| next(summary, value),
        )
    }
}
