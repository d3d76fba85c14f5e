use std::marker::PhantomData;

use super::aggregate::FoldPartition;
use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, on_master},
};

/// What a partition came to, given to the group that it belongs to: neighbours are of one group.
struct ToGroup<U>(u32, u32, PhantomData<fn(U)>);

impl<U: Record> Operator for ToGroup<U> {
    type Env = (u32, u32);
    type Out = Vec<U>;

    fn rebuild((groups, partitions): (u32, u32)) -> Self {
        Self(groups, partitions, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<U>>) -> Flow {
        let mut partial = Vec::new();
        node.each(0, partition, &mut |record| {
            partial.push(record);
            Flow::Continue(())
        })?;
        let own = group_of(partition, self.1, self.0);
        (0..self.0).try_for_each(|g| emit(if g == own { std::mem::take(&mut partial) } else { Vec::new() }))
    }
}

/// Which of `groups` ranges of `partitions` one is in; group g begins at ⌊g·partitions/groups⌋.
fn group_of(partition: u32, partitions: u32, groups: u32) -> u32 {
    (((u64::from(partition) + 1) * u64::from(groups) - 1) / u64::from(partitions.max(1))) as u32
}

/// What the partitions of a group came to, put together in their order.
struct MergeGroup<U, E, F>(E, F, PhantomData<fn(U)>);

impl<U: Record, E: Record, F: Fn(&E, U, U) -> U + Portable> Operator for MergeGroup<U, E, F> {
    type Env = E;
    type Out = U;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, U>) -> Flow {
        let Self(values, merge, _) = self;
        let mut merged: Option<U> = None;
        node.pieces::<Vec<U>>(0, partition, |piece| {
            for partial in piece {
                merged = Some(node.call(|| match merged.take() {
                    Some(so_far) => merge(values, so_far, partial.clone()),
                    None => partial.clone(),
                }));
            }
            Flow::Continue(())
        })?;
        merged.map_or(Flow::Continue(()), emit)
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::tree_aggregate`] with the values handed over, to both functions.
    ///
    /// # Errors
    /// Those of [`Rdd::tree_aggregate`].
    #[track_caller]
    pub fn tree_aggregate<U, F, G>(self, zero: U, _add: F, merge: G, depth: u32) -> Result<U, Error>
    where
        U: Record,
        F: Fn(&E, U, T) -> U + Portable,
        G: Fn(&E, U, U) -> U + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        let name = "tree_aggregate";
        if depth == 0 {
            return Err(Error::user(format_args!("`{name}` in a tree of no levels: give it at least one")));
        }
        let fold = OperatorSpec::new::<FoldPartition<T, U, E, F>>(name, &(zero.clone(), self.values.clone()));
        let join = OperatorSpec::new::<MergeGroup<U, E, G>>(name, &self.values);
        let mut level = self.of.narrow(&fold);
        let fan_in = fan_in(level.num_partitions(), depth);
        // Another level pays only while it leaves the master less to do than it adds.
        while level.num_partitions() > fan_in.saturating_add(level.num_partitions().div_ceil(fan_in)) {
            let (partitions, groups) = (level.num_partitions(), level.num_partitions() / fan_in);
            let split = OperatorSpec::new::<ToGroup<U>>(name, &(groups, partitions));
            level = level.pieces(&split, groups).shuffled(&join, None);
        }
        let partials = level.collect()?;
        let last = || Ok(partials.into_iter().fold(zero, |so_far, next| merge(&self.values, so_far, next)));
        on_master(last).map_err(|error| error.at(&join.any.label))
    }
}

/// How many of a level are put together so that `depth` levels are enough for `partitions`.
fn fan_in(partitions: u32, depth: u32) -> u32 {
    (f64::from(partitions).powf(1.0 / f64::from(depth)).ceil() as u32).max(2)
}

impl<T: Record> Rdd<T> {
    /// As [`aggregate`](Self::aggregate), with the results of partitions put together on the workers
    /// first, neighbours with neighbours, in a tree of about `depth` levels; 2 is usual. It pays when
    /// there are many partitions and what each comes to is large, since the master then sees only the
    /// last level. `zero` is applied once for each partition and once more at the end (`api.md` §12).
    ///
    /// # Errors
    /// `depth` is 0, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let numbers = ctx.parallelize_into(20, 1..=100u64);
    /// assert_eq!(numbers.tree_aggregate(0, |sum, n| sum + n, |a, b| a + b, 2)?, 5050);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn tree_aggregate<U, F, G>(&self, zero: U, add: F, merge: G, depth: u32) -> Result<U, Error>
    where
        U: Record,
        F: Fn(U, T) -> U + Portable,
        G: Fn(U, U) -> U + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        let merge = move |(): &(), a, b| merge(a, b);
        self.with(()).tree_aggregate(zero, move |(), so_far, record| add(so_far, record), merge, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    #[test]
    fn groups_are_neighbours_and_none_is_left_out() {
        for partitions in 1..40 {
            for groups in 1..=partitions {
                let of: Vec<_> = (0..partitions).map(|p| group_of(p, partitions, groups)).collect();
                let start = |g: u32| g * partitions / groups;
                for (p, g) in (0..).zip(of) {
                    assert!(start(g) <= p && p < start(g + 1), "{p} of {partitions} in {groups}");
                }
            }
        }
    }

    /// Merging need not be commutative: what comes first stays first.
    #[test]
    fn order_is_kept_at_every_depth() {
        let ctx = Context::local(2);
        let letters = ctx.parallelize_into(23, ('a'..='z').map(String::from));
        for depth in 1..6 {
            let text = letters.tree_aggregate(String::new(), |a, b| a + &b, |a, b| a + &b, depth).unwrap();
            assert_eq!(text, ('a'..='z').collect::<String>());
        }
    }
}
