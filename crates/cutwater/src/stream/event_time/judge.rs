//! Which records are late, decided in one place for the windows and for the stream of late records, so
//! that every record is in the one or the other and counted once.

use std::{marker::PhantomData, time::Duration};

use cutwater_core::{PartitionMap, Time};

use super::{
    watermark::{Watermark, read},
    window::Windows,
};
use crate::{
    DStream, Record,
    collection::Collection,
    rdd::DatasetNode,
    stream::Parent,
    task::{Emit, Finding, Flow, Node, Operator, OperatorSpec},
};

/// A record, its time, and whether it came too late for all its windows.
pub(super) type Judged<T> = (bool, Time, T);

struct Judge<T> {
    windows: Windows,
    number: usize,
    record: PhantomData<fn(T)>,
}

impl<T: Record> Operator for Judge<T> {
    type Env = (Windows, usize);
    type Out = Judged<T>;

    fn rebuild((windows, number): Self::Env) -> Self {
        Self { windows, number, record: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Judged<T>>) -> Flow {
        let watermark: Watermark = node.only(1, partition)?.unwrap_or_default();
        let mut records = 0;
        node.each::<(Time, T)>(0, partition, &mut |(time, record)| {
            let last = self.windows.ends(time).next();
            let late = last.is_some_and(|end| self.windows.is_closed(end, watermark.before));
            records += u64::from(late);
            emit((late, time, record))
        })?;
        node.report(partition, Finding::Late { windows: self.number, records });
        Flow::Continue(())
    }
}

/// `stamped` with each record judged by where the watermark was before its interval.
#[track_caller]
pub(super) fn judged<T: Record>(
    stamped: &DStream<(Time, T)>,
    watermarks: &DStream<Watermark>,
    windows: Windows,
    number: usize,
) -> DStream<Judged<T>> {
    let spec = OperatorSpec::new::<Judge<T>>("window", &(windows, number));
    let (records, watermarks) = (stamped.node.clone(), watermarks.node.clone());
    let parents: Vec<Parent> = vec![(records.clone(), Duration::ZERO), (watermarks.clone(), Duration::ZERO)];
    stamped.ctx.stream("window", stamped.slide(), parents, move |t| {
        let Some(records) = records.at(t)? else { return Ok(None) };
        let watermark = watermarks.required(t)?;
        let parents = vec![(records.node().clone(), PartitionMap::Same), read(&watermark)];
        let node = DatasetNode::narrow(records.engine(), records.num_partitions(), parents, &spec.any);
        Ok(Some(node.of(&spec)))
    })
}

struct Late<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Late<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.each::<Judged<T>>(0, partition, &mut |(late, _, record)| {
            if late { emit(record) } else { Flow::Continue(()) }
        })
    }
}

#[track_caller]
pub(super) fn late<T: Record>(judged: &DStream<Judged<T>>) -> DStream<T> {
    let spec = OperatorSpec::new::<Late<T>>("late", &());
    judged.derive("late", move |rdd| rdd.narrow(&spec))
}
