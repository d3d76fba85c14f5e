//! What workers receive from clients: who holds it, who hears of it, and in which interval it is.
//!
//! ```text
//! client ── batches ──▶ Own ── entries ──▶ Replicas of another worker
//!        ◀─ acknowledged ┘ ◀──── held ────────┘
//!                          │
//!         Reception: report your blocks ──▶ the interval's input, without what was counted before
//! ```
//!
//! - [`Own`]: the blocks that a worker fills, and who holds them too; [`Replicas`]: what it holds of others;
//! - [`Kept`]: what a worker has of both that is lost to its master, and comes back with;
//! - [`Reception`]: what the master hears of them, on its way into intervals;
//! - [`cut`](cut::take): what of it is new.
//!
//! Records are whatever the runtime has for them: a type of which nothing is asked but that it can be cloned. Who sends
//! and reads, keeps time and holds locks is the runtime.

use serde::{Deserialize, Serialize};

use crate::{BlockId, ClientId, WorkerId, limits};

pub mod cut;
mod kept;
mod own;
mod reception;
mod remembered;
mod replicas;

pub use kept::Kept;
pub use own::{Entry, Held, Holder, Own, Ready, Refused};
pub use reception::{Consequences, Received, Reception, Say};
pub use remembered::Remembered;
pub use replicas::{OwnerLost, Replicas, Settled, Teller};

/// A batch by its names: who sent it, and its number with that client. Under one name there is one content.
pub type Numbered = (ClientId, u64);

/// What a worker reports of a batch that is in one of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReport {
    /// Who sent it.
    pub client: ClientId,
    /// Its number with that client.
    pub sequence: u64,
    /// How many records the client says there are.
    pub records: u32,
    /// Their bytes.
    pub bytes: u32,
}

/// What a worker reports of a block of received records, once it takes no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputBlock {
    /// The source whose records they are.
    pub source: u32,
    /// The block's number, in which is [who received it](crate::id::receiver_of).
    pub sequence: u64,
    /// What it consists of, in order.
    pub batches: Vec<BatchReport>,
}

impl InputBlock {
    /// Its name.
    pub fn id(&self) -> BlockId {
        BlockId::Input { source: self.source, sequence: self.sequence }
    }
}

/// A worker's answer when it is asked for its blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksReport {
    /// Blocks in the order of their numbers. The worker holds them.
    pub blocks: Vec<InputBlock>,
    /// How many of them, the first ones, are told of again: a master before may not have written down what they consist of,
    /// or whoever reported them may have been lost before it could say so. Blocks of other workers may be among these. Who holds
    /// them was said, or is said, elsewhere.
    pub again: u64,
    /// Who else holds all of the others.
    pub replica: Option<WorkerId>,
    /// Of whom it holds replicas, if it has had another master: they may be lost, and this one may not know them.
    pub owners: Vec<WorkerId>,
    /// Who may have beginnings of them, of no use to anybody.
    pub left: Vec<WorkerId>,
    /// Connections that had to wait, since their source was full.
    pub deferred: u64,
}

/// How a receiver is to take records for a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receive {
    /// The source.
    pub source: u32,
    /// Its name, by which clients ask for it.
    pub name: String,
    /// Whether records are taken at all; at the end of a program they are not.
    pub open: bool,
    /// The most records that this worker may take until they are reported.
    pub records_max: u64,
    /// The same in bytes.
    pub bytes_max: u64,
    /// Blocks are numbered from here on at least, since those before have names that are known.
    pub blocks_from: u64,
    /// How long a block takes records, in milliseconds.
    pub block_ms: u64,
}

impl Receive {
    /// A source that has just begun: records are taken, within these bounds, into blocks from the first number on.
    ///
    /// ```
    /// use cutwater_core::{clients::Receive, limits};
    ///
    /// let clicks = Receive::new(0, "clicks", 100, 1_000);
    /// assert!(clicks.open && clicks.block_ms == limits::INPUT_BLOCK_MS);
    /// ```
    pub fn new(source: u32, name: impl Into<String>, records_max: u64, bytes_max: u64) -> Self {
        let (name, block_ms) = (name.into(), limits::INPUT_BLOCK_MS);
        Self { source, name, open: true, records_max, bytes_max, blocks_from: 0, block_ms }
    }
}
