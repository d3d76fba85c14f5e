use std::{collections::BTreeMap, marker::PhantomData};

use super::{random::Random, refused::refused};
use crate::{
    Key, Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records whose draw is below the fraction of their key.
struct DrawnByKey<K, V>(u64, BTreeMap<K, f64>, PhantomData<fn(V)>);

impl<K: Key + Ord, V: Record> Operator for DrawnByKey<K, V> {
    type Env = (u64, BTreeMap<K, f64>);
    type Out = (K, V);

    fn rebuild((seed, fractions): Self::Env) -> Self {
        Self(seed, fractions, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        let mut random = Random::new(self.0, partition);
        node.each::<(K, V)>(0, partition, &mut |(key, value)| {
            let draw = random.unit();
            let taken = node.call(|| self.1.get(&key).is_some_and(|fraction| draw < *fraction));
            if taken { emit((key, value)) } else { Flow::Continue(()) }
        })
    }
}

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// A sample with a fraction for each key: a record is in it with the probability given for its
    /// key, at most once, and not at all if none is given (`api.md` §12). Like
    /// [`sample`](Self::sample) it is the same whenever it is computed. Keys stay in their partitions.
    ///
    /// # Errors
    /// The action that uses it fails unless all fractions are between 0 and 1.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let calls = ctx.parallelize(0..1000).map(|n| (if n % 10 == 0 { "failed" } else { "fine" }.to_owned(), n));
    /// let some = calls.sample_by_key([("failed".to_owned(), 1.0), ("fine".to_owned(), 0.1)], 42);
    /// let counts = some.count_by_key()?;
    /// assert_eq!(counts["failed"], 100);
    /// assert!((60..120).contains(&counts["fine"]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_by_key(&self, fractions: impl IntoIterator<Item = (K, f64)>, seed: u64) -> Rdd<(K, V)> {
        let fractions: BTreeMap<K, f64> = fractions.into_iter().collect();
        if let Some(wrong) = fractions.values().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
            let why = format_args!("{wrong} is not a part of the whole");
            return refused(self.engine(), "sample_by_key", why);
        }
        self.narrow_in_place(&OperatorSpec::new::<DrawnByKey<K, V>>("sample_by_key", &(seed, fractions)))
    }
}
