use std::{cmp::Reverse, collections::BinaryHeap, marker::PhantomData};

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, on_master},
};

/// The records of a partition that are highest by a function of them, the highest first.
struct Top<T, O, E, F>(u64, E, F, PhantomData<fn(T) -> O>);

impl<T: Record, O: Ord + 'static, E: Record, F: Fn(&E, &T) -> O + Portable> Operator for Top<T, O, E, F> {
    type Env = (u64, E);
    type Out = T;

    fn rebuild((n, values): Self::Env) -> Self {
        Self(n, values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut highest = Highest::new(self.0);
        node.each(0, partition, &mut |record| {
            node.call(|| highest.offer((self.2)(&self.1, &record), record));
            Flow::Continue(())
        })?;
        highest.into_sorted().try_for_each(emit)
    }
}

/// The `n` highest of what it is offered; of equals, those offered first.
pub(super) struct Highest<O, T> {
    n: u64,
    offered: u64,
    heap: BinaryHeap<Reverse<Ranked<O, T>>>,
}

impl<O: Ord, T> Highest<O, T> {
    pub fn new(n: u64) -> Self {
        Self { n, offered: 0, heap: BinaryHeap::new() }
    }

    pub fn offer(&mut self, rank: O, record: T) {
        let order = Reverse(self.offered);
        self.offered += 1;
        if (self.heap.len() as u64) < self.n {
            self.heap.push(Reverse(Ranked { rank, order, record }));
        } else if let Some(mut lowest) = self.heap.peek_mut()
            && lowest.0.rank < rank
        {
            *lowest = Reverse(Ranked { rank, order, record });
        }
    }

    pub fn into_sorted(self) -> impl Iterator<Item = T> {
        // Ascending by `Reverse` is descending by rank.
        self.heap.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.record)
    }
}

struct Ranked<O, T> {
    rank: O,
    order: Reverse<u64>,
    record: T,
}

impl<O: Ord, T> Ord for Ranked<O, T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank).then_with(|| self.order.cmp(&other.order))
    }
}

impl<O: Ord, T> PartialOrd for Ranked<O, T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: Ord, T> PartialEq for Ranked<O, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<O: Ord, T> Eq for Ranked<O, T> {}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::top_by`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn top_by<O, F>(self, n: usize, f: F) -> Result<Vec<T>, Error>
    where
        O: Ord + 'static,
        F: Fn(&E, &T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        let spec = OperatorSpec::new::<Top<T, O, E, F>>("top", &(n as u64, values.clone()));
        let candidates = of.narrow(&spec).collect()?;
        let choose = || {
            let mut highest = Highest::new(n as u64);
            for record in candidates {
                highest.offer(f(&values, &record), record);
            }
            Ok(highest.into_sorted().collect())
        };
        on_master(choose).map_err(|error| error.at(&spec.any.label))
    }
}

impl<T: Record> Rdd<T> {
    /// The `n` records for which `f` is highest, the highest first; of equals, the earlier ones.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let counts = ctx.parallelize([('a', 3), ('b', 9), ('c', 5)]);
    /// assert_eq!(counts.top_by(2, |c| c.1)?, [('b', 9), ('c', 5)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn top_by<O, F>(&self, n: usize, f: F) -> Result<Vec<T>, Error>
    where
        O: Ord + 'static,
        F: Fn(&T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).top_by(n, move |(), record| f(record))
    }

    /// The `n` greatest records, the greatest first.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([5, 1, 9, 7]).top(2)?, [9, 7]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn top(&self, n: usize) -> Result<Vec<T>, Error>
    where
        T: Ord,
    {
        self.top_by(n, |record| record.clone())
    }
}
