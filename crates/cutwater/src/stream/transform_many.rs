use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::Time;

use super::{AnyStream, StreamNode};
use crate::{
    Context, DStream, Error, Record,
    rdd::Rdd,
    task::{labelled, on_master},
};

/// Streams that are transformed together by [`Context::transform`]: a tuple of two to six, or, where
/// all hold the same kind of record, an array or a vector.
pub trait Streams: sealed::Sealed {
    /// Their datasets at one time, in the same order.
    type Rdds;

    /// The streams as the graph holds them.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn split(self) -> (Vec<Arc<dyn AnyStream>>, At<Self::Rdds>);
}

/// Answers with all datasets at a time.
#[doc(hidden)]
pub type At<R> = Box<dyn Fn(Time) -> Result<R, Error> + Send + Sync>;

mod sealed {
    pub trait Sealed {}
}

impl<T: Record> sealed::Sealed for Vec<DStream<T>> {}

impl<T: Record> Streams for Vec<DStream<T>> {
    type Rdds = Vec<Rdd<T>>;

    #[allow(private_interfaces)]
    fn split(self) -> (Vec<Arc<dyn AnyStream>>, At<Vec<Rdd<T>>>) {
        let nodes: Vec<Arc<StreamNode<T>>> = self.into_iter().map(|stream| stream.node).collect();
        let any = nodes.iter().map(|node| node.clone() as _).collect();
        (any, Box::new(move |t| nodes.iter().map(|node| node.required(t)).collect()))
    }
}

impl<T: Record, const N: usize> sealed::Sealed for [DStream<T>; N] {}

impl<T: Record, const N: usize> Streams for [DStream<T>; N] {
    type Rdds = Vec<Rdd<T>>;

    #[allow(private_interfaces)]
    fn split(self) -> (Vec<Arc<dyn AnyStream>>, At<Vec<Rdd<T>>>) {
        Vec::from(self).split()
    }
}

macro_rules! tuples {
    ($($name:ident: $T:ident),*) => {
        impl<$($T: Record),*> sealed::Sealed for ($(DStream<$T>,)*) {}

        impl<$($T: Record),*> Streams for ($(DStream<$T>,)*) {
            type Rdds = ($(Rdd<$T>,)*);

            #[allow(private_interfaces)]
            fn split(self) -> (Vec<Arc<dyn AnyStream>>, At<Self::Rdds>) {
                let ($($name,)*) = self;
                let any: Vec<Arc<dyn AnyStream>> = vec![$($name.node.clone()),*];
                (any, Box::new(move |t| Ok(($($name.node.required(t)?,)*))))
            }
        }
    };
}

tuples!(a: A, b: B);
tuples!(a: A, b: B, c: C);
tuples!(a: A, b: B, c: C, d: D);
tuples!(a: A, b: B, c: C, d: D, e: E);
tuples!(a: A, b: B, c: C, d: D, e: E, f: F);

impl Context {
    /// What `f` makes of the datasets of several streams, interval by interval (`api.md` §2). The streams
    /// are a tuple, or an array or vector where they hold the same kind of record; `f` is given their
    /// datasets in the same shape (an array's as a vector). It runs on the master, so it may capture what
    /// it likes.
    ///
    /// The streams are of this context and have the same slide; if not, or if there are none, the program
    /// does not start. If one of them has no dataset, or if `f` answers with an error, the interval fails (§4.6,
    /// §4.7).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let names = harness.input([vec![(7, 'n')], vec![(8, 'm')]]);
    /// let (a, b) = (harness.input([vec![7], vec![]]), harness.input([vec![7], vec![8]]));
    /// let ids = harness.ctx().transform([a, b], |ids, _| Ok(ids[0].union(&ids[1])));
    /// let named = harness.ctx().transform((names, ids), |(names, ids), _| {
    ///     Ok(names.join(&ids.map(|id| (id, ()))).map(|(id, (name, ()))| (id, name)))
    /// });
    /// assert_eq!(harness.run(&named, 2)?, [vec![(7, 'n'), (7, 'n')], vec![(8, 'm')]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn transform<S, B, F>(&self, streams: S, f: F) -> DStream<B>
    where
        S: Streams<Rdds: 'static>,
        B: Record,
        F: FnMut(S::Rdds, Time) -> Result<Rdd<B>, Error> + Send + 'static,
    {
        let ((nodes, at), f) = (streams.split(), Mutex::new(f));
        let slides: Vec<_> = nodes.iter().map(|node| node.slide()).collect();
        let slide = self.same_slide("transform", &slides);
        let parents = nodes.into_iter().map(|node| (node, Duration::ZERO)).collect();
        let label = labelled("transform");
        self.stream("transform", slide, parents, move |t| {
            let rdds = at(t)?;
            let mut f = f.lock().unwrap_or_else(PoisonError::into_inner);
            on_master(|| f(rdds, t)).map(Some).map_err(|error| error.at(&label))
        })
    }
}

impl<T: Record> DStream<T> {
    /// What `f` makes of the datasets of this stream and another, interval by interval (`api.md` §3):
    /// [`transform`](Self::transform) of two. The rules are those of [`Context::transform`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let (all, spam) = (harness.input([vec![1, 2, 3]]), harness.input([vec![2]]));
    /// let ham = all.transform_with(&spam, |all, spam, _| {
    ///     let spam = spam.collect()?;
    ///     Ok(all.with(spam).filter(|spam, id| !spam.contains(id)))
    /// });
    /// assert_eq!(harness.run(&ham, 1)?, [[1, 3]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn transform_with<W, B, F>(&self, other: &DStream<W>, mut f: F) -> DStream<B>
    where
        W: Record,
        B: Record,
        F: FnMut(Rdd<T>, Rdd<W>, Time) -> Result<Rdd<B>, Error> + Send + 'static,
    {
        self.ctx.transform((self.clone(), other.clone()), move |(a, b), t| f(a, b, t))
    }
}
