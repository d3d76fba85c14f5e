use std::marker::PhantomData;

use cutwater_core::{BlockId, Split};

use crate::{
    Context, Record,
    block::Block,
    rdd::{
        DatasetNode, Rdd,
        refused::{refused, refused_at},
    },
    runtime::Engine,
    task::{Emit, Flow, Look, Node, Operator, OperatorSpec},
};

/// Records that lie in blocks already.
pub(crate) struct Held<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Held<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.received(partition, &mut |records| {
            records.iter().try_for_each(|record: &T| emit(node.call(|| record.clone())))
        })
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, T>) -> Flow {
        node.received(partition, look)
    }

    fn lends(&self, _: Node<'_>) -> bool {
        true
    }
}

/// A dataset of `slices`, a partition each, held under the name of `source` from block number
/// `sequence` on.
pub(crate) fn held<T: Record>(
    engine: &std::sync::Arc<Engine>,
    spec: &OperatorSpec<T>,
    source: u32,
    sequence: u64,
    slices: Vec<Vec<T>>,
) -> Rdd<T> {
    let mut blocks = Vec::with_capacity(slices.len());
    let splits = (sequence..)
        .zip(slices)
        .map(|(sequence, records)| {
            let id = BlockId::Input { source, sequence };
            blocks.push((id, Block::new(records)));
            Split { blocks: vec![id], place: [].into() }
        })
        .collect();
    match engine.hold(blocks) {
        Ok(()) => DatasetNode::source(engine, splits, &spec.any).of(spec),
        Err(why) => refused_at(engine, spec.any.label.clone(), why),
    }
}

/// `records` in `parts` contiguous slices, slice i being [i·n/parts, (i+1)·n/parts).
pub(crate) fn slices<T>(records: Vec<T>, parts: u32) -> Vec<Vec<T>> {
    let (n, parts) = (records.len(), parts.max(1) as usize);
    let mut records = records.into_iter();
    (0..parts).map(|i| records.by_ref().take((i + 1) * n / parts - i * n / parts).collect()).collect()
}

impl Context {
    /// A dataset of records that the program holds, in as many partitions as tasks run at once.
    /// Ranges and vectors are what it is mostly given.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize(1..=100u64).reduce(|a, b| a + b)?, 5050);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn parallelize<T: Record>(&self, records: impl IntoIterator<Item = T>) -> Rdd<T> {
        self.parallelize_into(self.engine().parallelism(), records)
    }

    /// The same in a given number of partitions: contiguous slices, as equal as can be. In no
    /// partitions there can be no records: of none, that is a dataset without partitions.
    ///
    /// # Errors
    /// The action that uses it fails if there are records and `partitions` is 0.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize_into(2, 0..5).collect_partitions()?, [vec![0, 1], vec![2, 3, 4]]);
    /// assert!(ctx.parallelize_into(0, 0..5).collect().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn parallelize_into<T: Record>(
        &self,
        partitions: u32,
        records: impl IntoIterator<Item = T>,
    ) -> Rdd<T> {
        let spec = OperatorSpec::new::<Held<T>>("parallelize", &());
        let engine = self.engine();
        let records: Vec<T> = records.into_iter().collect();
        let slices = match (partitions, records.len()) {
            (0, 0) => Vec::new(),
            (0, n) => {
                return refused(
                    engine,
                    "parallelize",
                    format_args!("{n} records do not fit into no partitions"),
                );
            }
            _ => slices(records, partitions),
        };
        held(engine, &spec, engine.new_source(), engine.first_block(), slices)
    }
}
