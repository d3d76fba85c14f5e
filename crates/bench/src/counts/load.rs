//! Clients that send at a rate, and know what was acknowledged.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutwater_client::{Client, ClientError};

use super::{KEYS, RECORD_BYTES, Tallies, Tally, program::SOURCE, write_record};
use crate::error::BenchError;

/// A rate that no machine reaches: as fast as records are taken.
pub const FLOOD: u64 = u64::MAX;
/// How often a client sends, in milliseconds.
const TICK_MS: u64 = 2;
/// Records that a client sends between two looks at whether to go on.
const BURST: u64 = 1_000;
/// How long a client looks for a receiver: longer than whatever is done to them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Clients, each on a thread of its own.
///
/// They do not slow down when nobody takes records: what was not sent in time is sent when somebody does.
pub struct Load {
    control: Arc<Control>,
    clients: Vec<JoinHandle<Result<Tallies, ClientError>>>,
}

struct Control {
    /// Of all clients together.
    records_per_s: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Starts so many, which find receivers by `address` and send nothing yet.
    ///
    /// # Errors
    /// This machine has no thread for them.
    pub fn start(clients: u32, address: &str, token_file: &Path) -> Result<Self, BenchError> {
        let control = Arc::new(Control { records_per_s: AtomicU64::new(0), over: AtomicBool::new(false) });
        let start = |number| {
            let client =
                Client::builder(address, SOURCE).token_file(token_file).patience(PATIENCE).build()?;
            let control = control.clone();
            Ok(thread::spawn(move || send(&client, number, clients, &control)))
        };
        let clients = (0..clients).map(start).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { control, clients })
    }

    /// How many records all clients together send in a second from now on.
    pub fn set_rate(&self, records_per_s: u64) {
        self.control.records_per_s.store(records_per_s, Ordering::Relaxed);
    }

    /// That no client has given up.
    ///
    /// # Errors
    /// One has.
    pub fn check(&self) -> Result<(), BenchError> {
        let gone = self.clients.iter().any(JoinHandle::is_finished);
        if gone { Err(BenchError::Wrong("a client has given up".into())) } else { Ok(()) }
    }

    /// Ends when all that was sent is acknowledged, and answers with that.
    ///
    /// # Errors
    /// A client found no receiver any more.
    pub fn finish(mut self) -> Result<Tallies, BenchError> {
        self.control.over.store(true, Ordering::Relaxed);
        let mut sum = vec![Tally::default(); KEYS as usize];
        for client in self.clients.drain(..) {
            let sent = client.join().map_err(|_| BenchError::Wrong("a client panicked".into()))?;
            for (sum, sent) in sum.iter_mut().zip(sent.map_err(failed)?) {
                *sum = sum.plus(sent);
            }
        }
        Ok(sum)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.control.over.store(true, Ordering::Relaxed);
    }
}

fn failed(error: ClientError) -> BenchError {
    BenchError::Wrong(format!("a client failed: {error}"))
}

fn send(client: &Client, number: u32, clients: u32, control: &Control) -> Result<Tallies, ClientError> {
    let (mut tallies, mut record) = (vec![Tally::default(); KEYS as usize], [0; RECORD_BYTES]);
    let (mut sent, mut due, mut then) = (0u64, 0.0, Instant::now());
    while !control.over.load(Ordering::Relaxed) {
        let (rate, now) = (control.records_per_s.load(Ordering::Relaxed), Instant::now());
        if rate == FLOOD {
            due = (sent + BURST) as f64;
        } else {
            due += now.duration_since(then).as_secs_f64() * rate as f64 / f64::from(clients);
        }
        then = now;
        while (sent as f64) < due.floor() {
            let (key, tally) = write_record(&mut record, number, sent);
            client.send(record)?;
            tallies[key as usize] = tallies[key as usize].plus(tally);
            sent += 1;
            if sent % BURST == 0 && control.over.load(Ordering::Relaxed) {
                break;
            }
        }
        if rate != FLOOD {
            thread::sleep(Duration::from_millis(TICK_MS));
        }
    }
    client.flush()?;
    if client.acknowledged() == sent {
        Ok(tallies)
    } else {
        let acknowledged = client.acknowledged();
        Err(ClientError::Machine(format!("{acknowledged} records acknowledged of {sent} that were sent")))
    }
}
