use std::fmt;

use bytes::Bytes;
use cutwater_core::{TaskError, clients::BatchReport};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Block, Parts, encode};

/// Received records as they came: batches of clients, one after the other.
///
/// Properties:
/// - nothing in it was looked at where it was received; the task that reads it takes the batches apart;
/// - a batch lies where it was read from its connection, and cloning it is free.
///
/// Network threads make it, compute threads read it. If the process dies, another worker holds it too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batches(pub Vec<Batch>);

impl Batches {
    /// What is reported of those in a block. One that came from elsewhere is not taken apart for that: its records would be in
    /// memory twice.
    pub fn reports(block: &Block) -> Result<Vec<BatchReport>, TaskError> {
        if let Some(bytes) = block.as_arrived() {
            let Heads(heads) = encode::decode_borrowed(bytes)?;
            return Ok(heads.into_iter().map(|head| head.report).collect());
        }
        let Self(batches) = block.get()?;
        Ok(batches.iter().map(|batch| batch.report).collect())
    }

    /// Appends the same bytes as any other block would be, and leaves records where they are.
    pub(super) fn append_to(&self, into: &mut Parts) -> Result<(), TaskError> {
        encode::append(&self.0.len(), &mut into.open)?;
        for Batch { report, content: Content(content) } in &self.0 {
            encode::append(&(report, content.len()), &mut into.open)?;
            into.share(content.clone());
        }
        Ok(())
    }
}

/// The same bytes, of which nothing is copied.
#[derive(Deserialize)]
struct Heads<'a>(#[serde(borrow)] Vec<Head<'a>>);

#[derive(Deserialize)]
struct Head<'a> {
    report: BatchReport,
    #[serde(rename = "content")]
    _content: &'a [u8],
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// What is reported of it, to every master that asks.
    pub report: BatchReport,
    content: Content,
}

impl Batch {
    pub fn new(report: BatchReport, content: Bytes) -> Self {
        Self { report, content: Content(content) }
    }

    /// Its records, in the layout of [`cutwater_wire::client`].
    pub fn content(&self) -> &[u8] {
        &self.content.0
    }
}

/// Bytes that travel as one piece.
#[derive(Clone, PartialEq, Eq)]
struct Content(Bytes);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Content, E> {
                Ok(Content(Bytes::copy_from_slice(bytes)))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::ClientId;

    use super::*;

    #[test]
    fn batches_survive_the_journey() {
        let report = BatchReport { client: ClientId(7), sequence: 3, records: 1, bytes: 3 };
        let batch = Batch::new(report, Bytes::from_static(b"abc"));
        let bytes = postcard::to_allocvec(&Batches(vec![batch.clone()])).unwrap();
        let Batches(back) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back, [batch]);
    }

    #[test]
    fn records_are_sent_from_where_they_lie() {
        let report = |bytes| BatchReport { client: ClientId(7), sequence: 300, records: 1, bytes };
        let batch = |bytes: usize| Batch::new(report(bytes as u32), vec![1; bytes].into());
        let block = Block::new(Batches([0, 3, 100_000, 200_000].map(batch).to_vec()));
        let mut parts = Parts::default();
        assert_eq!(block.append_to(&mut parts), Ok(block.to_bytes().unwrap().len()));
        let parts = parts.finish();
        assert!(parts.concat() == block.to_bytes().unwrap());
        let Batches(batches) = block.get().unwrap();
        assert!(parts.iter().any(|part| part.as_ptr() == batches[3].content().as_ptr()));
    }

    #[test]
    fn what_is_reported_is_the_same_where_a_block_was_made_and_where_it_came() {
        let report = |sequence| BatchReport { client: ClientId(7), sequence, records: 1, bytes: 3 };
        let batches = [3, 4].map(|sequence| Batch::new(report(sequence), Bytes::from_static(b"abc")));
        let made = Block::new(Batches(batches.to_vec()));
        let arrived = Block::arrived(made.to_bytes().unwrap());
        for block in [made, arrived] {
            assert_eq!(Batches::reports(&block).unwrap(), [report(3), report(4)]);
        }
    }
}
