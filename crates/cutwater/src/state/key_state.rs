/// The state of one key, as a function of [`map_with_state`](crate::DStream::map_with_state) finds and
/// leaves it (`api.md` §5).
///
/// Properties:
/// - what the function leaves here is what the next record of the key finds;
/// - a key without a state is not kept;
/// - a state that is removed, or about to go because its key was idle for too long, can be read but
///   not changed any more: that is a mistake of the program, and the interval fails.
///
/// It lives for one call of the function. If the process dies, the call is repeated from the state
/// before.
///
/// ```
/// use cutwater::State;
///
/// fn seen_before(visits: &mut State<u32>) -> bool {
///     *visits.get_or_insert_with(|| 0) += 1;
///     *visits.get() > 1
/// }
///
/// let mut visits = State::new();
/// assert!(!seen_before(&mut visits));
/// assert!(seen_before(&mut visits));
/// ```
#[derive(Clone, Debug)]
pub struct State<S> {
    value: Option<S>,
    stage: Stage,
}

/// What happened to a state in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing yet.
    Intact,
    Updated,
    Removed,
    /// It goes after this call, whatever the function does.
    TimingOut,
}

impl<S> Default for State<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> State<S> {
    /// No state: what the first record of a key finds.
    ///
    /// ```
    /// assert!(!cutwater::State::<u32>::new().exists());
    /// ```
    pub fn new() -> Self {
        Self::found(None)
    }

    /// A state that is there.
    ///
    /// ```
    /// assert_eq!(*cutwater::State::of(3).get(), 3);
    /// ```
    pub fn of(value: S) -> Self {
        Self::found(Some(value))
    }

    /// The state of a key that was idle for too long.
    ///
    /// ```
    /// assert!(cutwater::State::timing_out(3).is_timing_out());
    /// ```
    pub fn timing_out(value: S) -> Self {
        Self { value: Some(value), stage: Stage::TimingOut }
    }

    pub(crate) fn found(value: Option<S>) -> Self {
        Self { value, stage: Stage::Intact }
    }

    /// Whether there is one.
    ///
    /// ```
    /// let mut state = cutwater::State::of(3);
    /// state.remove();
    /// assert!(!state.exists());
    /// ```
    pub fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// The state.
    ///
    /// # Panics
    /// There is none (`api.md` §5); the interval fails. [`get_option`](Self::get_option) does not mind.
    ///
    /// ```
    /// assert_eq!(cutwater::State::of("open").get(), &"open");
    /// ```
    #[track_caller]
    pub fn get(&self) -> &S {
        self.value
            .as_ref()
            .unwrap_or_else(|| panic!("the key has no state; ask `exists` or `get_option` first"))
    }

    /// The state, if there is one.
    ///
    /// ```
    /// let visits = cutwater::State::<u32>::new();
    /// assert_eq!(visits.get_option().copied().unwrap_or(0), 0);
    /// ```
    pub fn get_option(&self) -> Option<&S> {
        self.value.as_ref()
    }

    /// Makes `value` the state.
    ///
    /// # Panics
    /// The state was removed by this call or is timing out (`api.md` §5); the interval fails.
    ///
    /// ```
    /// let mut state = cutwater::State::new();
    /// state.update(3);
    /// assert_eq!(*state.get(), 3);
    /// ```
    #[track_caller]
    pub fn update(&mut self, value: S) {
        self.changing("updated");
        self.value = Some(value);
        self.stage = Stage::Updated;
    }

    /// The state, to be changed where it lies; `first` makes one if there is none. This is the way to
    /// add to a large state: nothing is cloned.
    ///
    /// # Panics
    /// Those of [`update`](Self::update).
    ///
    /// ```
    /// let mut pages = cutwater::State::new();
    /// pages.get_or_insert_with(Vec::new).push("/");
    /// assert_eq!(pages.get(), &["/"]);
    /// ```
    #[track_caller]
    pub fn get_or_insert_with(&mut self, first: impl FnOnce() -> S) -> &mut S {
        self.changing("updated");
        self.stage = Stage::Updated;
        self.value.get_or_insert_with(first)
    }

    /// Lets the state go, if there is one. The next record of the key finds none.
    ///
    /// # Panics
    /// The state was removed by this call already or is timing out (`api.md` §5); the interval fails.
    ///
    /// ```
    /// let mut state = cutwater::State::of(3);
    /// state.remove();
    /// assert_eq!(state.get_option(), None);
    /// ```
    #[track_caller]
    pub fn remove(&mut self) {
        self.changing("removed");
        self.value = None;
        self.stage = Stage::Removed;
    }

    /// Whether the key was idle for too long: this call brings no value, and the state goes after it.
    ///
    /// ```
    /// assert!(!cutwater::State::of(3).is_timing_out());
    /// ```
    pub fn is_timing_out(&self) -> bool {
        self.stage == Stage::TimingOut
    }

    /// What the function did.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes the state out, to be put back by `update` or not at all.
    pub(crate) fn take(&mut self) -> Option<S> {
        self.value.take()
    }

    #[track_caller]
    fn changing(&self, how: &str) {
        let why = match self.stage {
            Stage::Intact | Stage::Updated => return,
            Stage::Removed => "was removed by this call",
            Stage::TimingOut => "is timing out and goes after this call",
        };
        panic!("a state that {why} cannot be {how}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// `crates/conformance/tables/map_with_state.json`, case 008: after these steps, what is there, and
    /// whether it was updated, removed or is timing out.
    #[test]
    fn the_rules_of_the_handle() {
        let cases: [(&str, State<i32>, fn(&mut State<i32>), Option<i32>, Stage); 7] = [
            ("new", State::new(), |_| (), None, Stage::Intact),
            ("wrap(none)", State::found(None), |_| (), None, Stage::Intact),
            ("wrap(1)", State::of(1), |_| (), Some(1), Stage::Intact),
            ("wrap(1), update(2)", State::of(1), |s| s.update(2), Some(2), Stage::Updated),
            ("new, update(2)", State::new(), |s| s.update(2), Some(2), Stage::Updated),
            (
                "new, update(2), remove",
                State::new(),
                |s| {
                    s.update(2);
                    s.remove();
                },
                None,
                Stage::Removed,
            ),
            ("wrap_timing_out(3)", State::timing_out(3), |_| (), Some(3), Stage::TimingOut),
        ];
        for (steps, mut state, run, value, stage) in cases {
            run(&mut state);
            assert_eq!(state.exists(), value.is_some(), "{steps}");
            assert_eq!(state.get_option(), value.as_ref(), "{steps}");
            assert_eq!(catch_unwind(AssertUnwindSafe(|| *state.get())).ok(), value, "{steps}");
            assert_eq!(state.stage(), stage, "{steps}");
            let changed = matches!(stage, Stage::Removed | Stage::TimingOut);
            let refuses =
                |f: fn(&mut State<i32>)| catch_unwind(AssertUnwindSafe(|| f(&mut state.clone()))).is_err();
            assert_eq!(refuses(|s| s.update(-1)), changed, "{steps}");
            assert_eq!(refuses(State::remove), changed, "{steps}");
            assert_eq!(refuses(|s| *s.get_or_insert_with(|| 0) += 1), changed, "{steps}");
        }
    }
}
