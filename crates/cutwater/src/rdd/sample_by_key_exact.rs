use std::{collections::BTreeMap, marker::PhantomData};

use super::random::Random;
use crate::{
    Error, Key, Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, labelled},
};

/// A record's draw and its partition. Draws of a partition never repeat, so no two records are equal in both.
type Draw = (u64, u32);

/// The draw of each record whose key has a fraction.
struct Draws<K, V>(u64, BTreeMap<K, f64>, PhantomData<fn(V)>);

impl<K: Key + Ord, V: Record> Operator for Draws<K, V> {
    type Env = (u64, BTreeMap<K, f64>);
    type Out = (K, Draw);

    fn rebuild((seed, fractions): Self::Env) -> Self {
        Self(seed, fractions, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, Draw)>) -> Flow {
        let mut random = Random::new(self.0, partition);
        node.each::<(K, V)>(0, partition, &mut |(key, _)| {
            let draw = (random.bits(), partition);
            if node.call(|| self.1.contains_key(&key)) { emit((key, draw)) } else { Flow::Continue(()) }
        })
    }
}

/// The records whose draw is not above the highest that is taken of their key.
struct DrawnUpTo<K, V>(u64, BTreeMap<K, Draw>, PhantomData<fn(V)>);

impl<K: Key + Ord, V: Record> Operator for DrawnUpTo<K, V> {
    type Env = (u64, BTreeMap<K, Draw>);
    type Out = (K, V);

    fn rebuild((seed, highest): Self::Env) -> Self {
        Self(seed, highest, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        let mut random = Random::new(self.0, partition);
        node.each::<(K, V)>(0, partition, &mut |(key, value)| {
            let draw = (random.bits(), partition);
            let taken = node.call(|| self.1.get(&key).is_some_and(|highest| draw <= *highest));
            if taken { emit((key, value)) } else { Flow::Continue(()) }
        })
    }
}

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// [`sample_by_key`](Self::sample_by_key) with exactly as many records of each key as its fraction
    /// of them is, rounded up (`api.md` §12). Any so many of them are taken with the same probability.
    ///
    /// How many records a key has is found at once, by a job of its own that shuffles a number for
    /// each record; [cache](Self::cache) a dataset that is dear to compute.
    ///
    /// # Errors
    /// A fraction is not between 0 and 1, besides those of [`collect`](Self::collect), met while
    /// counting.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let calls = ctx.parallelize(0..1000).map(|n| (if n % 10 == 0 { "failed" } else { "fine" }.to_owned(), n));
    /// let fractions = [("failed".to_owned(), 1.0), ("fine".to_owned(), 0.25)];
    /// let counts = calls.sample_by_key_exact(fractions, 42)?.count_by_key()?;
    /// assert_eq!((counts["failed"], counts["fine"]), (100, 225));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_by_key_exact(
        &self,
        fractions: impl IntoIterator<Item = (K, f64)>,
        seed: u64,
    ) -> Result<Rdd<(K, V)>, Error> {
        let name = "sample_by_key_exact";
        let fractions: BTreeMap<K, f64> = fractions.into_iter().collect();
        if let Some(wrong) = fractions.values().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
            let label = labelled(name);
            return Err(Error::user(format_args!("{label}: {wrong} is not a part of the whole")));
        }
        let env = (seed, fractions);
        let draws = self.narrow(&OperatorSpec::new::<Draws<K, V>>(name, &env)).group_by_key();
        // The lowest draws of a key are any of its records. One number tells which: the highest of them.
        let highest = draws.with(env.1).filter_map(|fractions, (key, mut draws)| {
            let wanted = (draws.len() as f64 * fractions.get(&key)?).ceil() as usize;
            let last = wanted.min(draws.len()).checked_sub(1)?;
            let highest = *draws.select_nth_unstable(last).1;
            Some((key, highest))
        });
        let highest: BTreeMap<K, Draw> = highest.collect()?.into_iter().collect();
        Ok(self.narrow_in_place(&OperatorSpec::new::<DrawnUpTo<K, V>>(name, &(seed, highest))))
    }
}
