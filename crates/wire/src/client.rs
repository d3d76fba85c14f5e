//! What clients and receivers tell each other, and receivers among themselves.
//!
//! Records are the bulk of everything, so they travel in a layout that nobody has to take apart on the way:
//! a client writes records into a [batch](Batch), which is a frame already, and a receiver puts what arrives
//! into a block as it is. Only the task that reads the block [looks at the records](records).
//!
//! ```text
//! batch    u64 LE sequence, u32 LE number of records, records
//! record   u32 LE length, bytes
//! ```

use std::fmt;

pub use cutwater_core::clients::{BatchReport, BlocksReport, InputBlock, Receive};
use cutwater_core::{ClientId, limits};
use serde::{Deserialize, Serialize};

use crate::{WireError, frame, handshake};

const BATCH_HEAD_BYTES: usize = 12;
const RECORD_HEAD_BYTES: usize = 4;

/// A new client's name, from the operating system's random numbers.
///
/// # Errors
/// The operating system has none.
pub fn new_client() -> Result<ClientId, WireError> {
    let random = handshake::random()?;
    Ok(ClientId(random.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))))
}

/// How the other end welcomes a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Whether it takes records itself; a master does not.
    pub takes: bool,
    /// Where the other receivers are; from a master, in the order in which this client is to try them.
    pub receivers: Vec<String>,
}

/// From a receiver to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// This batch, and all before it, are held by as many workers as it takes.
    Acknowledged(u64),
    /// Where the other receivers are now.
    Receivers(Vec<String>),
    /// No more is taken here, and why.
    Closed(String),
    /// Nothing: the receiver is alive.
    Ping,
}

/// Records on their way into one frame.
///
/// ```
/// use cutwater_wire::client::{Batch, BatchHead, records};
///
/// let mut batch = Batch::new();
/// batch.push(b"to be");
/// batch.push(b"");
/// assert_eq!((batch.records(), batch.bytes()), (2, 13));
/// let frame = batch.seal(7);
/// let (head, content) = BatchHead::split(&frame[8..])?;
/// assert_eq!((head.sequence, head.records), (7, 2));
/// let records: Result<Vec<&[u8]>, _> = records(content).collect();
/// assert_eq!(records.map_err(|error| error.to_string()), Ok(vec![&b"to be"[..], b""]));
/// # Ok::<(), cutwater_wire::WireError>(())
/// ```
#[derive(Debug)]
pub struct Batch {
    /// With room for the heads of the frame and of the batch.
    buffer: Vec<u8>,
    records: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self { buffer: vec![0; frame::HEAD_BYTES + BATCH_HEAD_BYTES], records: 0 }
    }

    /// Adds a record. Whoever adds keeps to [`limits::BATCH_BYTES_MAX`].
    pub fn push(&mut self, record: &[u8]) {
        // No record is longer than a batch may be, so nothing is cut off.
        self.buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.records += 1;
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.buffer.len() - frame::HEAD_BYTES - BATCH_HEAD_BYTES
    }

    /// How many bytes a record takes.
    pub fn bytes_of(record: &[u8]) -> usize {
        RECORD_HEAD_BYTES + record.len()
    }

    /// What has been gathered, as a frame that can be sent.
    pub fn seal(mut self, sequence: u64) -> Vec<u8> {
        let head = &mut self.buffer[frame::HEAD_BYTES..];
        head[..8].copy_from_slice(&sequence.to_le_bytes());
        head[8..BATCH_HEAD_BYTES].copy_from_slice(&self.records.to_le_bytes());
        if let Some(head) = frame::head_of(&[&self.buffer[frame::HEAD_BYTES..]]) {
            self.buffer[..frame::HEAD_BYTES].copy_from_slice(&head);
            return self.buffer;
        }
        // Records longer than a frame are rare.
        let mut frames = Vec::new();
        frame::encode(&self.buffer[frame::HEAD_BYTES..], &mut frames);
        frames
    }

    /// The records alone, for who needs no frame.
    pub fn into_content(mut self) -> Vec<u8> {
        self.buffer.drain(..frame::HEAD_BYTES + BATCH_HEAD_BYTES);
        self.buffer
    }
}

/// The longest message with a batch.
pub const BATCH_MESSAGE_BYTES_MAX: usize = limits::BATCH_BYTES_MAX + BATCH_HEAD_BYTES;

/// What stands before the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Counts the batches of a client from 0.
    pub sequence: u64,
    /// How many records the client says there are.
    pub records: u32,
}

impl BatchHead {
    /// How many bytes it takes.
    pub const BYTES: usize = BATCH_HEAD_BYTES;

    /// The head of a message with a batch, and its records.
    ///
    /// # Errors
    /// It is too short.
    pub fn split(message: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let (sequence, rest) = message.split_first_chunk().ok_or(WireError::NotCutwater)?;
        let (records, content) = rest.split_first_chunk().ok_or(WireError::NotCutwater)?;
        let head = Self { sequence: u64::from_le_bytes(*sequence), records: u32::from_le_bytes(*records) };
        Ok((head, content))
    }
}

/// The records of a batch. What cannot be taken apart ends them with an error.
pub fn records(content: &[u8]) -> Records<'_> {
    Records { content, at: 0 }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    content: &'a [u8],
    at: usize,
}

impl Records<'_> {
    /// Where the next record begins in the batch.
    pub fn offset(&self) -> usize {
        self.at
    }
}

/// A record that claims to be longer than the batch it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch ends within a record")
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.content[self.at..];
        if rest.is_empty() {
            return None;
        }
        let record = rest.split_first_chunk().and_then(|(length, rest)| {
            let length = u32::from_le_bytes(*length) as usize;
            rest.get(..length)
        });
        match record {
            Some(record) => {
                self.at += RECORD_HEAD_BYTES + record.len();
                Some(Ok(record))
            }
            None => {
                self.at = self.content.len();
                Some(Err(Truncated))
            }
        }
    }
}

/// From a receiver to the worker that holds replicas of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaHead {
    /// A batch for a block; its records follow.
    Batch {
        /// The source.
        source: u32,
        /// The block's number.
        block: u64,
        /// What the block's holder will report of it.
        batch: BatchReport,
    },
    /// The block takes no more.
    Sealed {
        /// The source.
        source: u32,
        /// The block's number.
        block: u64,
    },
    /// Nothing: the receiver is alive.
    Ping,
}

/// The longest message to a holder of replicas.
pub const REPLICA_MESSAGE_BYTES_MAX: usize = limits::BATCH_BYTES_MAX + 128;

impl ReplicaHead {
    /// The head as it stands before the records.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        Ok(postcard::to_allocvec(self)?)
    }

    /// The head of a message, and how many bytes it takes.
    ///
    /// # Errors
    /// There is none.
    pub fn split(message: &[u8]) -> Result<(Self, usize), WireError> {
        let (head, rest) = postcard::take_from_bytes(message)?;
        Ok((head, message.len() - rest.len()))
    }
}

/// From the holder of replicas: so many messages of this connection, pings apart, are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToOwner {
    /// So many so far.
    Held(u64),
    /// Nothing: the holder is alive.
    Ping,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_batch_of_any_size_is_a_message() {
        for length in [0, 1, frame::FRAME_BYTES_MAX, 3 * frame::FRAME_BYTES_MAX] {
            let mut batch = Batch::new();
            batch.push(&vec![7; length]);
            let (mut sent, mut message) = (&*batch.seal(3), Vec::new());
            assert!(frame::read(&mut sent, BATCH_MESSAGE_BYTES_MAX, &mut message).await.unwrap());
            let (head, content) = BatchHead::split(&message).unwrap();
            assert_eq!(head, BatchHead { sequence: 3, records: 1 });
            assert_eq!(records(content).collect::<Vec<_>>(), [Ok(&*vec![7; length])]);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_message_in_parts_is_a_message() {
        for length in [0, 5, frame::FRAME_BYTES_MAX] {
            let (mut sent, content) = (Vec::new(), vec![9; length]);
            frame::send_parts(&mut sent, b"head", &content).await.unwrap();
            let mut message = Vec::new();
            assert!(frame::read(&mut &*sent, frame::MESSAGE_BYTES_MAX, &mut message).await.unwrap());
            assert_eq!(message, [&b"head"[..], &content].concat());
        }
    }

    proptest! {
        #[test]
        fn records_come_back(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
            let mut batch = Batch::new();
            all.iter().for_each(|record| batch.push(record));
            let content = batch.into_content();
            let back: Vec<_> = records(&content).map(|record| record.unwrap().to_vec()).collect();
            prop_assert_eq!(back, all);
        }

        /// What a client sends is taken apart by tasks: it must end, and never panic.
        #[test]
        fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let taken: usize = records(&bytes).map(|record| record.map_or(0, <[u8]>::len)).sum();
            prop_assert!(taken <= bytes.len());
            let _ = BatchHead::split(&bytes);
            let _ = ReplicaHead::split(&bytes);
            let _ = postcard::from_bytes::<ToClient>(&bytes);
            let _ = postcard::from_bytes::<ToOwner>(&bytes);
            let _ = postcard::from_bytes::<BlocksReport>(&bytes);
        }
    }
}
