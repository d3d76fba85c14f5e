use std::fmt;

use bytes::Bytes;
use cutwater_core::clients::BatchReport;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Received records as they came: batches of clients, one after the other.
///
/// Properties:
/// - nothing in it was looked at where it was received; the task that reads it takes the batches apart;
/// - a batch lies where it was read from its connection, and cloning it is free.
///
/// Network threads make it, compute threads read it. If the process dies, another worker holds it too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batches(pub Vec<Batch>);

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
}
