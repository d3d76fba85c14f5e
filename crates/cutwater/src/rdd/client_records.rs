use std::{marker::PhantomData, str};

use cutwater_wire::client::records;
use serde::de::DeserializeOwned;

use super::text_file::Lent;
use crate::{
    Record,
    block::{Batch, Batches},
    source::{Malformed, OnMalformed},
    task::{Emit, Finding, Flow, Look, Node, Operator},
};

/// Calls `each` with every record of a partition of received blocks, in which nobody has looked for records
/// before. What cannot be understood is left to the source's policy.
///
/// The partition's split has its block and which of the batches in it are left out, since they count elsewhere.
fn each_record(
    node: Node<'_>,
    partition: u32,
    policy: OnMalformed,
    mut each: impl FnMut(&[u8]) -> Result<Flow, String>,
) -> Flow {
    let left_out: Vec<u32> = node.interval(partition)?;
    node.received_block(partition, |Batches(batches): &Batches| {
        for (_, batch) in (0u32..).zip(batches).filter(|(at, _)| left_out.binary_search(at).is_err()) {
            let mut records = records(batch.content());
            let mut count = 0;
            loop {
                let offset = records.offset();
                let (bytes, error) = match records.next() {
                    None => break,
                    Some(Ok(record)) => match each(record) {
                        Ok(flow) => {
                            count += 1;
                            flow?;
                            continue;
                        }
                        Err(error) => (record, error),
                    },
                    Some(Err(error)) => (&batch.content()[offset..], error.to_string()),
                };
                let malformed = malformed(batch, bytes, offset, error);
                match policy {
                    OnMalformed::Fail => return node.refuse(malformed),
                    OnMalformed::Report => node.report(partition, Finding::Malformed(malformed)),
                }
            }
            node.go_on(count)?;
        }
        Flow::Continue(())
    })
}

fn malformed(batch: &Batch, bytes: &[u8], offset: usize, error: String) -> Malformed {
    let place = format!("batch {} of {}", batch.report.sequence, batch.report.client);
    Malformed { bytes: bytes.to_owned(), place, offset: offset as u64, error }
}

/// Records of clients that are text.
pub(crate) struct ClientLines(OnMalformed);

impl Operator for ClientLines {
    type Env = OnMalformed;
    type Out = String;

    fn rebuild(policy: OnMalformed) -> Self {
        Self(policy)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        each_record(node, partition, self.0, |record| text(record).map(|text| emit(text.to_owned())))
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, String>) -> Flow {
        let mut lent = Lent::default();
        each_record(node, partition, self.0, |record| text(record).map(|text| lent.put(text, look)))?;
        lent.hand_out(look)
    }

    fn lends(&self, _: Node<'_>) -> bool {
        true
    }
}

fn text(record: &[u8]) -> Result<&str, String> {
    str::from_utf8(record).map_err(|error| format!("not UTF-8: {error}"))
}

/// Records of clients that are JSON values.
pub(crate) struct ClientJson<T>(OnMalformed, PhantomData<fn() -> T>);

impl<T: Record + DeserializeOwned> Operator for ClientJson<T> {
    type Env = OnMalformed;
    type Out = T;

    fn rebuild(policy: OnMalformed) -> Self {
        Self(policy, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        each_record(node, partition, self.0, |record| {
            let value = node.call(|| serde_json::from_slice(record));
            value.map(&mut *emit).map_err(|error| error.to_string())
        })
    }
}
