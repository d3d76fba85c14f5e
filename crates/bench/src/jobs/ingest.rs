//! Clients send records as fast as they are acknowledged, and the program counts them: how much is taken in, and
//! is anything lost?

use std::{
    thread,
    time::{Duration, Instant},
};

use cutwater::Error;
use cutwater_client::{Client, ClientError};

use super::{Answer, RECORD_BYTES, lock, measured};
use crate::{
    cli::{Common, IngestOptions},
    error::BenchError,
    report::{Measured, Report},
};

/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 500;
/// Records that a client sends between two looks at the clock.
const BURST: u64 = 1_000;

/// Runs the job.
///
/// # Errors
/// The program or a client failed, or records were lost or counted twice.
pub fn run(common: &Common, options: &IngestOptions) -> Result<Report, BenchError> {
    let interval = Duration::from_millis(common.interval_ms.unwrap_or(INTERVAL_MS));
    // First of all, since a process that is to be a worker goes no further.
    let ctx = common.builder().interval(interval).build()?;
    let records = ctx.source("records").client_lines();
    let counted: Answer<Tally> = Answer::default();
    let total = counted.clone();
    records.for_each_rdd(move |rdd, _| {
        let (records, digest) = rdd.aggregate(
            (0u64, 0u64),
            |(records, digest), record| (records + 1, digest.wrapping_add(mixed(numbers_of(&record)))),
            |a, b| (a.0 + b.0, a.1.wrapping_add(b.1)),
        )?;
        lock(&total).add(&Tally { records, digest });
        Ok::<(), Error>(())
    });
    let times = measured(&ctx, common.warmup);

    let access = ctx.client_access()?;
    let token_file = access.token_file.unwrap_or_default();
    let client = || Client::builder(&access.address.to_string(), "records").token_file(&token_file).build();
    let clients = (0..options.clients).map(|_| client()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let (program, seconds) = (ctx.clone(), options.seconds);
    let senders = thread::spawn(move || {
        let sent = send_all(&clients, Duration::from_secs(seconds));
        // What is acknowledged is in a block, and what is in a block is still processed.
        program.stop();
        sent
    });
    let result = ctx.run();
    let sent = senders.join().map_err(|_| BenchError::Wrong("a client panicked".into()));
    result?;
    let Sent { acknowledged, seconds } = sent?.map_err(failed)?;

    let counted = *lock(&counted);
    let lost = acknowledged.records.saturating_sub(counted.records);
    let duplicated = counted.records.saturating_sub(acknowledged.records);
    if counted != acknowledged {
        return Err(BenchError::Wrong(format!(
            "of {} records acknowledged, {lost} are lost and {duplicated} counted twice",
            acknowledged.records
        )));
    }
    let intervals = lock(&times).clone().finish(0).unwrap_or_default();
    let measured = Measured {
        records: acknowledged.records,
        bytes: acknowledged.records * RECORD_BYTES,
        elapsed: seconds,
        result: acknowledged.digest >> 11,
        ..intervals
    };
    let report = Report::new("ingest", common.threads(), common.workers, measured);
    Ok(report
        .with("clients", options.clients)
        .with("acknowledged", acknowledged.records)
        .with("lost", lost)
        .with("duplicated", duplicated))
}

fn failed(error: ClientError) -> BenchError {
    BenchError::Wrong(format!("a client failed: {error}"))
}

/// How many records, and what they are together, in whatever order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    digest: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

struct Sent {
    acknowledged: Tally,
    seconds: Duration,
}

/// Has each client send for so long, on a thread of its own; answers when all of it is acknowledged.
fn send_all(clients: &[Client], how_long: Duration) -> Result<Sent, ClientError> {
    // The clock begins when all are let in.
    for client in clients {
        client.flush()?;
    }
    let began = Instant::now();
    let tallies: Vec<Result<Tally, ClientError>> = thread::scope(|scope| {
        let senders: Vec<_> =
            (0..).zip(clients).map(|(n, client)| scope.spawn(move || send(client, n, how_long))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap_or_else(|_| Ok(Tally::default()))).collect()
    });
    let mut acknowledged = Tally::default();
    for tally in tallies {
        acknowledged.add(&tally?);
    }
    Ok(Sent { acknowledged, seconds: began.elapsed() })
}

fn send(client: &Client, number: u64, how_long: Duration) -> Result<Tally, ClientError> {
    let (began, mut tally) = (Instant::now(), Tally::default());
    // A record as long as those of the other jobs, whose line end is not sent.
    let mut record = vec![b'x'; RECORD_BYTES as usize];
    record[18] = b' ';
    while began.elapsed() < how_long {
        for n in tally.records..tally.records + BURST {
            write_numbers(&mut record, number, n);
            client.send(&record)?;
            tally.digest = tally.digest.wrapping_add(mixed((number, n)));
        }
        tally.records += BURST;
    }
    client.flush()?;
    // What the clock counts is what was acknowledged, not what was sent.
    if client.acknowledged() != tally.records {
        return Err(ClientError::Machine(format!(
            "{} records acknowledged of {} that were sent",
            client.acknowledged(),
            tally.records
        )));
    }
    Ok(tally)
}

/// Two digits of the client, 16 of the record: fixed places are quick to write and to read.
fn write_numbers(record: &mut [u8], client: u64, n: u64) {
    let digits = |into: &mut [u8], mut number: u64| {
        for digit in into.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    let (client_digits, rest) = record.split_at_mut(2);
    digits(client_digits, client);
    digits(&mut rest[..16], n);
}

fn numbers_of(record: &str) -> (u64, u64) {
    let number =
        |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit.wrapping_sub(b'0')));
    let bytes = record.as_bytes();
    (number(bytes.get(..2).unwrap_or_default()), number(bytes.get(2..18).unwrap_or_default()))
}

/// Makes sums of numbers tell whether they are the same numbers.
fn mixed((client, n): (u64, u64)) -> u64 {
    let x = (client << 56 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let mut record = vec![b'x'; 100];
        for numbers in [(0, 0), (3, 17), (99, 9_999_999_999_999_999)] {
            write_numbers(&mut record, numbers.0, numbers.1);
            assert_eq!(numbers_of(std::str::from_utf8(&record).unwrap()), numbers);
        }
    }

    #[test]
    fn one_lost_and_another_counted_twice_are_seen() {
        let tally = |numbers: &[u64]| {
            let digest = numbers.iter().fold(0u64, |sum, n| sum.wrapping_add(mixed((1, *n))));
            Tally { records: numbers.len() as u64, digest }
        };
        assert_eq!(tally(&[1, 2, 3]), tally(&[3, 1, 2]));
        assert_ne!(tally(&[1, 2, 3]), tally(&[1, 2, 2]));
    }
}
