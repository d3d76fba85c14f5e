//! A worker whose tasks take many times longer than those of the others.

use std::{cell::Cell, env, sync::OnceLock, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// The variable by which a worker is told to be slow: how many times longer its tasks take.
pub const SLOW: &str = "CUTWATER_BENCH_SLOW";

/// Records after which a thread looks at what they have cost.
const RECORDS: u32 = 1_024;

thread_local! {
    /// Records since this thread has looked last, and the time that it had computed for by then.
    static SINCE: Cell<(u32, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// How many times longer tasks take in this process.
pub fn factor() -> f64 {
    static FACTOR: OnceLock<f64> = OnceLock::new();
    *FACTOR.get_or_init(|| env::var(SLOW).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1.0))
}

/// One more record: now and then the thread waits for as many times as long as it has computed, whatever that was, the
/// engine's part included. It sleeps, since workers that share the cores of one machine are to be like workers that
/// have their own.
pub fn record() {
    if factor() <= 1.0 {
        return;
    }
    let (records, had) = SINCE.get();
    if records < RECORDS {
        SINCE.set((records + 1, had));
        return;
    }
    partition();
}

/// The thread waits now for what it has computed since it last did.
pub fn partition() {
    if factor() <= 1.0 {
        return;
    }
    let (_, had) = SINCE.get();
    let computed = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    SINCE.set((0, computed));
    thread::sleep(computed.saturating_sub(had).mul_f64(factor() - 1.0));
}
