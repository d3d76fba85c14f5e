use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cutwater_core::{
    BlockId, WorkerId,
    clients::{BatchReport, BlocksReport, Held, Holder, Own, Ready, Replicas, Say, Settled},
    id::receiver_of,
};

use super::replicate::{Served, Stream};
use crate::{
    message::{FromClient, ToClient, ToMaster},
    network::Node,
    program,
    simulation::{Plant, Simulation, What},
    worker::Worker,
};

/// What a worker has received from clients, and replicas of what others have.
pub struct Inbox {
    pub own: Own<u64>,
    pub replicas: Replicas<u64>,
    pub(super) peers: BTreeSet<WorkerId>,
    /// Whom it has hold replicas.
    pub(super) stream: Option<Stream>,
    pub(super) turn: WorkerId,
    /// For whom it holds replicas, by connection.
    pub(super) serves: BTreeMap<u64, Served>,
    /// Up to which block those who had it hold replicas have reported that another holds them now. It may be told at any
    /// moment that nobody needs them, also when that other is lost by then.
    left: BTreeMap<WorkerId, u64>,
    /// Those of clients.
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    client: u32,
    /// What has arrived and for which there is no room yet.
    arrived: VecDeque<u64>,
    /// What was taken and is not acknowledged, with the ticket that has to be safe before.
    waiting: VecDeque<(u64, u64)>,
    heard_ms: u64,
}

impl Inbox {
    pub fn new(me: WorkerId) -> Self {
        Self::of(me, Own::new(me))
    }

    /// That of a worker which is called `me` from now on, and has what is in `own`.
    pub fn of(me: WorkerId, own: Own<u64>) -> Self {
        let (peers, stream, serves, left, connections) = Default::default();
        let replicas = Replicas::default();
        Self { own, replicas, peers, stream, turn: me, serves, left, connections }
    }

    /// Batches of others that are safe here until their owner has reported them.
    pub fn counted_on(&self) -> impl Iterator<Item = &BatchReport> {
        let is_left =
            |block: u64| self.left.get(&receiver_of(block)).is_some_and(|through| block <= *through);
        self.replicas.batches().filter(move |(block, _)| !is_left(*block)).map(|(_, report)| report)
    }
}

impl Simulation {
    pub(crate) fn receiver_hears(&mut self, client: u32, id: WorkerId, nth: u64, message: FromClient) {
        let (now_ms, Some(source)) = (self.now_ms, self.program.clients) else { return };
        let Some(worker) = self.workers.get_mut(&id) else {
            // Nobody is there.
            return self.tell_client(id, client, nth, ToClient::Ended);
        };
        let inbox = &mut worker.inbox;
        match message {
            FromClient::Connect if inbox.own.has_room(source).is_err() => {
                self.tell_client(id, client, nth, ToClient::Ended);
            }
            FromClient::Connect => {
                let (arrived, waiting) = Default::default();
                inbox.connections.insert(nth, Connection { client, arrived, waiting, heard_ms: now_ms });
                self.tell_client(id, client, nth, ToClient::Welcome);
            }
            FromClient::Batch(sequence) => {
                let Some(connection) = inbox.connections.get_mut(&nth) else { return };
                connection.heard_ms = now_ms;
                connection.arrived.push_back(sequence);
                self.take_arrived(id);
            }
            FromClient::Ping => {
                if let Some(connection) = inbox.connections.get_mut(&nth) {
                    connection.heard_ms = now_ms;
                }
            }
        }
    }

    /// Takes what has arrived as far as there is room.
    fn take_arrived(&mut self, id: WorkerId) {
        let (now_ms, Some(source)) = (self.now_ms, self.program.clients) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Inbox { own, connections, .. } = &mut worker.inbox;
        for connection in connections.values_mut() {
            let client = self.clients.all[connection.client as usize].id();
            while own.has_room(source) == Ok(true)
                && let Some(sequence) = connection.arrived.pop_front()
            {
                // Of different sizes, so that blocks are cut by size, too.
                let bytes = 1 + (program::batch(client, sequence) % (6 << 20)) as u32;
                let report = BatchReport { client, sequence, records: 10, bytes };
                let content = program::batch(client, sequence);
                if let Ok(ticket) = own.put(source, report, content, now_ms) {
                    connection.waiting.push_back((ticket, sequence));
                    self.invariants.records.held((client, sequence), id);
                }
            }
        }
        self.settle_inbox(id);
    }

    /// Says whatever there is to say after something has changed.
    pub(super) fn settle_inbox(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Worker { inbox: Inbox { own, replicas, .. }, blocks, .. } = worker;
        let ready = own.ready(|source, only| match self.setting.plant {
            Some(Plant::ForgetsReports) => Held::default(),
            _ => {
                let mut held = self.clients.held(source, blocks, replicas);
                held.blocks.retain(|block| only.is_none_or(|only| only.contains(&block.id())));
                held
            }
        });
        let has_room = !ready.is_empty();
        for Ready { request, report, blocks } in ready {
            blocks.into_iter().for_each(|(block, batches)| self.store_received(id, block, batches));
            self.report(id, request, report);
        }
        self.acknowledge(id);
        if has_room {
            self.take_arrived(id);
        }
        self.stream_on(id);
    }

    fn report(&mut self, id: WorkerId, request: u64, report: BlocksReport) {
        for block in &report.blocks {
            let noted = self.clients.note(block);
            self.check(noted);
        }
        let own = report.blocks.iter().map(|block| block.sequence).filter(|block| receiver_of(*block) == id);
        if let Some(through) = own.max() {
            for left in &report.left {
                if let Some(worker) = self.workers.get_mut(left) {
                    worker.inbox.left.insert(id, through);
                }
            }
        }
        self.tell_master(id, ToMaster::Reported(request, report));
    }

    /// The block can be read from now on.
    pub(crate) fn store_received(&mut self, id: WorkerId, block: BlockId, batches: Vec<(BatchReport, u64)>) {
        let value = self.clients.block(batches);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.blocks.insert(block, value);
        }
    }

    fn acknowledge(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Inbox { own, connections, .. } = &mut worker.inbox;
        let at_once = self.setting.plant == Some(Plant::AcknowledgesAtOnce);
        let (through, is_alone) = (own.acknowledged(), own.holder() == Holder::Alone);
        let mut safe = Vec::new();
        for (nth, connection) in connections.iter_mut() {
            let mut last = None;
            while let Some((_, sequence)) =
                connection.waiting.pop_front_if(|(ticket, _)| *ticket <= through || at_once)
            {
                last = Some(sequence);
                let batch = (self.clients.all[connection.client as usize].id(), sequence);
                let checked = self.invariants.records.acknowledges(batch, is_alone);
                safe.push((None, checked));
            }
            if let Some(sequence) = last {
                safe.push((Some((connection.client, *nth, sequence)), Ok(())));
            }
        }
        // What was taken is still acknowledged.
        let is_open = self.program.clients.is_some_and(|source| own.has_room(source).is_ok());
        let closed = connections.extract_if(.., |_, connection| !is_open && connection.waiting.is_empty());
        let closed: Vec<(u64, u32)> = closed.map(|(nth, connection)| (nth, connection.client)).collect();
        for (acknowledged, checked) in safe {
            self.check(checked);
            if let Some((client, nth, sequence)) = acknowledged {
                self.tell_client(id, client, nth, ToClient::Acknowledged(sequence));
            }
        }
        for (nth, client) in closed {
            self.tell_client(id, client, nth, ToClient::Ended);
        }
    }

    /// What the master says.
    pub(crate) fn told_of_clients(&mut self, id: WorkerId, say: Say) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let inbox = &mut worker.inbox;
        match say {
            Say::Receive(receive) => {
                inbox.own.receive(receive);
                self.take_arrived(id);
            }
            Say::ReportBlocks { request, source } => {
                inbox.own.request(request, source);
                self.settle_inbox(id);
            }
            Say::ReportReplicas { request, lost } => {
                let (report, sealed) = inbox.replicas.report(lost);
                sealed.into_iter().for_each(|(block, batches)| self.store_received(id, block, batches));
                self.report(id, request, report);
                self.peer_is_lost(id, lost);
            }
            Say::Make { source, sequence, batches } => {
                let mut found = BTreeMap::new();
                for value in worker.blocks.values() {
                    let batches = self.clients.contents_of(*value).iter();
                    found.extend(batches.map(|batch| ((batch.0.client, batch.0.sequence), *batch)));
                }
                let made: Option<Vec<_>> = batches.iter().map(|batch| found.get(batch).copied()).collect();
                if let Some(made) = made {
                    let block = BlockId::Input { source, sequence };
                    self.store_received(id, block, made);
                    self.tell_master(id, ToMaster::Held(block));
                }
            }
            Say::Settled { source, through, keep, again } => {
                let Settled { useless, counted_on } = inbox.replicas.settled(source, through, &keep, &again);
                inbox.own.copied(&counted_on);
                worker.blocks.retain(|block, _| !useless.contains(block));
            }
        }
    }

    /// A worker process has ended: clients notice.
    pub(super) fn connections_end(&mut self, id: WorkerId, inbox: &Inbox) {
        for (nth, connection) in &inbox.connections {
            self.tell_client(id, connection.client, *nth, ToClient::Ended);
        }
    }

    /// A worker says to clients that it is there, and lets those go that are silent.
    pub(super) fn receiver_beats(&mut self, id: WorkerId) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let connections = &mut worker.inbox.connections;
        connections
            .retain(|_, connection| now_ms - connection.heard_ms <= cutwater_core::limits::SILENCE_MS_MAX);
        let all: Vec<(u64, u32)> = connections.iter().map(|(nth, it)| (*nth, it.client)).collect();
        for (nth, client) in all {
            self.tell_client(id, client, nth, ToClient::Ping);
        }
    }

    fn tell_client(&mut self, id: WorkerId, client: u32, nth: u64, message: ToClient) {
        self.send(Node::Worker(id), Node::Client(client), What::ToClient(id, client, nth, message));
    }
}
