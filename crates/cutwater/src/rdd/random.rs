//! Chance that repeats itself. A draw depends on the seed that the program gives, on the partition
//! and on how many were made before it, so every attempt of a task draws the same (DESIGN D5).
//!
//! The generator is SplitMix64: eight bytes of state, and whatever seed it is given is a good one.

/// A sequence of draws.
pub(super) struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Above this mean a Poisson draw is put together from smaller ones: `exp(-mean)` must stay well
/// above the smallest number there is.
const POISSON_MEAN_MAX: f64 = 16.0;

impl Random {
    /// The sequence of `partition` among those of `seed`.
    pub fn new(seed: u64, partition: u32) -> Self {
        Self(mix(seed ^ mix(u64::from(partition).wrapping_add(1).wrapping_mul(GOLDEN))))
    }

    /// A number of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`. Its bias is below n/2^64, too little to be seen.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// How often something happens that happens `mean` times on average.
    pub fn poisson(&mut self, mut mean: f64) -> u64 {
        let mut events = 0;
        while mean > POISSON_MEAN_MAX {
            events += self.poisson_by_product(POISSON_MEAN_MAX);
            mean -= POISSON_MEAN_MAX;
        }
        events + self.poisson_by_product(mean)
    }

    fn poisson_by_product(&mut self, mean: f64) -> u64 {
        let (floor, mut product, mut events) = ((-mean).exp(), self.unit(), 0);
        while product > floor {
            product *= self.unit();
            events += 1;
        }
        events
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_and_partitions_differ() {
        let draws = |seed, partition| {
            let mut random = Random::new(seed, partition);
            [random.bits(), random.bits()]
        };
        assert_eq!(draws(7, 1), draws(7, 1));
        assert_ne!(draws(7, 1), draws(7, 2));
        assert_ne!(draws(7, 1), draws(8, 1));
    }

    #[test]
    fn means_are_as_asked() {
        let mut random = Random::new(1, 0);
        let n = 20_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || random.unit()) - 0.5).abs() < 0.01);
        assert!((mean(&mut || random.below(10) as f64) - 4.5).abs() < 0.1);
        for expected in [0.0, 0.3, 5.0, 40.0] {
            let got = mean(&mut || random.poisson(expected) as f64);
            assert!((got - expected).abs() <= 0.02 * expected, "{expected}: {got}");
        }
    }
}
