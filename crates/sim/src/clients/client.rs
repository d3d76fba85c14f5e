use std::collections::VecDeque;

use cutwater_core::{ClientId, WorkerId, limits};

use crate::{
    message::{FromClient, ToClient},
    network::Node,
    simulation::{Simulation, What},
};

/// Batches that a client holds because they are not acknowledged; then whoever sends waits.
const PENDING_MAX: usize = 12;

/// A process outside that sends records.
pub struct Client {
    id: ClientId,
    /// What was not acknowledged, in order.
    pub pending: VecDeque<u64>,
    next: u64,
    connection: Option<Connection>,
}

struct Connection {
    nth: u64,
    to: WorkerId,
    /// It was welcomed.
    open: bool,
    heard_ms: u64,
}

impl Client {
    pub fn new(n: u32) -> Self {
        // Shown by their first digits.
        let id = ClientId(u128::from(n + 1) << 96);
        Self { id, pending: VecDeque::new(), next: 0, connection: None }
    }

    pub fn id(&self) -> ClientId {
        self.id
    }
}

impl Simulation {
    /// There are clients from now on, where the program has a source for them.
    pub(crate) fn start_clients(&mut self) {
        if self.program.clients.is_none() {
            return;
        }
        for n in 0..self.dice.between(1..4) as u32 {
            self.clients.all.push(Client::new(n));
            let at_ms = self.dice.below(300);
            self.at(at_ms, What::ClientSends(n));
            self.at(at_ms, What::ClientConnects(n));
        }
    }

    /// Another batch, for as long as there are intervals.
    pub(crate) fn client_sends(&mut self, n: u32) {
        if self.now_ms >= self.intervals * crate::simulation::INTERVAL_MS {
            return;
        }
        let client = &mut self.clients.all[n as usize];
        if client.pending.len() < PENDING_MAX {
            let sequence = client.next;
            client.next += 1;
            client.pending.push_back(sequence);
            if let Some(Connection { nth, to, open: true, .. }) = client.connection {
                self.tell_receiver(n, to, nth, FromClient::Batch(sequence));
            }
        }
        let next_ms = self.now_ms + self.dice.between(20..160);
        self.at(next_ms, What::ClientSends(n));
    }

    /// A client looks for a receiver, another than the last if there is one.
    pub(crate) fn client_connects(&mut self, n: u32) {
        let last = self.clients.all[n as usize].connection.take().map(|connection| connection.to);
        let all = self.workers.keys().copied().filter(|id| *id != WorkerId::MASTER);
        let (others, same): (Vec<WorkerId>, Vec<WorkerId>) = all.partition(|id| Some(*id) != last);
        let Some(to) = self.dice.pick(&others).or(same.first().copied()) else {
            return self.at(self.now_ms + limits::RECONNECT_MS_MIN, What::ClientConnects(n));
        };
        self.requests += 1;
        let (nth, heard_ms) = (self.requests, self.now_ms);
        self.clients.all[n as usize].connection = Some(Connection { nth, to, open: false, heard_ms });
        self.tell_receiver(n, to, nth, FromClient::Connect);
    }

    pub(crate) fn client_hears(&mut self, n: u32, nth: u64, message: ToClient) {
        let now_ms = self.now_ms;
        let client = &mut self.clients.all[n as usize];
        let Some(connection) = client.connection.as_mut().filter(|connection| connection.nth == nth) else {
            return;
        };
        connection.heard_ms = now_ms;
        let (id, to) = (client.id, connection.to);
        match message {
            ToClient::Ping => {}
            ToClient::Welcome => {
                connection.open = true;
                // What was sent on other connections and not acknowledged is sent again.
                for sequence in client.pending.clone() {
                    self.tell_receiver(n, to, nth, FromClient::Batch(sequence));
                }
            }
            ToClient::Acknowledged(through) => {
                self.log.say(now_ms, format_args!("c{n} hears from {to} that {id}#{through} is safe"));
                while let Some(sequence) = client.pending.pop_front_if(|sequence| *sequence <= through) {
                    self.invariants.records.acknowledged((id, sequence));
                }
            }
            ToClient::Ended => self.at(now_ms + limits::RECONNECT_MS_MIN, What::ClientConnects(n)),
        }
    }

    /// Clients say that they are there, and leave who is silent.
    pub(crate) fn clients_beat(&mut self) {
        for n in 0..self.clients.all.len() as u32 {
            let Some(connection) = &self.clients.all[n as usize].connection else { continue };
            let (nth, to, heard_ms) = (connection.nth, connection.to, connection.heard_ms);
            if self.now_ms - heard_ms > limits::SILENCE_MS_MAX {
                self.log.say(self.now_ms, format_args!("c{n} hears nothing from {to}"));
                self.client_connects(n);
            } else {
                self.tell_receiver(n, to, nth, FromClient::Ping);
            }
        }
    }

    fn tell_receiver(&mut self, n: u32, to: WorkerId, nth: u64, message: FromClient) {
        self.send(Node::Client(n), Node::Worker(to), What::ToReceiver(n, to, nth, message));
    }
}
