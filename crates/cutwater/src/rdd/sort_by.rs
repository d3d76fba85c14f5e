use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::{Partitioner, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec, on_master},
};

/// Keys looked at in each partition to find where to cut: enough that partitions of the result
/// differ little in size, few enough to bring to the master.
const SAMPLES_PER_PARTITION: usize = 256;

/// Keys of a partition at even distances, each with how many records it stands for.
struct Sample<T, O, E, F>(E, F, PhantomData<fn(T) -> O>);

impl<T: Record, O: Record + Ord, E: Record, F: Fn(&E, &T) -> O + Portable> Operator for Sample<T, O, E, F> {
    type Env = E;
    type Out = (O, u64);

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (O, u64)>) -> Flow {
        let (mut sample, mut stride, mut seen) = (Vec::new(), 1u64, 0u64);
        node.each::<T>(0, partition, &mut |record| {
            if seen.is_multiple_of(stride) {
                if sample.len() == SAMPLES_PER_PARTITION {
                    // Every second one goes; what is left is at double the distance.
                    let mut index = 0;
                    sample.retain(|_| (index % 2 == 0, index += 1).0);
                    stride *= 2;
                }
                if seen.is_multiple_of(stride) {
                    sample.push(node.call(|| (self.1)(&self.0, &record)));
                }
            }
            seen += 1;
            Flow::Continue(())
        })?;
        sample.into_iter().try_for_each(|key| emit((key, stride)))
    }
}

/// Records dealt out by where their key lies between the bounds.
struct SplitByRange<T, O, E, F>(Vec<O>, E, F, PhantomData<fn(T)>);

impl<T, O, E, F> Operator for SplitByRange<T, O, E, F>
where
    T: Record,
    O: Record + Ord,
    E: Record,
    F: Fn(&E, &T) -> O + Portable,
{
    type Env = (Vec<O>, E);
    type Out = Vec<T>;

    fn rebuild((bounds, values): Self::Env) -> Self {
        Self(bounds, values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<T>>) -> Flow {
        let Self(bounds, values, f, _) = self;
        let mut pieces: Vec<Vec<T>> = (0..=bounds.len()).map(|_| Vec::new()).collect();
        node.each::<T>(0, partition, &mut |record| {
            let at = node.call(|| {
                let key = f(values, &record);
                bounds.partition_point(|bound| *bound < key)
            });
            pieces[at].push(record);
            Flow::Continue(())
        })?;
        pieces.into_iter().try_for_each(emit)
    }
}

/// The records of all pieces sorted; equal keys stay in order.
struct Sort<T, O, E, F>(E, F, PhantomData<fn(T) -> O>);

impl<T: Record, O: Ord + 'static, E: Record, F: Fn(&E, &T) -> O + Portable> Operator for Sort<T, O, E, F> {
    type Env = E;
    type Out = T;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut all = Vec::new();
        node.pieces::<Vec<T>>(0, partition, |piece| {
            node.call(|| all.extend_from_slice(piece));
            Flow::Continue(())
        })?;
        node.call(|| all.sort_by_cached_key(|record| (self.1)(&self.0, record)));
        all.into_iter().try_for_each(emit)
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::sort_by`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`Rdd::sort_by`].
    #[track_caller]
    pub fn sort_by<O, F>(self, f: F) -> Result<Rdd<T>, Error>
    where
        O: Record + Ord,
        F: Fn(&E, &T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let partitions = self.of.num_partitions();
        self.sort_by_into(partitions, f)
    }

    /// The same into at most the given number of partitions.
    ///
    /// # Errors
    /// Those of [`Rdd::sort_by`].
    #[track_caller]
    pub fn sort_by_into<O, F>(self, partitions: u32, _f: F) -> Result<Rdd<T>, Error>
    where
        O: Record + Ord,
        F: Fn(&E, &T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        let sample = OperatorSpec::new::<Sample<T, O, E, F>>("sort_by", &values);
        let bounds = if partitions > 1 {
            let sampled = of.narrow(&sample).collect()?;
            on_master(|| Ok(bounds(sampled, partitions))).map_err(|error| error.at(&sample.any.label))?
        } else {
            Vec::new()
        };
        let pieces = bounds.len() as u32 + 1;
        let env = (bounds, values);
        let split = OperatorSpec::new::<SplitByRange<T, O, E, F>>("sort_by", &env);
        let sort = OperatorSpec::new::<Sort<T, O, E, F>>("sort_by", &env.1);
        static SAMPLES: AtomicU64 = AtomicU64::new(0);
        let partitioner = Partitioner::Ranges { sample: SAMPLES.fetch_add(1, Ordering::Relaxed) };
        Ok(of.pieces(&split, pieces).shuffled(&sort, Some(partitioner)))
    }
}

impl<T: Record> Rdd<T> {
    /// All records sorted by `f` of them; equals stay in order. Wrap a key in
    /// [`Reverse`](std::cmp::Reverse) to sort downwards.
    ///
    /// A sample of the keys is taken at once, by a job of its own, to cut the result into
    /// partitions of about the same size.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect), met while sampling.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sorted = ctx.parallelize(["pear", "fig", "apple"].map(String::from)).sort_by(|s| s.len())?;
    /// assert_eq!(sorted.collect()?, ["fig", "pear", "apple"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sort_by<O, F>(&self, f: F) -> Result<Rdd<T>, Error>
    where
        O: Record + Ord,
        F: Fn(&T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.sort_by_into(self.num_partitions(), f)
    }

    /// The same into at most the given number of partitions.
    ///
    /// # Errors
    /// Those of [`sort_by`](Self::sort_by).
    #[track_caller]
    pub fn sort_by_into<O, F>(&self, partitions: u32, f: F) -> Result<Rdd<T>, Error>
    where
        O: Record + Ord,
        F: Fn(&T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).sort_by_into(partitions, move |(), record| f(record))
    }
}

/// The keys at which to cut so that `partitions` parts weigh about the same; fewer if there are
/// not that many keys.
fn bounds<O: Ord>(mut sample: Vec<(O, u64)>, partitions: u32) -> Vec<O> {
    sample.sort_by(|a, b| a.0.cmp(&b.0));
    let total: u64 = sample.iter().map(|(_, weight)| weight).sum();
    let (mut bounds, mut weight) = (Vec::new(), 0);
    for (key, more) in sample {
        weight += more;
        let wanted = bounds.len() as u64 + 1;
        let enough = weight * u64::from(partitions) >= total * wanted;
        if enough && wanted < u64::from(partitions) && bounds.last() != Some(&key) {
            bounds.push(key);
        }
    }
    bounds
}
