use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    runtime::Engine,
    task::{Emit, Flow, Node, Operator, OperatorSpec, labelled},
};

/// Says why there are no records.
struct Refused<T>(String, PhantomData<fn(T)>);

impl<T: Record> Operator for Refused<T> {
    type Env = String;
    type Out = T;

    fn rebuild(why: String) -> Self {
        Self(why, PhantomData)
    }

    fn run(&self, node: Node<'_>, _: u32, _: &mut Emit<'_, T>) -> Flow {
        node.refuse(&self.0)
    }
}

/// The answer of an operation that was asked for something that cannot be (a sample of 300 %, two
/// datasets zipped that do not fit): a dataset of one partition whose computation fails with the
/// reason and the place of the operation.
///
/// The alternative, to answer each such operation with a `Result`, would put a `?` behind every
/// call for the sake of the one that is wrong; an action returns a `Result` anyway.
#[track_caller]
pub(super) fn refused<T: Record>(engine: &Arc<Engine>, name: &str, why: impl fmt::Display) -> Rdd<T> {
    refused_at(engine, labelled(name).into(), why)
}

/// The same in the name of an operation that was called long ago.
pub(super) fn refused_at<T: Record>(engine: &Arc<Engine>, label: Arc<str>, why: impl fmt::Display) -> Rdd<T> {
    let spec = OperatorSpec::of::<Refused<T>>(label, &why.to_string());
    DatasetNode::narrow(engine, 1, Vec::new(), &spec.any).of(&spec)
}
