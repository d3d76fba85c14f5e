use std::{any::Any, marker::PhantomData, sync::Arc};

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    shuffle::BATCH,
    stream::DStream,
    task::{Emit, Flow, KeyLender, LENT_RECORDS, Node, Operator, OperatorSpec},
};

/// Pairs that a function takes out of each record, with keys that lie in the record.
struct Pairs<T, V, E, F> {
    values: Arc<E>,
    f: F,
    lender: KeyLender<V>,
    types: PhantomData<fn(T)>,
}

impl<T, V, E, F> Operator for Pairs<T, V, E, F>
where
    T: Record,
    V: Record,
    E: Record,
    F: for<'a> Fn(&'a E, &'a T, &mut dyn FnMut(&'a str, V)) + Portable,
{
    type Env = E;
    type Out = (String, V);

    fn rebuild(values: E) -> Self {
        let (values, f) = (Arc::new(values), closure::conjure::<F>());
        let env = values.clone();
        let lender = KeyLender::new(move |node, partition, take| {
            gathered(node, partition, |records| {
                let mut pairs = Vec::with_capacity(BATCH);
                let mut flow = Flow::Continue(());
                for record in records {
                    // A record may have more pairs than there is room for.
                    let mut emit = |key, value| {
                        pairs.push((key, value));
                        if pairs.len() == BATCH {
                            if flow.is_continue() {
                                flow = take(&mut pairs);
                            }
                            pairs.clear();
                        }
                    };
                    node.call(|| f(&env, record, &mut emit));
                }
                flow?;
                take(&mut pairs)
            })
        });
        Self { values, f, lender, types: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (String, V)>) -> Flow {
        let mut pairs = Vec::new();
        node.lent(0, partition, &mut |records| {
            for record in records {
                let mut put = |key: &str, value| pairs.push((key.to_owned(), value));
                node.call(|| (self.f)(&self.values, record, &mut put));
                pairs.drain(..).try_for_each(&mut *emit)?;
            }
            Flow::Continue(())
        })
    }

    fn key_lender(&self) -> Option<&dyn Any> {
        Some(&self.lender)
    }
}

/// The records of a partition of the parent, some at a time even if it does not lend them, so that their
/// keys can be looked up together.
fn gathered<T: Record>(node: Node<'_>, partition: u32, mut look: impl FnMut(&[T]) -> Flow) -> Flow {
    if node.lends(0) {
        return node.lent(0, partition, &mut look);
    }
    let mut records = Vec::with_capacity(LENT_RECORDS);
    node.each(0, partition, &mut |record| {
        records.push(record);
        if records.len() == LENT_RECORDS {
            look(&records)?;
            records.clear();
        }
        Flow::Continue(())
    })?;
    look(&records)
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::pairs`] with the values handed over. Keys may lie in the values, too.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let lines = ctx.parallelize(["to be", "or not to be"].map(String::from));
    /// let known = vec!["to".to_owned(), "not".to_owned()];
    /// let found = lines.with(known).pairs(|known, line, emit| {
    ///     known.iter().filter(|word| line.contains(*word)).for_each(|word| emit(word, 1));
    /// });
    /// let counts = found.reduce_by_key(|a, b| a + b);
    /// assert_eq!(counts.collect()?, [("to".to_owned(), 2), ("not".to_owned(), 1)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn pairs<V, F>(self, _f: F) -> C::Of<(String, V)>
    where
        V: Record,
        F: for<'a> Fn(&'a E, &'a C::Item, &mut dyn FnMut(&'a str, V)) + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<Pairs<C::Item, V, E, F>>("pairs", &self.values);
        self.of.derive("pairs", move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Pairs with text as keys: all that `f` emits for each record, the key a piece of the record.
    ///
    /// What combines them by key (`reduce_by_key` and its kin) looks the key up where it lies, and makes a
    /// `String` only of a key that it has not seen; the record itself is only looked at. Anything else
    /// has them as `(String, V)`.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let lines = ctx.parallelize(["to be", "or not to be"].map(String::from));
    /// let words = lines.pairs(|line, emit| for word in line.split(' ') { emit(word, 1) });
    /// let mut counts = words.reduce_by_key(|a, b| a + b).collect()?;
    /// counts.sort();
    /// assert_eq!(counts, [("be", 2), ("not", 1), ("or", 1), ("to", 2)].map(|(w, n)| (w.to_owned(), n)));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn pairs<V, F>(&self, f: F) -> Rdd<(String, V)>
    where
        V: Record,
        F: for<'a> Fn(&'a T, &mut dyn FnMut(&'a str, V)) + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).pairs(move |(), record, emit| f(record, emit))
    }
}

impl<T: Record> DStream<T> {
    /// Pairs with text as keys: all that `f` emits for each record, the key a piece of the record.
    ///
    /// What combines them by key (`reduce_by_key`, `running_reduce`, `reduce_by_key_and_window` and their
    /// kin) looks the key up where it lies, and makes a `String` only of a key that it has not seen; the
    /// record itself is only looked at. Anything else has them as `(String, V)`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let lines = harness.input([vec!["to be".to_owned(), "to do".to_owned()], vec!["or".to_owned()]]);
    /// let words = lines.pairs(|line, emit| for word in line.split(' ') { emit(word, 1u64) });
    /// let counts = words.reduce_by_key(|a, b| a + b);
    /// let (first, second) = ([("to", 2), ("be", 1), ("do", 1)], [("or", 1)]);
    /// let owned = |counts: &[(&str, u64)]| counts.iter().map(|(w, n)| (w.to_string(), *n)).collect::<Vec<_>>();
    /// assert_eq!(harness.run(&counts, 2)?, [owned(&first), owned(&second)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn pairs<V, F>(&self, f: F) -> DStream<(String, V)>
    where
        V: Record,
        F: for<'a> Fn(&'a T, &mut dyn FnMut(&'a str, V)) + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).pairs(move |(), record, emit| f(record, emit))
    }
}
