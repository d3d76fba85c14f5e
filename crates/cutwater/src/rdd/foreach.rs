use std::marker::PhantomData;

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function called with every record for what it does besides.
struct Foreach<T, E, F>(E, F, PhantomData<fn(T)>);

impl<T: Record, E: Record, F: Fn(&E, T) + Portable> Operator for Foreach<T, E, F> {
    type Env = E;
    type Out = ();

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, _: &mut Emit<'_, ()>) -> Flow {
        let Self(values, f, _) = self;
        node.each(0, partition, &mut |record| {
            node.call(|| f(values, record));
            Flow::Continue(())
        })
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::foreach`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn foreach<F: Fn(&E, T) + Portable>(self, _f: F) -> Result<(), Error> {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<Foreach<T, E, F>>("foreach", &self.values);
        self.of.narrow(&spec).compute().map(drop)
    }
}

impl<T: Record> Rdd<T> {
    /// Calls `f` with every record, where the record is. A task that fails is run again, so a record
    /// may be seen more than once.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// # let ctx = Context::local(2);
    /// static SUM: AtomicU32 = AtomicU32::new(0);
    /// ctx.parallelize([1, 2, 3]).foreach(|n| { SUM.fetch_add(n, Relaxed); })?;
    /// assert_eq!(SUM.load(Relaxed), 6);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn foreach<F: Fn(T) + Portable>(&self, f: F) -> Result<(), Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).foreach(move |(), record| f(record))
    }
}
