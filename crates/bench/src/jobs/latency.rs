//! Records that arrive at a steady rate over a socket: how long after its arrival is a record's interval
//! done?

use std::{
    io::{BufWriter, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cutwater::{Context, Error};

use super::{Answer, lock, measured};
use crate::{
    cli::{Common, LatencyOptions},
    error::BenchError,
    report::{Percentiles, Report},
};

/// Keys of the state.
const KEYS: u64 = 10_000;
/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 100;
/// How often the sender sends, in microseconds.
const TICK_US: u64 = 1_000;

/// Runs the job.
///
/// # Errors
/// The program failed, or its answer is wrong.
pub fn run(common: &Common, options: &LatencyOptions) -> Result<Report, BenchError> {
    let interval = Duration::from_millis(common.interval_ms.unwrap_or(INTERVAL_MS));
    let intervals = common
        .intervals
        .unwrap_or_else(|| (options.seconds * 1_000).div_ceil(interval.as_millis() as u64).max(2));
    // First of all, since a process that is to be a worker goes no further.
    let ctx = common.builder().interval(interval).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::socket("listen"))?;
    let address = listener.local_addr().map_err(BenchError::socket("listen"))?;
    let over = Arc::new(AtomicBool::new(false));
    let sender = {
        let (over, rate) = (over.clone(), options.rate);
        thread::spawn(move || send(&listener, rate, &over))
    };

    let records = ctx.source("records").socket_lines(address).map(parsed);
    let counts = records.map(|(key, _)| (key, 1u64)).running_reduce(|a, b| a + b);
    let counted: Answer<u64> = Answer::default();
    let total = counted.clone();
    counts.for_each_rdd(move |rdd, _| {
        *lock(&total) = rdd.aggregate(0, |sum, (_, n)| sum + n, |a, b| a + b)?;
        Ok::<(), Error>(())
    });
    // Outputs run in order: when these times are there, the counts are done too.
    let arrivals: Answer<Vec<u64>> = Answer::default();
    let arrived = arrivals.clone();
    records.map(|(_, arrived_us)| arrived_us).for_each_rdd(move |rdd, _| {
        *lock(&arrived) = rdd.collect()?;
        Ok::<(), Error>(())
    });
    let times = measured(&ctx, common.warmup);
    let delays = watch(&ctx, common.warmup, arrivals);
    let result = ctx.run_for(common.warmup + intervals);
    over.store(true, Ordering::Relaxed);
    // The sender ends when it sees the flag or its connection is closed; it has nothing to say.
    let _ = sender.join();
    result?;

    let Delays { received, all } = std::mem::take(&mut *lock(&delays));
    let counted = *lock(&counted);
    if counted != received || received == 0 {
        return Err(BenchError::Wrong(format!("{counted} records counted of {received} received")));
    }
    let measured = lock(&times).clone().finish(counted);
    let measured = measured.ok_or_else(|| BenchError::Refused("nothing was measured".into()))?;
    let stable = is_stable(&all, interval);
    let record_delay = Percentiles::of(all.into_iter().flatten().collect());
    let report = Report::new("latency", common.threads(), common.workers, measured);
    let record_delay = serde_json::to_value(record_delay).unwrap_or_default();
    Ok(report.with("rate", options.rate).with("stable", stable).with("record_delay_ms", record_delay))
}

/// What became of the records.
#[derive(Default)]
struct Delays {
    received: u64,
    /// By interval, without the warm-up: from each record's arrival to the end of its interval's outputs.
    all: Vec<Vec<Duration>>,
}

fn watch(ctx: &Context, warmup: u64, arrivals: Answer<Vec<u64>>) -> Answer<Delays> {
    let delays: Answer<Delays> = Answer::default();
    let noted = delays.clone();
    ctx.on_interval(move |report| {
        let now_us = now_us();
        let arrived = std::mem::take(&mut *lock(&arrivals));
        let mut noted = lock(&noted);
        noted.received += report.records();
        if report.number > warmup {
            let delay = |arrived_us| Duration::from_micros(now_us.saturating_sub(arrived_us));
            noted.all.push(arrived.into_iter().map(delay).collect());
        }
    });
    delays
}

/// Delay does not grow: that of the last third is at most an interval above that of the first.
fn is_stable(delays: &[Vec<Duration>], interval: Duration) -> bool {
    let third = delays.len().div_ceil(3);
    let median = |part: &[Vec<Duration>]| {
        let mut all: Vec<Duration> = part.iter().flatten().copied().collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    median(&delays[delays.len() - third..]) <= median(&delays[..third]) + interval
}

/// Sends records to whoever connects first, until it goes or the job is over.
fn send(listener: &TcpListener, rate: u64, over: &AtomicBool) {
    let Ok((stream, _)) = listener.accept() else { return };
    // Records leave when they are sent, and not when those before have been acknowledged.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stream = BufWriter::new(stream);
    let (began, mut sent) = (Instant::now(), 0u64);
    while !over.load(Ordering::Relaxed) {
        let due =
            u64::try_from(began.elapsed().as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX);
        let arrives_us = now_us();
        for number in sent..due {
            if writeln!(stream, "{} {arrives_us}", number % KEYS).is_err() {
                return;
            }
        }
        if stream.flush().is_err() {
            return;
        }
        sent = due;
        thread::sleep(Duration::from_micros(TICK_US));
    }
}

/// A line of the sender: a key, and when it was sent in microseconds.
fn parsed(line: String) -> (u64, u64) {
    let (key, arrived_us) = line.split_once(' ').unwrap_or_default();
    (key.parse().unwrap_or(0), arrived_us.parse().unwrap_or(0))
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_that_grows_is_not_stable() {
        let delays = |ms: &[u64]| ms.iter().map(|ms| vec![Duration::from_millis(*ms)]).collect::<Vec<_>>();
        let interval = Duration::from_millis(10);
        assert!(is_stable(&delays(&[12, 11, 13, 12, 19, 14]), interval));
        assert!(!is_stable(&delays(&[12, 20, 30, 40, 50, 60]), interval));
    }

    #[test]
    fn a_line_is_a_key_and_a_time() {
        assert_eq!(parsed("7 123".to_owned()), (7, 123));
    }
}
