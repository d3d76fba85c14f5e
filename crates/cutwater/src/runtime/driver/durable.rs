//! What the loop over intervals writes down, and how it goes on after a restart.

use std::collections::HashSet;

use cutwater_core::{BlockId, Event, Time};

use super::Driver;
use crate::{
    context::{Context, Graph, IntervalReport, OnFailure},
    error::{Error, ErrorKind},
    runtime::{
        resume::{self, Durable, Kept, Known},
        used::Used,
    },
    source::Recorded,
};

/// What there was when the program ended.
#[derive(Default)]
struct Back {
    /// How far each source was.
    positions: Vec<Vec<u8>>,
    /// The blocks that the intervals consist of whose input is known.
    inputs: HashSet<BlockId>,
    /// Blocks of intervals for which nobody will ask.
    released: Vec<BlockId>,
}

impl Driver {
    /// What the program writes down, if it does, unless it was written by another that this one cannot go on from.
    pub(super) fn durable(ctx: &Context, graph: &Graph) -> Result<Option<Durable>, Error> {
        let durable = ctx.take_durable();
        if let Some(durable) = &durable {
            durable.compare(ctx, graph)?;
        }
        Ok(durable)
    }

    /// Goes on where the program was when it ended: its streams get the states that were written and what they
    /// look back at, its sources go on after what they gave, and intervals whose outputs may not be done are run
    /// again with the input that they had. What else workers hold goes.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        let Some(durable) = &self.durable else { return Ok(()) };
        let inputs = match durable.last() {
            Some(last) => self.resume_after(last)?,
            // Whatever a master before has had workers hold is in no interval.
            None => HashSet::new(),
        };
        let datasets = self.graph.streams.iter().flat_map(|stream| stream.named()).collect();
        let reported = self.graph.inputs.iter().filter_map(|input| input.reported_by_workers()).collect();
        self.ctx.engine().use_only(Used { datasets, inputs, reported });
        Ok(())
    }

    /// The same, after the last interval whose input is known. Answers with the blocks of those that may be asked for.
    fn resume_after(&mut self, (number, time): (u64, Time)) -> Result<HashSet<BlockId>, Error> {
        let Some(durable) = &mut self.durable else { return Ok(HashSet::new()) };
        let zero = self.now;
        durable.name_kept(&self.ctx, &self.graph)?;
        let Back { positions, inputs, released } = loop {
            let again = self.go_back(zero)?;
            let Some(durable) = &mut self.durable else { return Ok(HashSet::new()) };
            // Workers hold most of it, and this is what they do not. A file of it may be damaged.
            let read = if durable.takes_over() && durable.has_states() {
                self.graph.streams.iter().try_for_each(|stream| stream.compute_states())
            } else {
                Ok(())
            };
            match read {
                Ok(()) => {
                    durable.hold();
                    break again;
                }
                // No file of another checkpoint has what is missing.
                Err(error) if error.tells_of_loss() || error.kind() == ErrorKind::User => return Err(error),
                Err(error) => {
                    for stream in &self.graph.streams {
                        stream.begin_anew();
                        stream.unname();
                    }
                    durable.give_up(&error);
                }
            }
        };
        if !released.is_empty() {
            self.ctx.engine().tell(Event::InputsReleased { blocks: released });
        }
        for (input, position) in self.graph.inputs.iter_mut().zip(&positions) {
            input.resume(position)?;
        }
        if self.again.is_empty() {
            (self.number, self.now) = (number, time);
        }
        tracing::info!(interval = %self.now, again = self.again.len(), "the program goes on");
        Ok(inputs)
    }

    /// Gives streams the newest states that can be used, and what their sources gave since.
    fn go_back(&mut self, zero: Time) -> Result<Back, Error> {
        let Some(durable) = &mut self.durable else { return Ok(Back::default()) };
        durable.restore(&self.ctx, &self.graph, zero)?;
        (self.number, self.now) = durable.from();
        let (mut known, released) = durable.known(&self.ctx, &self.graph)?;
        let inputs = known.back().into_iter().flat_map(|last| &last.input);
        let positions = inputs.map(|input| input.position.clone()).collect();
        let used = known.iter().filter(|interval| !interval.is_aside).flat_map(|interval| &interval.input);
        let inputs = used.flat_map(|input| input.blocks()).collect();
        for interval in known.iter().filter(|interval| !interval.is_aside) {
            for (input, recorded) in self.graph.inputs.iter_mut().zip(&interval.input) {
                input.were_received(recorded.splits.as_deref().unwrap_or_default());
            }
        }
        let first_again = known.iter().position(|interval| !durable.is_completed(interval.number));
        self.again = known.split_off(first_again.unwrap_or(known.len()));
        let may_be_lost = self.ctx.engine().may_lose_blocks();
        for interval in known {
            (self.now, self.number) = (interval.time, interval.number);
            let is_before =
                self.durable.as_ref().is_some_and(|durable| durable.is_before_states(self.number));
            replay(&mut self.graph, &interval);
            self.ctx.timeline().reach(interval.time);
            if !is_before {
                for stream in &self.graph.streams {
                    stream.forget(interval.time, may_be_lost);
                }
            }
        }
        Ok(Back { positions, inputs, released })
    }

    /// Has the last states written down, so that the next start need not make them again.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        let finished = durable.checkpointer.finish((self.number, self.now), &self.graph.streams);
        if finished.is_ok() {
            durable.keeper.program_is_over();
        }
        finished.inspect_err(|error| self.heed(error))
    }

    /// Has the input of the interval written down.
    pub(super) fn record(&mut self, report: &IntervalReport) -> Result<(), Error> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        let (mut sources, mut blocks) = (Vec::with_capacity(self.graph.inputs.len()), Vec::new());
        for (input, source) in self.graph.inputs.iter().zip(&report.sources) {
            let splits = input.recorded(report.time);
            let ids = splits.iter().flatten().flat_map(|split| &split.blocks);
            blocks.extend(ids.filter_map(|id| Some((*id, self.ctx.engine().received(*id)?))));
            let recorded = Recorded { splits, position: input.position(), standing: source.standing };
            sources.push((input.name().to_owned(), recorded));
        }
        let kept_at = |time: Time| {
            let streams = (0..).zip(&self.graph.streams);
            streams.filter_map(move |(number, stream)| {
                let (name, partitions) = stream.kept_at(time)?;
                Some(Kept { stream: number, time, name, partitions })
            })
        };
        // Of an interval that is not over it is not known: it may yet be set aside.
        let kept = durable.unnamed(self.now, self.ctx.interval()).flat_map(kept_at).collect();
        let parallelism = self.ctx.engine().parallelism();
        let input =
            postcard::to_allocvec(&resume::Input { parallelism, sources, kept }).map_err(Error::internal)?;
        durable.journal.interval(report.number, report.time, input, blocks);
        durable.named_until = Some(self.now);
        Ok(())
    }

    /// No interval after this one could be told to a restart, so none may run.
    pub(super) fn cannot_record(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.journal.has_failed())
    }

    /// Whether states are being written.
    #[cfg(test)]
    pub fn is_writing(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.checkpointer.is_writing())
    }

    /// No output may tell of an interval that a restart would know nothing of.
    pub(super) fn wait_until_recorded(&self, report: &IntervalReport, is_again: bool) -> Result<(), Error> {
        match &self.durable {
            Some(durable) if !is_again => durable.journal.wait_for(report.number),
            _ => Ok(()),
        }
    }

    /// No interval before this one is to be run again once outputs of this one have run: what it was made from may go when
    /// they have. That holds of one that is run again, too.
    pub(super) fn wait_until_said(&self) -> Result<(), Error> {
        self.durable.as_ref().map_or(Ok(()), |durable| durable.journal.wait_until_said())
    }

    /// Has it written down that an interval that has failed is set aside, unless the program is to try it again. Nothing that it
    /// is made from may go before: whoever takes over until then runs it again. Answers with why the interval fails, which is
    /// another reason if that cannot be written.
    pub(super) fn say_aside(&self, report: &IntervalReport, error: Error) -> Error {
        let tries_again = self.ctx.settings().on_failure == OnFailure::Stop;
        let Some(durable) = self.durable.as_ref().filter(|_| !tries_again) else { return error };
        if error.kind() == ErrorKind::Fenced {
            return error;
        }
        durable.journal.set_aside(report.number);
        match durable.journal.wait_until_said() {
            Ok(()) => error,
            Err(unsaid) => {
                tracing::error!(interval = %report.time, %error, "interval failed, and cannot be set aside");
                self.heed(&unsaid);
                unsaid
            }
        }
    }

    /// Has it written down that the interval is over, if it did not fail.
    pub(super) fn note_completed(&mut self, report: &mut IntervalReport) {
        let Some(durable) = &mut self.durable else { return };
        if report.failure.is_none() {
            durable.journal.completed(report.number);
        }
        durable.forget(&self.graph);
    }

    /// Has states written down, if it is time to.
    pub(super) fn checkpoint(&mut self, report: &mut IntervalReport) {
        let checkpointer = match &mut self.durable {
            Some(durable) => Some(&mut durable.checkpointer),
            None => self.checkpointer.as_mut(),
        };
        let Some(checkpointer) = checkpointer.filter(|_| report.failure.is_none()) else { return };
        let at = (report.number, report.time);
        let input = (report.bytes(), self.ctx.engine().joined());
        if let Err(error) = checkpointer.ended(at, input, &self.graph.streams) {
            tracing::error!(interval = %report.time, %error, "states cannot be written");
            self.heed(&error);
            report.failure = Some(error);
        }
    }
}

/// Gives streams what an interval's sources gave when it ran before.
pub(super) fn replay(graph: &mut Graph, known: &Known) {
    if known.is_aside {
        graph.streams.iter().for_each(|stream| stream.retract(known.time));
    }
    let Graph { inputs, standings, .. } = graph;
    for ((input, stands), recorded) in inputs.iter_mut().zip(standings).zip(&known.input) {
        if known.is_aside {
            input.set_aside(known.time);
        } else {
            input.replay(known.time, recorded.splits.clone());
            stands.note(known.time, recorded.standing);
        }
    }
}

/// Sources that could not go on after a restart, which is what the program asks for.
pub(super) fn lost_with_the_process(graph: &Graph) -> impl Iterator<Item = String> {
    graph.inputs.iter().filter_map(|input| {
        let why = input.is_lost_with_the_process()?;
        Some(format!(
            "{}: a program with this source cannot go on after a restart: {why}; leave out `checkpoint`",
            input.name()
        ))
    })
}
