use cutwater_core::{
    WorkerId,
    clients::{Entry, Holder, Teller},
    limits,
};

use super::receiver::Inbox;
use crate::{
    message::{Between, Replicas},
    network::Node,
    simulation::{Simulation, What},
};

/// The connection by which a worker has another hold what it receives.
pub struct Stream {
    nth: u64,
    to: WorkerId,
    /// The other has answered.
    open: bool,
    sent: u64,
    heard_ms: u64,
}

/// The other end of it.
pub struct Served {
    teller: Teller,
    held: u64,
    heard_ms: u64,
}

impl Simulation {
    /// There are these other workers.
    pub(crate) fn note_peers(&mut self, id: WorkerId, peers: Vec<WorkerId>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let inbox = &mut worker.inbox;
        inbox.replicas.are_there(peers.iter().copied());
        inbox.peers.extend(peers.into_iter().filter(|peer| *peer != id));
        if !inbox.peers.is_empty() && inbox.own.holder() == Holder::Alone {
            // From the first moment on nothing is acknowledged that only this one holds.
            self.hand_to(id, Holder::Sought);
        }
        self.seek_holder(id);
    }

    pub(super) fn peer_is_lost(&mut self, id: WorkerId, lost: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.inbox.peers.remove(&lost);
        if let Some(stream) = worker.inbox.stream.take_if(|stream| stream.to == lost) {
            self.stream_ends(id, &stream);
        }
    }

    /// Looks for a worker that holds replicas, if none does: the next by number.
    pub(crate) fn seek_holder(&mut self, id: WorkerId) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.inbox.stream.is_none()) else {
            return;
        };
        let Inbox { peers, turn, .. } = &mut worker.inbox;
        let next = peers.range(*turn..).find(|peer| **peer > *turn).or(peers.first()).copied();
        let Some(to) = next else { return self.hand_to(id, Holder::Alone) };
        *turn = to;
        self.requests += 1;
        let nth = self.requests;
        let (open, sent, heard_ms) = (false, 0, now_ms);
        worker.inbox.stream = Some(Stream { nth, to, open, sent, heard_ms });
        self.hand_to(id, Holder::Sought);
        self.tell_peer(id, to, nth, Replicas::Connect);
        self.at(now_ms + limits::HANDSHAKE_MS_MAX, What::ConnectLate(id, nth));
    }

    pub(crate) fn connect_is_late(&mut self, id: WorkerId, nth: u64) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.inbox.stream.take_if(|stream| stream.nth == nth && !stream.open).is_some() {
            self.seek_holder(id);
        }
    }

    /// Whoever held replicas does not any more; the next one is looked for.
    fn stream_ends(&mut self, id: WorkerId, stream: &Stream) {
        self.log.say(self.now_ms, format_args!("{} holds replicas for {id} no longer", stream.to));
        self.tell_peer(id, stream.to, stream.nth, Replicas::Ended);
        self.hand_to(id, Holder::Sought);
        match stream.open {
            true => self.seek_holder(id),
            false => self.at(self.now_ms + limits::RECONNECT_MS_MIN, What::SeekHolder(id)),
        }
    }

    fn hand_to(&mut self, id: WorkerId, holder: Holder) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let own = &mut worker.inbox.own;
        self.log.say(self.now_ms, format_args!("{id}: {holder:?}"));
        if own.holder() != holder || holder != Holder::Sought {
            own.hand_to(holder);
        }
        self.settle_inbox(id);
    }

    /// Tells the holder what there is to tell.
    pub(super) fn stream_on(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Inbox { own, stream, .. } = &mut worker.inbox;
        let Some(stream) = stream.as_mut().filter(|stream| stream.open) else { return };
        let (nth, to) = (stream.nth, stream.to);
        let mut entries = Vec::new();
        while let Some(entry) = own.entry(stream.sent) {
            stream.sent += 1;
            entries.push(entry);
        }
        for entry in entries {
            self.tell_peer(id, to, nth, Replicas::Entry(entry));
        }
    }

    pub(crate) fn hears_of_replicas(&mut self, from: WorkerId, id: WorkerId, nth: u64, message: Replicas) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&id) else {
            if !matches!(message, Replicas::Ended) {
                self.tell_peer(id, from, nth, Replicas::Ended);
            }
            return;
        };
        let inbox = &mut worker.inbox;
        if let Some(served) = inbox.serves.get_mut(&nth) {
            served.heard_ms = now_ms;
        }
        let stream = inbox.stream.as_mut().filter(|stream| stream.nth == nth);
        match message {
            Replicas::Connect => {
                let teller = inbox.replicas.connected(from);
                inbox.serves.insert(nth, Served { teller, held: 0, heard_ms: now_ms });
                self.tell_peer(id, from, nth, Replicas::Connected);
            }
            Replicas::Entry(entry) => self.replica(id, nth, entry),
            Replicas::Ended => {
                inbox.serves.remove(&nth);
                if let Some(stream) = inbox.stream.take_if(|stream| stream.nth == nth) {
                    self.stream_ends(id, &stream);
                }
            }
            Replicas::Ping | Replicas::Connected | Replicas::Held(_) => {
                let Some(stream) = stream else { return };
                stream.heard_ms = now_ms;
                match message {
                    Replicas::Connected => {
                        stream.open = true;
                        let to = stream.to;
                        self.hand_to(id, Holder::Peer(to));
                    }
                    Replicas::Held(count) => {
                        inbox.own.held(count);
                        self.settle_inbox(id);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Another worker has received something, and this one holds it too.
    fn replica(&mut self, id: WorkerId, nth: u64, entry: Entry<u64>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Inbox { serves, replicas, .. } = &mut worker.inbox;
        let Some(served) = serves.get_mut(&nth) else { return };
        let teller = served.teller;
        let owner = teller.owner();
        let sealed = match entry {
            Entry::Batch { source, block, report, content } => {
                let put = replicas.put(&teller, source, block, (report, content));
                if put.is_ok() {
                    self.invariants.records.held((report.client, report.sequence), id);
                }
                put.map(|()| None)
            }
            Entry::Sealed { source, block } => replicas.seal(&teller, source, block),
        };
        match sealed {
            Ok(sealed) => {
                served.held += 1;
                let held = served.held;
                sealed.into_iter().for_each(|(block, batches)| self.store_received(id, block, batches));
                self.tell_peer(id, owner, nth, Replicas::Held(held));
            }
            Err(_) => {
                serves.remove(&nth);
                self.tell_peer(id, owner, nth, Replicas::Ended);
            }
        }
    }

    /// A worker process has ended, and its connections with it: clients and other workers notice.
    pub(crate) fn inbox_ends(&mut self, id: WorkerId, inbox: &Inbox) {
        self.connections_end(id, inbox);
        let served = inbox.serves.iter().map(|(nth, served)| (served.teller.owner(), *nth));
        for (other, nth) in inbox.stream.iter().map(|stream| (stream.to, stream.nth)).chain(served) {
            self.tell_peer(id, other, nth, Replicas::Ended);
        }
    }

    /// A worker says to clients and other workers that it is there, and leaves those that are silent.
    pub(crate) fn inbox_beats(&mut self, id: WorkerId) {
        let now_ms = self.now_ms;
        self.receiver_beats(id);
        let is_silent = |heard_ms: u64| now_ms - heard_ms > limits::SILENCE_MS_MAX;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Inbox { stream, serves, .. } = &mut worker.inbox;
        serves.retain(|_, served| !is_silent(served.heard_ms));
        let served = serves.iter().map(|(nth, served)| (served.teller.owner(), *nth));
        let mut others: Vec<(WorkerId, u64)> = served.collect();
        let silent = stream.take_if(|stream| stream.open && is_silent(stream.heard_ms));
        others.extend(stream.iter().map(|stream| (stream.to, stream.nth)));
        for (other, nth) in others {
            self.tell_peer(id, other, nth, Replicas::Ping);
        }
        if let Some(stream) = silent {
            self.stream_ends(id, &stream);
        }
    }

    fn tell_peer(&mut self, id: WorkerId, to: WorkerId, nth: u64, message: Replicas) {
        let message = Between::Replicas(nth, message);
        self.send(Node::Worker(id), Node::Worker(to), What::Between(id, to, message));
    }
}
