//! How many different keys there are, from a few hundred bytes: HyperLogLog (Flajolet and others,
//! 2007) with the estimator of Ertl (2017, algorithm 6), which is unbiased over the whole range and
//! needs neither a table of corrections nor a second method for few keys.

use serde::{Deserialize, Serialize};

use crate::placement;

/// A sketch of a set.
///
/// Properties:
/// - it has 2^p registers of a byte; its relative standard error is about 1.04 / √2^p;
/// - what is added twice changes nothing, and neither does the order;
/// - two sketches put together are the sketch of both sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sketch {
    /// For each of the low bits' values, the longest run of leading zeros that was seen, plus one.
    registers: Vec<u8>,
}

/// Registers for the smallest and the greatest precision: an error of 26 % and of 0.2 %.
const BITS: std::ops::RangeInclusive<u32> = 4..=18;

impl Sketch {
    /// An empty sketch with a relative standard error of at most `error`; `None` if no sketch has
    /// that.
    pub fn with_error(error: f64) -> Option<Self> {
        if !(error > 0.0 && error < 1.0) {
            return None;
        }
        let bits = (1.04 / error).powi(2).log2().ceil().max(f64::from(*BITS.start())) as u32;
        BITS.contains(&bits).then(|| Self { registers: vec![0; 1 << bits] })
    }

    pub fn add<T: Serialize>(&mut self, record: &T) {
        let hash = placement::hash(record);
        let bits = self.registers.len().trailing_zeros();
        let register = (hash >> (64 - bits)) as usize;
        // A one below the bits that are left stops the count of zeros.
        let run = ((hash << bits) | (1 << (bits - 1))).leading_zeros() as u8 + 1;
        self.registers[register] = self.registers[register].max(run);
    }

    pub fn merge(mut self, other: &Self) -> Self {
        for (own, other) in self.registers.iter_mut().zip(&other.registers) {
            *own = (*own).max(*other);
        }
        self
    }

    /// About how many different records were added.
    pub fn estimate(&self) -> u64 {
        let m = self.registers.len() as f64;
        let q = 64 - self.registers.len().trailing_zeros() as usize;
        let mut counts = vec![0u64; q + 2];
        for register in &self.registers {
            counts[usize::from(*register)] += 1;
        }
        let mut z = m * tau(1.0 - counts[q + 1] as f64 / m);
        for count in counts[1..=q].iter().rev() {
            z = 0.5 * (z + *count as f64);
        }
        z += m * sigma(counts[0] as f64 / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

/// x + Σ x^(2^k) · 2^(k-1): what empty registers contribute.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// (1 - x - Σ (1 - x^(2^-k))² · 2^-k) / 3: what full registers contribute.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean error over many sets is far below that of one, and that of one is as promised.
    #[test]
    fn estimates_are_as_good_as_promised() {
        for (error, n) in [(0.05, 1), (0.05, 100), (0.05, 1000), (0.05, 20_000), (0.01, 50_000)] {
            let sets = 30u64;
            let (mut sum, mut squares) = (0.0, 0.0);
            for set in 0..sets {
                let mut sketch = Sketch::with_error(error).unwrap();
                for record in 0..n {
                    sketch.add(&(set, record));
                    sketch.add(&(set, record));
                }
                let relative = sketch.estimate() as f64 / n as f64 - 1.0;
                sum += relative;
                squares += relative * relative;
            }
            let (mean, deviation) = (sum / sets as f64, (squares / sets as f64).sqrt());
            assert!(mean.abs() < error && deviation < 1.5 * error, "{error} {n}: {mean} {deviation}");
        }
    }

    #[test]
    fn parts_put_together_are_the_whole() {
        let sketch = |range: std::ops::Range<u32>| {
            let mut sketch = Sketch::with_error(0.1).unwrap();
            range.for_each(|n| sketch.add(&n));
            sketch
        };
        assert_eq!(sketch(0..600).merge(&sketch(400..1000)), sketch(0..1000));
        assert_eq!(sketch(0..0).estimate(), 0);
    }

    #[test]
    fn errors_that_cannot_be_had_are_refused() {
        assert!(Sketch::with_error(0.0).is_none());
        assert!(Sketch::with_error(0.000_01).is_none());
        assert!(Sketch::with_error(1.0).is_none());
        assert!(Sketch::with_error(f64::NAN).is_none());
    }
}
