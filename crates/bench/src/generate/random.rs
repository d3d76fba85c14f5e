//! Random numbers that are the same on every machine and for ever.
//!
//! Written here rather than taken from a crate: a generator crate may change its stream in a new version,
//! and with it every input that a recorded figure was measured on.

use std::hint;

/// SplitMix64 (Steele, Lea and Flood, 2014): a counter with a strong mixing function.
///
/// One addition and a few multiplications for 64 bits, all of one word of state, any seed as good as another.
/// Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Zipf(1.0) over the ranks `0..n`: rank `k` is drawn with a probability proportional to `1 / (k + 1)`.
///
/// The whole distribution is in a table (Walker's alias method, filled as Vose does), so that a draw costs one
/// random number, one multiplication and one look-up whatever the skew, where a search of the cumulative
/// distribution would take about 13 dependent steps. A column is split between two ranks: the lower part
/// is its own rank's, the rest its alias's.
///
/// Only additions, multiplications and divisions of doubles go into the table, which IEEE 754 fixes to the
/// last bit: it is the same on every machine.
#[derive(Clone, Debug)]
pub struct Zipf {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// The part of the column that is its own rank's, as a fraction of 2^64.
    own: u64,
    alias: u32,
}

impl Zipf {
    /// The table for `n` ranks.
    ///
    /// # Panics
    ///
    /// If `n` is 0: there is nothing to draw.
    pub fn new(n: u32) -> Self {
        assert!(n > 0, "a distribution over no ranks");
        let harmonic: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        // Scaled so that a column that is exactly full has 1.0.
        let mut share: Vec<f64> = (1..=n).map(|k| f64::from(n) / (f64::from(k) * harmonic)).collect();
        let full = |rank: u32| Column { own: u64::MAX, alias: rank };
        let mut columns: Vec<Column> = (0..n).map(full).collect();

        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..n).partition(|&k| share[k as usize] < 1.0);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            let own = share[poor as usize];
            columns[poor as usize] = Column { own: (own * 2f64.powi(64)) as u64, alias: rich };
            share[rich as usize] -= 1.0 - own;
            if share[rich as usize] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        // What is left in either list is full but for rounding, as its column already says.
        Self { columns }
    }

    /// The next rank.
    #[inline]
    pub fn draw(&self, random: &mut SplitMix64) -> usize {
        // One product serves twice: its upper half is a uniform column, its lower half how far up in it.
        let product = u128::from(random.draw()) * self.columns.len() as u128;
        let (rank, height) = ((product >> 64) as usize, product as u64);
        let column = self.columns[rank];
        // Which of the two is as random as the draw: a branch would be mispredicted about as often as not.
        hint::select_unpredictable(height < column.own, rank, column.alias as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_numbers() {
        let mut random = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..5).map(|_| random.draw()).collect();
        assert_eq!(
            drawn,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431,
                16408922859458223821
            ]
        );
    }

    #[test]
    fn the_table_holds_exactly_the_distribution() {
        let n = 10_000;
        let harmonic: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        let table = Zipf::new(n);
        let mut mass = vec![0.0; n as usize];
        for (rank, column) in table.columns.iter().enumerate() {
            let own = column.own as f64 / 2f64.powi(64);
            mass[rank] += own / f64::from(n);
            mass[column.alias as usize] += (1.0 - own) / f64::from(n);
        }
        for (k, mass) in (1..=n).zip(mass) {
            let wanted = 1.0 / (f64::from(k) * harmonic);
            assert!((mass / wanted - 1.0).abs() < 1e-9, "rank {k}: {mass} for {wanted}");
        }
    }

    #[test]
    fn one_rank_is_always_drawn() {
        let (table, mut random) = (Zipf::new(1), SplitMix64::new(1));
        assert!((0..1000).all(|_| table.draw(&mut random) == 0));
    }
}
