use std::{cell::Cell, collections::VecDeque, marker::PhantomData, ops::ControlFlow, sync::Arc};

use cutwater_core::{PartitionMap, Split, Time, limits};

use super::{Act, Commit, Part, Records, Sink};
use crate::{
    DStream, Error, ErrorKind, Record, patience,
    rdd::{DatasetNode, Rdd},
    stream::StreamNode,
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop, labelled},
};

/// Stages a partition in a sink and emits the token.
struct Stage<T, S>(S, PhantomData<fn(T)>);

impl<T: Record, S: Sink<T>> Operator for Stage<T, S> {
    type Env = S;
    type Out = S::Token;

    fn rebuild(sink: S) -> Self {
        Self(sink, PhantomData)
    }

    fn names_its_attempt(&self) -> bool {
        true
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, S::Token>) -> Flow {
        let (interval, epoch) = node.interval(partition)?;
        let part = match Part::new(interval, partition, epoch) {
            Ok(part) => part,
            Err(error) => return node.external(error),
        };
        // Whatever the sink makes of it: what the records' own computation said counts, and that it ended.
        let (mut broken, mut is_whole) = (None, false);
        let is_begun = Cell::new(false);
        let mut read = |look: &mut dyn FnMut(&T) -> Result<(), Error>| {
            is_begun.set(true);
            let mut refused = Ok(());
            let flow = node.lent::<T>(0, partition, &mut |records| {
                refused = records.iter().try_for_each(&mut *look);
                if refused.is_ok() { Flow::Continue(()) } else { Flow::Break(Stop::Enough) }
            });
            refused?;
            if let ControlFlow::Break(Stop::Failed(error)) = flow {
                let said = Error::from((*error).clone());
                broken = Some(error);
                return Err(said);
            }
            is_whole = true;
            Ok(())
        };
        let mut write = || match self.0.write(&part, Records { read: &mut read }) {
            // The records would be computed a second time: that is for another run of the task.
            failed @ Err(_) if is_begun.get() => Ok(failed),
            answered => answered.map(Ok),
        };
        let token = node.call(|| patience::STAGING.call("the staging of a sink", &mut write)).flatten();
        if let Some(error) = broken {
            return Flow::Break(Stop::Failed(error));
        }
        match token {
            Ok(_) if !is_whole => node.refuse("the sink answered before it had taken every record"),
            Ok(token) => emit(token),
            Err(error) if error.kind() == ErrorKind::External => node.external(error),
            Err(error) => node.refuse(error),
        }
    }
}

/// A stream that goes into a sink: the master's half.
///
/// Properties:
/// - [`run`](Act::run) stages an interval, [`commit`](Act::commit) makes it visible, and in between the rest of the
///   interval is done;
/// - an interval that the sink says is committed is neither computed nor committed again;
/// - attempts that did not count are discarded when a later commit has shown that this master may.
///
/// Only the driver's thread touches it. If the process dies, the sink says at the next start how far it was.
struct StagedOutput<T, S: Sink<T>> {
    node: Arc<StreamNode<T>>,
    stage: OperatorSpec<S::Token>,
    sink: S,
    epoch: u64,
    committed: Option<Time>,
    /// What waits to be committed.
    staged: Option<(Time, Vec<S::Token>)>,
    /// An interval whose commit failed in a way that leaves open whether it is committed.
    in_doubt: Option<Time>,
    /// The newest intervals, oldest first, in case something is still being staged for them.
    recent: VecDeque<Recent<S::Token>>,
}

struct Recent<K> {
    interval: Time,
    /// None if it failed.
    committed: Vec<K>,
    was_discarded: bool,
}

impl<T: Record, S: Sink<T>> StagedOutput<T, S> {
    fn stage(&self, rdd: &Rdd<T>, t: Time) -> Result<Vec<S::Token>, Error> {
        let place: Arc<[u8]> = postcard::to_allocvec(&(t, self.epoch)).map_err(Error::internal)?.into();
        let partitions = rdd.num_partitions();
        let parents = vec![(rdd.node().clone(), PartitionMap::Same)];
        let mut node = DatasetNode::narrow(rdd.engine(), partitions, parents, &self.stage.any);
        node.dataset_mut().splits =
            (0..partitions).map(|_| Split { blocks: Vec::new(), place: place.clone() }).collect();
        let tokens = node.of(&self.stage).partitions()?.concat();
        if tokens.len() != partitions as usize {
            return Err(Error::internal(format_args!("{} tokens for {partitions} partitions", tokens.len())));
        }
        Ok(tokens)
    }

    /// Lets what attempts that did not count have staged be removed.
    fn tidy(&mut self, committed: Time) {
        let warn = |interval, result: Result<(), Error>| {
            if let Err(error) = result {
                tracing::warn!(%interval, %error, "leftovers of attempts that do not count are still there");
            }
        };
        for recent in self.recent.iter_mut().filter(|recent| !recent.was_discarded) {
            warn(recent.interval, self.sink.discard(recent.interval, &recent.committed));
            recent.was_discarded = true;
        }
        while self.recent.len() > limits::SINK_RECENT_INTERVALS_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            if oldest.interval <= committed {
                warn(oldest.interval, self.sink.discard(oldest.interval, &oldest.committed));
            }
        }
    }
}

impl<T: Record, S: Sink<T>> Act for StagedOutput<T, S> {
    fn open(&mut self, epoch: u64) -> Result<(), Error> {
        self.epoch = epoch;
        self.committed = patience::SINK.call("the open of a sink", || self.sink.open(epoch))?;
        if let Some(committed) = self.committed {
            tracing::info!(%committed, sink = &*self.stage.any.label, "opened; the interval is its last");
        }
        Ok(())
    }

    fn run(&mut self, t: Time) -> Result<bool, Error> {
        let Some(rdd) = self.node.at(t)? else { return Ok(false) };
        if self.committed.is_some_and(|committed| t <= committed) {
            tracing::info!(interval = %t, sink = &*self.stage.any.label, "committed before; left as it is");
            return Ok(true);
        }
        self.staged = Some((t, self.stage(&rdd, t)?));
        Ok(true)
    }

    fn commit(&mut self, t: Time) -> Result<(), Error> {
        let Some((_, tokens)) = self.staged.take_if(|(staged, _)| *staged == t) else { return Ok(()) };
        let commit = Commit { interval: t, epoch: self.epoch, tokens: &tokens };
        // Until the sink has said otherwise; it may panic.
        self.in_doubt = Some(t);
        let done = patience::SINK.call("the commit of a sink", || self.sink.commit(&commit));
        if !done.as_ref().is_err_and(|error| error.kind() != ErrorKind::User) {
            self.in_doubt = None;
        }
        done?;
        self.committed = Some(t);
        self.recent.push_back(Recent { interval: t, committed: tokens, was_discarded: false });
        self.tidy(t);
        Ok(())
    }

    fn abandon(&mut self, t: Time) {
        self.staged = None;
        if self.committed.is_some_and(|committed| t <= committed) || self.in_doubt == Some(t) {
            return;
        }
        // Not now: only a later commit shows that no other master has committed the interval meanwhile.
        self.recent.push_back(Recent { interval: t, committed: Vec::new(), was_discarded: false });
        while self.recent.len() > 2 * limits::SINK_RECENT_INTERVALS_MAX {
            self.recent.pop_front();
        }
    }
}

impl<T: Record> DStream<T> {
    /// Sends every interval's records into `sink`, each interval exactly once: an output whose tasks stage what they
    /// compute and which becomes visible when the whole interval is done, or not at all (see [`Sink`]).
    ///
    /// An interval that fails commits nothing, also if it was another output that failed. A program that starts
    /// again asks the sink how far it was; intervals that are committed are not sent again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// use cutwater::output::{FileSink, committed};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let into = dir.path();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let counts = harness.input([vec![('a', 1), ('b', 2)], vec![('c', 3)]]);
    /// counts.map(|(key, n)| format!("{key},{n}")).sink(FileSink::text(into));
    /// harness.advance(2)?;
    /// let intervals = committed(into)?;
    /// assert_eq!(intervals.len(), 2);
    /// assert_eq!(intervals[0].lines()?, ["a,1", "b,2"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sink<S: Sink<T>>(&self, sink: S) {
        let label: Arc<str> = labelled("sink").into();
        let output = StagedOutput {
            node: self.node.clone(),
            stage: OperatorSpec::of::<Stage<T, S>>(label, &sink),
            sink,
            epoch: 0,
            committed: None,
            staged: None,
            in_doubt: None,
            recent: VecDeque::new(),
        };
        self.ctx.act("sink", self.node.clone(), output);
    }
}
