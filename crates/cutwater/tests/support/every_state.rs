//! A program with every kind of state there is, for tests in which something ends in the midst of it.

use std::time::Duration;

use cutwater::{DStream, State, StateSpec, Time};

pub const SECOND: Duration = Duration::from_secs(1);

/// When it happened, in milliseconds, its key and its value.
pub type Click = (i64, u32, u64);

/// Clicks of some 40 keys, so many in each interval; some come an interval late.
pub fn clicks(intervals: u64, each: u64) -> Vec<Vec<Click>> {
    let click = |t: i64, n: u64| {
        let late = i64::from(n.is_multiple_of(7)) * 1000;
        (t * 1000 + n as i64 * 10 - late, (n * n % 41) as u32, n)
    };
    (0..intervals as i64).map(|t| (0..each).map(|n| click(t, n + t as u64)).collect()).collect()
}

/// Every kind of state there is, and windows that look back at streams with and without.
pub fn states(clicks: &DStream<Click>) -> Vec<DStream<String>> {
    let keyed = clicks.map(|(_, key, value)| (key, value));
    let running = keyed.running_reduce(|a, b| a + b);
    let of_state =
        running.window(4 * SECOND, SECOND).map(|(key, sum)| (key % 3, sum)).reduce_by_key(u64::max);
    let windowed = keyed.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 5 * SECOND, SECOND);
    let tree = keyed.reduce_by_key_and_window(u64::max, 8 * SECOND, 2 * SECOND);
    let updated = keyed.update_state_by_key(|values, sum: Option<u64>| {
        let sum = sum.unwrap_or(0) + values.iter().sum::<u64>();
        (!sum.is_multiple_of(5) || sum < 50).then_some(sum)
    });
    let spec = StateSpec::new().timeout(2 * SECOND);
    let mapped = keyed.map_with_state_spec(
        |_, key, value: Option<u64>, state: &mut State<u64>| {
            let sum = value.unwrap_or(0) + if state.exists() { *state.get() } else { 0 };
            if !state.is_timing_out() {
                state.update(sum);
            }
            Some((*key, sum, state.is_timing_out()))
        },
        spec,
    );
    let sessions = keyed.fold_sessions(SECOND, |value| value, |sum, value| sum + value);
    // These look back at what states have given out.
    let of_mapped =
        mapped.window(3 * SECOND, SECOND).map(|(key, ..)| (key % 5, 1u64)).reduce_by_key(|a, b| a + b);
    let plain =
        keyed.window(4 * SECOND, 2 * SECOND).map(|(key, value)| (key % 7, value)).reduce_by_key(u64::min);
    let by_time = clicks.event_time(|click| Time::from_ms(click.0)).map(|click| (click.1, click.2));
    let panes = by_time.window(3 * SECOND).allowed_lateness(SECOND).reduce_by_key(|a, b| a + b);
    let of_panes =
        panes.window(3 * SECOND, SECOND).map(|pane| (pane.key % 3, 1u64)).reduce_by_key(|a, b| a + b);
    vec![
        running.map(|entry| format!("running {entry:?}")),
        of_state.map(|entry| format!("of state {entry:?}")),
        windowed.map(|entry| format!("windowed {entry:?}")),
        tree.map(|entry| format!("tree {entry:?}")),
        updated.map(|entry| format!("updated {entry:?}")),
        mapped.map(|entry| format!("mapped {entry:?}")),
        sessions.map(|(key, session)| format!("session {key} {session:?}")),
        of_mapped.map(|entry| format!("of mapped {entry:?}")),
        plain.map(|entry| format!("plain {entry:?}")),
        of_panes.map(|entry| format!("of panes {entry:?}")),
        panes.map(|pane| format!("panes {} {} {} {:?}", pane.window.end, pane.key, pane.value, pane.kind)),
    ]
}
