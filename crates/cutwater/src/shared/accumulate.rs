use std::collections::{BTreeMap, BTreeSet};

use crate::Record;

/// What an [`Accumulator`](crate::Accumulator) may hold: values that can be put together, beginning from
/// their default. Numbers are summed, lists appended, sets united, and maps put together key by key;
/// implement it for anything else.
///
/// ```
/// # use cutwater::{Accumulate, Context};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
/// struct Highest(u32);
///
/// impl Accumulate for Highest {
///     fn merge(&mut self, other: Self) {
///         self.0 = self.0.max(other.0);
///     }
/// }
///
/// # let ctx = Context::local(2);
/// let highest = ctx.accumulator::<Highest>("highest");
/// ctx.parallelize([3, 9, 4]).with(highest.clone()).foreach(|highest, n| highest.add(Highest(n)))?;
/// assert_eq!(highest.value(), Highest(9));
/// # Ok::<(), cutwater::Error>(())
/// ```
pub trait Accumulate: Record + Default {
    /// Puts `other` to what is there.
    fn merge(&mut self, other: Self);
}

macro_rules! summed {
    ($($T:ty)*) => {
        $(impl Accumulate for $T {
            fn merge(&mut self, other: Self) {
                *self += other;
            }
        })*
    };
}

summed!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl<T: Record> Accumulate for Vec<T> {
    fn merge(&mut self, mut other: Self) {
        self.append(&mut other);
    }
}

impl<T: Record + Ord> Accumulate for BTreeSet<T> {
    fn merge(&mut self, mut other: Self) {
        self.append(&mut other);
    }
}

impl<K: Record + Ord, V: Accumulate> Accumulate for BTreeMap<K, V> {
    fn merge(&mut self, other: Self) {
        for (key, value) in other {
            self.entry(key).or_default().merge(value);
        }
    }
}
