use std::time::Duration;

use cutwater_core::{
    BlockId, DatasetId, Event, Split, Time,
    clients::{
        InputBlock, Receive, Received,
        cut::{self, Known, Place},
    },
    counted::Counted,
    id::count_of,
    limits,
};
use serde::de::DeserializeOwned;

use super::{
    Input, SourceBuilder, Taken,
    files::Ranges,
    intake::Bounds,
    pace::{Pace, Processed},
};
use crate::{
    DStream, Error, Record,
    rdd::{ClientJson, ClientLines},
    task::{Finding, OperatorSpec},
};

/// Records that clients send to workers.
///
/// Properties:
/// - whoever receives them holds them, with one other; the driver has only the names of blocks;
/// - an interval is what workers report when it is cut, in the order of the blocks' numbers. What a client sent
///   again and was counted before is left out, whatever block it is in;
/// - beyond what an interval may take, clients wait.
///
/// The driver's thread calls it. If the process dies, what it has counted is written down with the last interval;
/// the records themselves are where workers hold them, and are lost only with all that hold them.
struct Clients<T> {
    records: Ranges<T>,
    source: u32,
    bounds: Bounds,
    pace: Pace,
    interval: Duration,
    counted: Counted,
    /// Blocks that are of intervals already: workers tell another master of all that they hold.
    known: Known,
    /// Receivers number blocks from here on, since those before have names that are known.
    blocks_from: u64,
    started: bool,
    /// Nothing more is taken; what has been is yet to be cut.
    stopped: bool,
    drained: bool,
}

impl<T: Record> Clients<T> {
    /// Says to workers how the source takes records from now on.
    fn tell(&self, records_max: usize) {
        // Two blocks for each interval at least, so that it is read while the last of it is still coming in.
        let half = u64::try_from(self.interval.as_millis() / 2).unwrap_or(u64::MAX);
        self.records.engine().receive(Receive {
            source: self.source,
            name: self.records.name().to_owned(),
            open: !self.stopped,
            records_max: records_max as u64,
            bytes_max: self.bounds.bytes_max as u64,
            blocks_from: self.blocks_from,
            block_ms: half.clamp(1, limits::INPUT_BLOCK_MS),
        });
    }

    /// What is new of the blocks that workers report, a partition each.
    fn splits(&mut self, received: &mut Received, taken: &mut Taken) -> Result<Vec<Split>, Error> {
        let cut = cut::take(&received.blocks, &mut self.known, &mut self.counted);
        taken.records += cut.records;
        taken.bytes += cut.bytes;
        let mut splits = Vec::with_capacity(cut.parts.len());
        // In one process nobody could: it is gone with all that was received.
        let may_be_made = self.records.engine().may_lose_blocks();
        for part in cut.parts {
            let alone = received.alone.remove(&part.block).filter(|_| may_be_made).unwrap_or_default();
            let place = Place { left_out: part.left_out, alone };
            let place = postcard::to_allocvec(&place).map_err(Error::internal)?.into();
            splits.push(Split { blocks: vec![part.block], place });
        }
        if !cut.useless.is_empty() {
            self.records.engine().tell(Event::InputsReleased { blocks: cut.useless });
        }
        Ok(splits)
    }
}

impl<T: Record> Input for Clients<T> {
    fn name(&self) -> &str {
        self.records.name()
    }

    fn start(&mut self) -> Result<(), Error> {
        self.started = true;
        self.tell(self.pace.initial());
        Ok(())
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        if self.drained {
            self.records.put_splits(to, Vec::new());
            return Ok(Taken::default());
        }
        let mut received = self.records.engine().cut(self.source)?;
        self.drained = self.stopped;
        let mut taken = Taken { deferred: received.deferred, ..Taken::default() };
        let splits = self.splits(&mut received, &mut taken)?;
        self.records.put_splits(to, splits);
        Ok(taken)
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.records.recorded(to)
    }

    fn were_received(&mut self, splits: &[Split]) {
        let mut were_alone = Vec::new();
        for split in splits {
            // What was written by a program that did not say of what a block consists has no such end.
            let Ok(Place { alone: batches, .. }) = postcard::from_bytes(&split.place) else { continue };
            let [BlockId::Input { source, sequence }] = split.blocks[..] else { continue };
            if source == self.source && !batches.is_empty() {
                were_alone.push(InputBlock { source, sequence, batches });
            }
        }
        self.records.engine().were_alone(were_alone);
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        for block in splits.iter().flatten().flat_map(|split| &split.blocks) {
            if let BlockId::Input { source, sequence } = block
                && *source == self.source
            {
                self.blocks_from = self.blocks_from.max(count_of(*sequence) + 1);
                self.known.insert(*sequence);
            }
        }
        self.records.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        // Maps of numbers cannot fail to be encoded.
        postcard::to_allocvec(&self.counted).unwrap_or_default()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        self.counted = postcard::from_bytes(position).map_err(Error::internal)?;
        Ok(())
    }

    fn reported_by_workers(&self) -> Option<u32> {
        Some(self.source)
    }

    fn set_aside(&mut self, to: Time) {
        self.records.put_splits(to, Vec::new());
    }

    fn found(&mut self, dataset: DatasetId, findings: &[Finding], taken: &mut Taken) -> Result<(), Error> {
        let before = taken.malformed.len();
        let applied = self.records.found(dataset, findings, taken);
        // Whoever received them took them for records.
        taken.records = taken.records.saturating_sub((taken.malformed.len() - before) as u64);
        applied
    }

    fn processed(&mut self, records: u64, how: Processed) {
        if let Some(records_max) = self.pace.next(records, how)
            && !self.stopped
        {
            self.tell(records_max);
        }
    }

    fn is_exhausted(&self) -> bool {
        self.drained
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            if self.started {
                self.tell(self.bounds.records_max);
            } else {
                self.drained = true;
            }
        }
    }

    fn has_pending(&self) -> bool {
        !self.drained
    }
}

impl SourceBuilder<'_> {
    /// Text that clients send with `cutwater-client`, or by HTTP: a record is a string. Workers receive it, each a
    /// share; a record is acknowledged when two of them hold it, or the only one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, Error};
    /// use cutwater_client::Client;
    ///
    /// let ctx = Context::builder("clicks").interval(Duration::from_millis(20)).threads(1).build()?;
    /// let clicks = ctx.source("clicks").client_lines();
    /// let program = ctx.clone();
    /// clicks.for_each_rdd(move |rdd, _| {
    ///     for click in rdd.collect()? {
    ///         println!("{click}");
    ///         program.stop();
    ///     }
    ///     Ok::<(), Error>(())
    /// });
    /// let access = ctx.client_access()?;
    /// let token_file = access.token_file.unwrap_or_default();
    /// let client = Client::builder(&access.address.to_string(), "clicks").token_file(token_file).build();
    /// let client = client.map_err(Error::external)?;
    /// client.send("a click").map_err(Error::external)?;
    /// ctx.run()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn client_lines(self) -> DStream<String> {
        self.only("records of clients", &[]);
        let spec = OperatorSpec::new::<ClientLines>(&self.name, &self.policy.on_task());
        self.clients(spec)
    }

    /// JSON values that clients send, each a record. For the rest see [`client_lines`](Self::client_lines).
    ///
    /// ```
    /// # use cutwater::Context;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Click {
    ///     page: String,
    /// }
    ///
    /// let ctx = Context::local(1);
    /// let pages = ctx.source("clicks").client_json::<Click>().map(|click| click.page);
    /// # drop(pages);
    /// ```
    #[track_caller]
    pub fn client_json<T: Record + DeserializeOwned>(self) -> DStream<T> {
        self.only("records of clients", &[]);
        let spec = OperatorSpec::new::<ClientJson<T>>(&self.name, &self.policy.on_task());
        self.clients(spec)
    }

    #[track_caller]
    fn clients<T: Record>(self, spec: OperatorSpec<T>) -> DStream<T> {
        let Self { ctx, name, policy, bounds, .. } = self;
        let (label, pace) = (name.clone(), Pace::new(ctx.settings(), bounds.records_max));
        // Open before the program runs, so that clients find it; what they send waits.
        if let Err(error) = ctx.engine().client_access() {
            ctx.fault(&name, error);
        }
        ctx.source_stream(&label, |stream| {
            Box::new(Clients {
                source: ctx.engine().new_source(),
                records: Ranges::new(name, policy, ctx.engine(), stream, spec),
                bounds,
                pace,
                interval: ctx.interval(),
                counted: Counted::default(),
                known: Known::default(),
                blocks_from: 0,
                started: false,
                stopped: false,
                drained: false,
            })
        })
    }
}
