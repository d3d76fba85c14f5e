use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    panic::Location,
    sync::{Arc, OnceLock, atomic},
};

use cutwater_core::{OpId, TaskError};
use cutwater_wire::plan::OperatorDef;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Flow, Node, Stop, blame,
    twice::{Digest, Watch},
};
use crate::{
    Record,
    block::Block,
    closure::{Code, Entry},
    error::Error,
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
    let env = postcard::from_bytes(env).map_err(|error| {
        Error::user(format_args!("the values given by `with` did not survive the journey: {error}"))
    })?;
    Ok(AnyOperator(Box::new(Typed::<O::Out>(Box::new(O::rebuild(env))))))
}

/// An operator of which the type of its records is not known here.
pub(crate) struct AnyOperator(Box<dyn Erased>);

impl AnyOperator {
    /// Computes a partition into `emit`; `T` must be what the operator emits.
    pub fn run<T: Record>(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        match self.0.as_any().downcast_ref::<Typed<T>>() {
            Some(typed) => typed.run(node, partition, emit),
            None => Flow::Break(Stop::from(TaskError::Internal(format!(
                "{} does not emit {}",
                node.label(),
                std::any::type_name::<T>()
            )))),
        }
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
    fn collect(&self, node: Node<'_>, partition: u32) -> Result<Block, TaskError>;
    fn pieces(&self, node: Node<'_>, partition: u32) -> Result<Vec<Block>, TaskError>;
}

trait Run<T>: Send + Sync {
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow;
}

impl<O: Operator> Run<O::Out> for O {
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, O::Out>) -> Flow {
        Operator::run(self, node, partition, emit)
    }
}

struct Typed<T>(Box<dyn Run<T>>);

impl<T: Record> Typed<T> {
    #[inline]
    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        match node.run.watch() {
            None => self.0.run(node, partition, emit),
            Some(watch) => self.run_watched(watch, node, partition, emit),
        }
    }

    fn run_watched(&self, watch: &Watch, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut digest = Digest::default();
        let flow = self.0.run(node, partition, &mut |record| {
            digest.add(&record);
            emit(record)
        });
        watch.digests.borrow_mut().push(((node.step.dataset.id, partition), digest.finish()));
        flow
    }

    fn each(&self, node: Node<'_>, partition: u32, mut f: impl FnMut(T)) -> Result<(), TaskError> {
        let flow = self.run(node, partition, &mut |record| {
            f(record);
            Flow::Continue(())
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
