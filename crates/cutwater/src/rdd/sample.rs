use std::marker::PhantomData;

use super::{random::Random, refused::refused};
use crate::{
    Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records whose draw lies in a range: a sample, or one part of a split.
pub(super) struct Drawn<T> {
    seed: u64,
    from: f64,
    to: f64,
    types: PhantomData<fn(T)>,
}

impl<T: Record> Operator for Drawn<T> {
    type Env = (u64, f64, f64);
    type Out = T;

    fn rebuild((seed, from, to): Self::Env) -> Self {
        Self { seed, from, to, types: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut random = Random::new(self.seed, partition);
        node.each(0, partition, &mut |record| {
            // One draw a record, whatever comes of it: parts of a split draw the same.
            let draw = random.unit();
            if self.from <= draw && draw < self.to { emit(record) } else { Flow::Continue(()) }
        })
    }
}

/// Every record as often as chance will have it.
struct Repeated<T>(u64, f64, PhantomData<fn(T)>);

impl<T: Record> Operator for Repeated<T> {
    type Env = (u64, f64);
    type Out = T;

    fn rebuild((seed, mean): Self::Env) -> Self {
        Self(seed, mean, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut random = Random::new(self.0, partition);
        node.each::<T>(0, partition, &mut |record| {
            (0..random.poisson(self.1)).try_for_each(|_| emit(node.call(|| record.clone())))
        })
    }
}

impl<T: Record> Rdd<T> {
    /// A sample: each record is in it with probability `fraction`, at most once (`api.md` §12).
    /// What is drawn depends on `seed`, the partition and the place in it, and on nothing else, so a
    /// sample is the same whenever it is computed. Keys stay in their partitions.
    ///
    /// # Errors
    /// The action that uses it fails unless `fraction` is between 0 and 1.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sample = ctx.parallelize(0..1000).sample(0.1, 42);
    /// let size = sample.count()?;
    /// assert!((60..140).contains(&size), "{size}");
    /// assert_eq!(sample.collect()?, sample.collect()?);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample(&self, fraction: f64, seed: u64) -> Rdd<T> {
        if !(0.0..=1.0).contains(&fraction) {
            return refused(self.engine(), "sample", format_args!("{fraction} is not a part of the whole"));
        }
        self.narrow_in_place(&OperatorSpec::new::<Drawn<T>>("sample", &(seed, 0.0, fraction)))
    }

    /// A sample in which a record may be more than once: each is in it `fraction` times on average,
    /// as if drawn and put back (`api.md` §12). Like [`sample`](Self::sample) it is the same whenever
    /// it is computed.
    ///
    /// # Errors
    /// The action that uses it fails if `fraction` is negative or not a finite number.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sample = ctx.parallelize(0..1000).sample_with_replacement(2.0, 42);
    /// let size = sample.count()?;
    /// assert!((1800..2200).contains(&size), "{size}");
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_with_replacement(&self, fraction: f64, seed: u64) -> Rdd<T> {
        let name = "sample_with_replacement";
        if !(fraction.is_finite() && fraction >= 0.0) {
            return refused(self.engine(), name, format_args!("no record can be drawn {fraction} times"));
        }
        self.narrow_in_place(&OperatorSpec::new::<Repeated<T>>(name, &(seed, fraction)))
    }
}
