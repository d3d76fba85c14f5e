use std::marker::PhantomData;

use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    shuffle::split_by_key,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records of all pieces sorted by key; records of a key stay in order.
struct SortByKey<K, V>(PhantomData<fn(K, V)>);

impl<K: Key + Ord, V: Record> Operator for SortByKey<K, V> {
    type Env = ();
    type Out = (K, V);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        let mut all: Vec<(K, V)> = Vec::new();
        node.pieces::<Vec<(K, V)>>(0, partition, |piece| {
            node.call(|| all.extend_from_slice(piece));
            Flow::Continue(())
        })?;
        node.call(|| all.sort_by(|a, b| a.0.cmp(&b.0)));
        all.into_iter().try_for_each(emit)
    }
}

/// Records dealt out to the partitions that a function chooses for their keys.
struct SplitByChoice<K, V, E, F>(u32, E, F, PhantomData<fn(K, V)>);

impl<K: Key, V: Record, E: Record, F: Fn(&E, &K) -> u32 + Portable> Operator for SplitByChoice<K, V, E, F> {
    type Env = (u32, E);
    type Out = Vec<(K, V)>;

    fn rebuild((partitions, values): (u32, E)) -> Self {
        Self(partitions, values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let Self(partitions, values, choose, _) = self;
        let mut pieces: Vec<Vec<(K, V)>> = (0..*partitions).map(|_| Vec::new()).collect();
        node.each::<(K, V)>(0, partition, &mut |(key, value)| {
            let chosen = node.call(|| choose(values, &key));
            match pieces.get_mut(chosen as usize) {
                Some(piece) => piece.push((key, value)),
                None => {
                    return node.refuse(format_args!("partition {chosen} was chosen of only {partitions}"));
                }
            }
            Flow::Continue(())
        })?;
        pieces.into_iter().try_for_each(emit)
    }
}

const NAME: &str = "repartition_and_sort_within_partitions";

impl<K: Key + Ord, V: Record, E: Record> With<Rdd<(K, V)>, E> {
    /// [`Rdd::repartition_and_sort_within_partitions_by`] with the values handed over.
    #[track_caller]
    pub fn repartition_and_sort_within_partitions_by<F>(self, partitions: u32, _choose: F) -> Rdd<(K, V)>
    where
        F: Fn(&E, &K) -> u32 + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let partitions = partitions.max(1);
        let split = OperatorSpec::new::<SplitByChoice<K, V, E, F>>(NAME, &(partitions, self.values));
        let sort = OperatorSpec::new::<SortByKey<K, V>>(NAME, &());
        self.of.pieces(&split, partitions).shuffled(&sort, None)
    }
}

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// The same records in `partitions` partitions by key, each sorted by key; records of a key stay
    /// in order (`api.md` §12). It costs one shuffle, where
    /// [`partition_by`](Self::partition_by) and a sort afterwards would look at everything twice.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let sorted = ctx.parallelize([(3, 'c'), (1, 'a'), (2, 'b')]).repartition_and_sort_within_partitions(1);
    /// assert_eq!(sorted.collect()?, [(1, 'a'), (2, 'b'), (3, 'c')]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition_and_sort_within_partitions(&self, partitions: u32) -> Rdd<(K, V)> {
        let split = split_by_key(NAME, partitions.max(1), self.engine().key_groups());
        let (pieces, partitioner) = split(self);
        pieces.shuffled(&OperatorSpec::new::<SortByKey<K, V>>(NAME, &()), Some(partitioner))
    }

    /// The same with the program choosing: `choose` says in which of `partitions` partitions, counted
    /// from 0, the records of a key belong (`api.md` §12).
    ///
    /// # Errors
    /// The action that uses it fails if `choose` answers with a partition that there is not.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let halves = ctx
    ///     .parallelize([(3u32, 'c'), (2, 'b'), (1, 'a'), (0, 'z')])
    ///     .repartition_and_sort_within_partitions_by(2, |n| n % 2);
    /// assert_eq!(halves.collect_partitions()?, [[(0, 'z'), (2, 'b')], [(1, 'a'), (3, 'c')]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition_and_sort_within_partitions_by<F>(&self, partitions: u32, choose: F) -> Rdd<(K, V)>
    where
        F: Fn(&K) -> u32 + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).repartition_and_sort_within_partitions_by(partitions, move |(), key| choose(key))
    }
}
