//! Keyed counts of what clients send, by a program whose processes the jobs start, kill, stop and continue.
//!
//! ```text
//! load ── records ──▶ workers ◀── cluster: starts, kills, stops, continues ──▶ masters
//!   │                                                                             │
//!   └── what was acknowledged ──▶ verdict ◀── outputs: intervals and their times ─┘
//! ```
//!
//! - [`program`]: what masters and workers run, and [`drag`]: a worker whose tasks take longer;
//! - [`cluster`]: their processes;
//! - [`load`]: the clients;
//! - [`outputs`]: what the program gave out, and when.
//! - [`trial`]: all of it together.

pub mod cluster;
pub mod drag;
pub mod load;
pub mod outputs;
pub mod program;
pub mod trial;

use serde::{Deserialize, Serialize};

/// Bytes of a record, as long as those of the other jobs.
pub const RECORD_BYTES: usize = 100;
/// Keys that are counted.
pub const KEYS: u32 = 10_000;

/// How often a key was there, and in which records: two sets of as many records have different digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Sum of what each [is](mixed).
    pub digest: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { records: self.records + other.records, digest: self.digest.wrapping_add(other.digest) }
    }
}

/// A tally for each key, in their order.
pub type Tallies = Vec<Tally>;

/// How what was counted differs from what was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records that were acknowledged and are not counted.
    pub lost: u64,
    /// Records that are counted and were not acknowledged, or more often than once.
    pub duplicated: u64,
    /// Keys whose count is right, but of other records than were acknowledged.
    pub mistaken: u64,
}

impl Verdict {
    /// Compares key by key.
    pub fn of(acknowledged: &[Tally], counted: &[Tally]) -> Self {
        let mut verdict = Self::default();
        for key in 0..acknowledged.len().max(counted.len()) {
            let of = |tallies: &[Tally]| tallies.get(key).copied().unwrap_or_default();
            let (sent, got) = (of(acknowledged), of(counted));
            verdict.lost += sent.records.saturating_sub(got.records);
            verdict.duplicated += got.records.saturating_sub(sent.records);
            verdict.mistaken += u64::from(sent.records == got.records && sent.digest != got.digest);
        }
        verdict
    }

    /// What is wrong, if anything is.
    pub fn fault(&self) -> Option<String> {
        (*self != Self::default()).then(|| {
            format!(
                "{} acknowledged records are lost, {} are counted twice, and {} keys have the right count of wrong records",
                self.lost, self.duplicated, self.mistaken
            )
        })
    }
}

/// Writes the record `n` of a client, and says its key and what it counts for.
pub fn write_record(record: &mut [u8; RECORD_BYTES], client: u32, n: u64) -> (u32, Tally) {
    let digits = |into: &mut [u8], mut number: u64| {
        for digit in into.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    record.fill(b'x');
    let (client_digits, rest) = record.split_at_mut(2);
    digits(client_digits, u64::from(client));
    digits(&mut rest[..16], n);
    counted(client, n)
}

/// The key of a record and what it counts for. A record that no client wrote counts as one of client 0.
pub fn read_record(record: &str) -> (u32, Tally) {
    let number = |range| record.get(range).and_then(|digits: &str| digits.parse().ok()).unwrap_or_default();
    counted(u32::try_from(number(0..2)).unwrap_or_default(), number(2..18))
}

fn counted(client: u32, n: u64) -> (u32, Tally) {
    let digest = mixed(u64::from(client) << 56 ^ n);
    ((digest >> 32) as u32 % KEYS, Tally { records: 1, digest })
}

/// Makes sums of numbers tell whether they are the same numbers.
pub fn mixed(n: u64) -> u64 {
    let x = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 29).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ x >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = [0; RECORD_BYTES];
        for (client, n) in [(0, 0), (3, 17), (99, 9_999_999_999_999_999)] {
            let written = write_record(&mut record, client, n);
            assert_eq!(read_record(std::str::from_utf8(&record).unwrap()), written);
            assert!(written.0 < KEYS);
        }
    }

    #[test]
    fn keys_are_spread() {
        let mut seen = vec![false; KEYS as usize];
        (0..200_000).for_each(|n| seen[counted(1, n).0 as usize] = true);
        assert!(seen.into_iter().all(|seen| seen));
    }

    #[test]
    fn what_is_lost_in_one_key_is_not_made_good_by_another() {
        let one = |n| counted(0, n).1;
        let verdict = Verdict::of(&[one(1), one(2).plus(one(3))], &[one(1).plus(one(4)), one(2)]);
        assert_eq!(verdict, Verdict { lost: 1, duplicated: 1, mistaken: 0 });
        assert!(verdict.fault().is_some());
        let verdict = Verdict::of(&[one(1).plus(one(2))], &[one(1).plus(one(3))]);
        assert_eq!(verdict, Verdict { lost: 0, duplicated: 0, mistaken: 1 });
        assert_eq!(Verdict::of(&[one(1)], &[one(1)]).fault(), None);
        assert_eq!(Verdict::of(&[one(1)], &[]).lost, 1);
    }
}
