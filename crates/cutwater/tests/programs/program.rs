//! Programs as expressions.

use proptest::prelude::*;

/// An expression over two sources.
#[derive(Clone, Debug)]
pub enum Program {
    Source(usize),
    One(One, Box<Program>),
    Both(Both, Box<Program>, Box<Program>),
}

/// Operations on one stream. What their functions compute is said in `reference`.
#[derive(Clone, Copy, Debug)]
pub enum One {
    Map,
    Filter,
    FlatMap,
    ReduceByKey,
    GroupByKey,
    CountByValue,
    /// Needs a dataset at every time.
    Transform,
    Window(Span),
    ReduceByKeyAndWindow(Span),
    ReduceByKeyAndWindowInverse(Span),
    RunningReduce,
    UpdateStateByKey,
}

/// Operations on two streams of the same slide that need a dataset of each.
#[derive(Clone, Copy, Debug)]
pub enum Both {
    Union,
    Join,
    LeftOuterJoin,
}

/// A window, in slides of the stream that it is over. It may slide by more than it is long.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub window: usize,
    pub slide: usize,
}

impl Program {
    /// Two to four operations from a source to the answer.
    pub fn any() -> impl Strategy<Value = Self> {
        (2..=4u32).prop_flat_map(Self::of_depth)
    }

    fn of_depth(depth: u32) -> BoxedStrategy<Self> {
        if depth == 0 {
            return (0..2usize).prop_map(Self::Source).boxed();
        }
        let below = || Self::of_depth(depth - 1).prop_map(Box::new);
        let one = (one(), below()).prop_map(|(operation, of)| Self::One(operation, of));
        let both = (both(), below(), below()).prop_map(|(operation, a, b)| Self::Both(operation, a, b));
        prop_oneof![3 => one, 1 => both].boxed()
    }
}

fn one() -> impl Strategy<Value = One> {
    // Slides are powers of two, so that of two the longer is a multiple of the other.
    let span = || (1..=3usize, 1..=2usize).prop_map(|(window, slide)| Span { window, slide });
    prop_oneof![
        Just(One::Map),
        Just(One::Filter),
        Just(One::FlatMap),
        Just(One::ReduceByKey),
        Just(One::GroupByKey),
        Just(One::CountByValue),
        Just(One::Transform),
        span().prop_map(One::Window),
        span().prop_map(One::ReduceByKeyAndWindow),
        span().prop_map(One::ReduceByKeyAndWindowInverse),
        Just(One::RunningReduce),
        Just(One::UpdateStateByKey),
    ]
}

fn both() -> impl Strategy<Value = Both> {
    prop_oneof![Just(Both::Union), Just(Both::Join), Just(Both::LeftOuterJoin)]
}
