use std::{cmp::Reverse, marker::PhantomData};

use super::{random::Random, top::Highest};
use crate::{
    Error, Record,
    rdd::{Count, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records of a partition with the lowest draws, each with its draw.
struct LowestDraws<T>(u64, u64, PhantomData<fn(T)>);

impl<T: Record> Operator for LowestDraws<T> {
    type Env = (u64, u64);
    type Out = (u64, T);

    fn rebuild((seed, n): (u64, u64)) -> Self {
        Self(seed, n, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (u64, T)>) -> Flow {
        let mut random = Random::new(self.0, partition);
        let mut lowest = Highest::new(self.1);
        node.each(0, partition, &mut |record| {
            let draw = random.bits();
            lowest.offer(Reverse(draw), (draw, record));
            Flow::Continue(())
        })?;
        lowest.into_sorted().try_for_each(emit)
    }
}

/// The records at given places, each with where it goes in the answer.
struct Picked<T>(Vec<Vec<(u64, u64)>>, PhantomData<fn(T)>);

impl<T: Record> Operator for Picked<T> {
    /// For each partition, (place in it, place in the answer), sorted.
    type Env = Vec<Vec<(u64, u64)>>;
    type Out = (u64, T);

    fn rebuild(wanted: Self::Env) -> Self {
        Self(wanted, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (u64, T)>) -> Flow {
        let wanted = self.0.get(partition as usize).map_or(&[][..], Vec::as_slice);
        let (mut wanted, mut at) = (wanted.iter().peekable(), 0);
        node.each::<T>(0, partition, &mut |record| {
            while let Some((_, slot)) = wanted.next_if(|(place, _)| *place == at) {
                emit((*slot, node.call(|| record.clone())))?;
            }
            at += 1;
            Flow::Continue(())
        })
    }
}

impl<T: Record> Rdd<T> {
    /// `n` records drawn at random, in random order, no record twice; all of them, shuffled, if there
    /// are no more (`api.md` §12). The same `seed` draws the same records.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let drawn = ctx.parallelize(0..1000).take_sample(10, 42)?;
    /// assert_eq!(drawn.len(), 10);
    /// assert_eq!(ctx.parallelize(drawn).distinct().count()?, 10);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn take_sample(&self, n: usize, seed: u64) -> Result<Vec<T>, Error> {
        // The records with the n lowest of as many draws as there are records are any n of them with
        // the same probability, and in the order of their draws they are shuffled as well.
        let spec = OperatorSpec::new::<LowestDraws<T>>("take_sample", &(seed, n as u64));
        let mut drawn = self.narrow(&spec).collect()?;
        drawn.sort_by_key(|(draw, _)| *draw);
        drawn.truncate(n);
        Ok(drawn.into_iter().map(|(_, record)| record).collect())
    }

    /// `n` records drawn at random, each put back before the next is drawn, so that a record may come
    /// more than once; none if there are none (`api.md` §12). The same `seed` draws the same records.
    /// The partitions are computed twice, once to count them.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let tosses = ctx.parallelize([true, false]).take_sample_with_replacement(100, 42)?;
    /// let heads = tosses.iter().filter(|toss| **toss).count();
    /// assert!((30..70).contains(&heads), "{heads}");
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn take_sample_with_replacement(&self, n: usize, seed: u64) -> Result<Vec<T>, Error> {
        let name = "take_sample_with_replacement";
        let counts = self.narrow(&OperatorSpec::new::<Count<T>>(name, &())).collect()?;
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return Ok(Vec::new());
        }
        let ends: Vec<u64> = counts
            .iter()
            .scan(0, |end, count| {
                *end += count;
                Some(*end)
            })
            .collect();
        let mut random = Random::new(seed, 0);
        let mut wanted = vec![Vec::new(); counts.len()];
        for slot in 0..n as u64 {
            let place = random.below(total);
            let partition = ends.partition_point(|end| *end <= place);
            wanted[partition].push((place + counts[partition] - ends[partition], slot));
        }
        wanted.iter_mut().for_each(|places| places.sort_unstable());
        let mut drawn = self.narrow(&OperatorSpec::new::<Picked<T>>(name, &wanted)).collect()?;
        drawn.sort_by_key(|(slot, _)| *slot);
        Ok(drawn.into_iter().map(|(_, record)| record).collect())
    }
}
