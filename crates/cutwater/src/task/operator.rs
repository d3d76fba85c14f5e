use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    panic::Location,
    slice,
    sync::{Arc, OnceLock, atomic},
};

use cutwater_core::{OpId, TaskError};
use cutwater_wire::plan::OperatorDef;
use serde::{Serialize, de::DeserializeOwned};

use super::{Flow, KeyLender, LendKeys, Look, Node, Stop, blame};
use crate::{
    Record,
    block::Block,
    closure::{Code, Entry},
    error::Error,
    shared::{counts_in, tallied},
};

/// Where an operator puts its records, one at a time.
pub(crate) type Emit<'a, T> = dyn FnMut(T) -> Flow + 'a;

/// How a partition is computed from partitions of its parents.
///
/// Properties:
/// - it is rebuilt in every process from its type and an `Env` that was serialised;
/// - it is deterministic: for one partition it emits the same records in the same order, whoever
///   runs it and however often;
/// - it holds no state between partitions; compute threads share it.
pub(crate) trait Operator: Send + Sync + 'static {
    /// The values that travel with it.
    type Env: Serialize + DeserializeOwned;
    /// What it emits.
    type Out: Record;

    /// The operator with the values that travelled.
    fn rebuild(env: Self::Env) -> Self;

    /// Computes a partition.
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow;

    /// Computes a partition for a reader that only looks at the records. Worth writing for an operator
    /// that has its records lying somewhere, or hands on what others lend to it.
    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, Self::Out>) -> Flow {
        self.run(node, partition, &mut |record| look(slice::from_ref(&record)))
    }

    /// Whether it is cheaper to have the records lent and clone those that are needed than to have all.
    fn lends(&self, _: Node<'_>) -> bool {
        false
    }

    /// For an operator of pairs whose keys are text: how they are lent, a [`KeyLender`].
    fn key_lender(&self) -> Option<&dyn Any> {
        None
    }

    /// Whether what it emits is the attempt's own and not the same for all: the name of what it has staged.
    fn names_its_attempt(&self) -> bool {
        false
    }
}

/// An operator described so that any process of this executable can build it.
pub(crate) struct OperatorSpec<T> {
    pub any: Arc<AnySpec>,
    out: PhantomData<fn() -> T>,
}

/// The same when only the worker that builds it will know what it emits.
pub(crate) struct AnySpec {
    pub id: OpId,
    pub label: Arc<str>,
    code: Code,
    /// The values in bytes, or why they have none: found out while the program is built, said when it
    /// runs.
    env: Result<Box<[u8]>, postcard::Error>,
    built: OnceLock<AnyOperator>,
}

impl<T: Record> OperatorSpec<T> {
    /// Describes operator `O`. `name` is what users call it; where they wrote it is added.
    #[track_caller]
    pub fn new<O: Operator<Out = T>>(name: &str, env: &O::Env) -> Self {
        Self::of::<O>(labelled(name).into(), env)
    }

    /// The same for an operator that is made anew each interval, long after the user wrote it.
    pub fn of<O: Operator<Out = T>>(label: Arc<str>, env: &O::Env) -> Self {
        static NEXT: atomic::AtomicU64 = atomic::AtomicU64::new(0);
        let any = AnySpec {
            id: OpId(NEXT.fetch_add(1, atomic::Ordering::Relaxed)),
            label,
            code: Code::of(const { &Entry::of::<O>(build::<O>) }),
            env: postcard::to_allocvec(env).map(Into::into),
            built: OnceLock::new(),
        };
        Self { any: Arc::new(any), out: PhantomData }
    }
}

/// An operation by its name and the place in the program where it is called.
#[track_caller]
pub(crate) fn labelled(name: &str) -> String {
    let place = Location::caller();
    format!("`{name}` at {}:{}", place.file(), place.line())
}

impl<T> Clone for OperatorSpec<T> {
    fn clone(&self) -> Self {
        Self { any: self.any.clone(), out: PhantomData }
    }
}

impl AnySpec {
    /// What another process needs to build it, or why it cannot travel.
    pub fn to_def(&self) -> Result<OperatorDef, TaskError> {
        let (code, type_hash) = self.code.to_numbers();
        let values = self.env.as_ref().map_err(|error| self.values_stay(error))?;
        Ok(OperatorDef {
            id: self.id,
            label: self.label.clone(),
            code,
            type_hash,
            values: Arc::from(&**values),
        })
    }

    /// The operator that another process described. Its code is looked at when it is first used.
    pub fn arrived(def: OperatorDef) -> Self {
        Self {
            id: def.id,
            label: def.label,
            code: Code::from_numbers((def.code, def.type_hash)),
            env: Ok((*def.values).into()),
            built: OnceLock::new(),
        }
    }

    fn values_stay(&self, error: &postcard::Error) -> TaskError {
        let message = format!("the values given by `with` cannot be serialised: {error}");
        TaskError::User { operator: self.label.clone(), message }
    }

    /// The operator itself, built at its first use in this process.
    pub fn operator(&self) -> Result<&AnyOperator, TaskError> {
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let refused = |message: String| TaskError::User { operator: self.label.clone(), message };
        let env = self.env.as_ref().map_err(|error| self.values_stay(error))?;
        let build = self.code.load().map_err(|error| TaskError::Internal(error.to_string()))?;
        let operator = blame::in_the_name_of(&self.label, || build(env));
        let operator = operator.map_err(|error| refused(error.to_string()))?;
        Ok(self.built.get_or_init(|| operator))
    }
}

fn build<O: Operator>(env: &[u8]) -> Result<AnyOperator, Error> {
    let (env, counts) = counts_in(|| postcard::from_bytes(env));
    let env = env.map_err(|error| {
        Error::user(format_args!("the values given by `with` did not survive the journey: {error}"))
    })?;
    Ok(AnyOperator(Box::new(Typed::<O::Out> { operator: Box::new(O::rebuild(env)), counts })))
}

/// An operator of which the type of its records is not known here.
pub(crate) struct AnyOperator(Box<dyn Erased>);

impl AnyOperator {
    /// Computes a partition into `emit`; `T` must be what the operator emits.
    pub fn run<T: Record>(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        match self.typed(node) {
            Ok(typed) => typed.run(node, partition, emit),
            Err(error) => Flow::Break(error.into()),
        }
    }

    /// Computes a partition for `look` to see; `T` must be what the operator emits.
    pub fn lend<T: Record>(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, T>) -> Flow {
        match self.typed(node) {
            Ok(typed) => typed.lend(node, partition, look),
            Err(error) => Flow::Break(error.into()),
        }
    }

    fn typed<T: Record>(&self, node: Node<'_>) -> Result<&Typed<T>, TaskError> {
        self.0.as_any().downcast_ref().ok_or_else(|| {
            let emits = std::any::type_name::<T>();
            TaskError::Internal(format!("{} does not emit {emits}", node.label()))
        })
    }

    /// Whether it is cheaper to have its records lent than to have them.
    pub fn lends(&self, node: Node<'_>) -> bool {
        self.0.lends(node)
    }

    /// Computes a partition as pairs with borrowed keys, if the operator can.
    pub fn lend_keys<V: Record>(
        &self,
        node: Node<'_>,
        partition: u32,
        take: &mut LendKeys<'_, V>,
    ) -> Option<Flow> {
        let lender: &KeyLender<V> = self.0.key_lender()?.downcast_ref()?;
        let Some(watch) = node.run.watch() else { return Some(lender.lend(node, partition, take)) };
        Some(watch.digest(node, partition, |digest| {
            lender.lend(node, partition, &mut |pairs| {
                pairs.iter().for_each(|pair| digest.add(pair));
                take(pairs)
            })
        }))
    }

    /// Computes a partition into one block with all its records.
    pub fn collect(&self, node: Node<'_>, partition: u32) -> Result<Block, TaskError> {
        self.0.collect(node, partition)
    }

    /// Computes a partition into a block for each of its records: the pieces of a shuffle.
    pub fn pieces(&self, node: Node<'_>, partition: u32) -> Result<Vec<Block>, TaskError> {
        self.0.pieces(node, partition)
    }
}

impl fmt::Debug for AnyOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyOperator")
    }
}

trait Erased: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn lends(&self, node: Node<'_>) -> bool;
    fn key_lender(&self) -> Option<&dyn Any>;
    fn collect(&self, node: Node<'_>, partition: u32) -> Result<Block, TaskError>;
    fn pieces(&self, node: Node<'_>, partition: u32) -> Result<Vec<Block>, TaskError>;
}

trait Run<T>: Send + Sync {
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow;
    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, T>) -> Flow;
    fn lends(&self, node: Node<'_>) -> bool;
    fn key_lender(&self) -> Option<&dyn Any>;
    fn names_its_attempt(&self) -> bool;
}

impl<O: Operator> Run<O::Out> for O {
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, O::Out>) -> Flow {
        Operator::run(self, node, partition, emit)
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, O::Out>) -> Flow {
        Operator::lend(self, node, partition, look)
    }

    fn lends(&self, node: Node<'_>) -> bool {
        Operator::lends(self, node)
    }

    fn key_lender(&self) -> Option<&dyn Any> {
        Operator::key_lender(self)
    }

    fn names_its_attempt(&self) -> bool {
        Operator::names_its_attempt(self)
    }
}

struct Typed<T> {
    operator: Box<dyn Run<T>>,
    /// Whether accumulators are among the values that travelled with it.
    counts: bool,
}

impl<T: Record> Typed<T> {
    #[inline]
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let watch = node.run.watch().filter(|_| !self.operator.names_its_attempt());
        let Some(watch) = watch else { return self.run_counted(node, partition, emit) };
        watch.digest(node, partition, |digest| {
            self.run_counted(node, partition, &mut |record| {
                digest.add(&record);
                emit(record)
            })
        })
    }

    /// Tells the master what a partition added to accumulators, if it comes to its end.
    #[inline]
    fn run_counted(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        if !self.counts {
            return self.operator.run(node, partition, emit);
        }
        let (flow, added) = tallied(|turn| {
            self.operator.run(node, partition, &mut |record| {
                turn.swap();
                let flow = emit(record);
                turn.swap();
                flow
            })
        });
        flow?;
        match added {
            Ok(added) => node.added(partition, added),
            Err(error) => return node.refuse(error),
        }
        Flow::Continue(())
    }

    /// An operator that counts is asked for records: what it adds is kept apart record by record.
    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, T>) -> Flow {
        if self.counts {
            return self.run(node, partition, &mut |record| look(slice::from_ref(&record)));
        }
        let Some(watch) = node.run.watch() else { return self.operator.lend(node, partition, look) };
        watch.digest(node, partition, |digest| {
            self.operator.lend(node, partition, &mut |records| {
                records.iter().for_each(|record| digest.add(record));
                look(records)
            })
        })
    }

    fn each(&self, node: Node<'_>, partition: u32, mut f: impl FnMut(T)) -> Result<(), TaskError> {
        let flow = self.run(node, partition, &mut |record| {
            f(record);
            // Here too, for whoever makes many records of few.
            node.go_on(0)
        });
        match flow {
            Flow::Continue(()) | Flow::Break(Stop::Enough) => Ok(()),
            Flow::Break(Stop::Failed(error)) => Err(*error),
        }
    }
}

impl<T: Record> Erased for Typed<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lends(&self, node: Node<'_>) -> bool {
        !self.counts && self.operator.lends(node)
    }

    fn key_lender(&self) -> Option<&dyn Any> {
        if self.counts { None } else { self.operator.key_lender() }
    }

    fn collect(&self, node: Node<'_>, partition: u32) -> Result<Block, TaskError> {
        let mut records = Vec::new();
        self.each(node, partition, |record| records.push(record))?;
        Ok(Block::new(records))
    }

    fn pieces(&self, node: Node<'_>, partition: u32) -> Result<Vec<Block>, TaskError> {
        let mut pieces = Vec::new();
        self.each(node, partition, |piece| pieces.push(Block::new(piece)))?;
        Ok(pieces)
    }
}
