//! What of the blocks that workers report an interval consists of.

use crate::{BlockId, counted::Counted};

use serde::{Deserialize, Serialize};

use super::{BatchReport, InputBlock, Remembered};

/// A block of an interval, in which something is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The block.
    pub block: BlockId,
    /// The places of its batches that were counted before: they are left out, whatever block they were in.
    pub left_out: Vec<u32>,
}

/// What is written down of a block of an interval beside its name. Tasks read no more of it than what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The places of its batches that were counted before.
    pub left_out: Vec<u32>,
    /// What it consists of, if only one worker held it when it was reported: the next master may need to have it made again.
    pub alone: Vec<BatchReport>,
}

/// What an interval takes from the blocks that were reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// What is in it, in the order of the reports.
    pub parts: Vec<Part>,
    /// Blocks in which nothing is new. Nobody will read them.
    pub useless: Vec<BlockId>,
    /// Records that are counted now, and their bytes.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The numbers of blocks that are of an interval already: workers tell another master of all that they hold, and not
/// all at the same time.
pub type Known = Remembered<u64>;

/// Counts what is new of the `blocks`, and leaves those alone that are known. Those in which something is new are known
/// from then on.
///
/// ```
/// use cutwater_core::{ClientId, clients::{BatchReport, InputBlock, cut::{Known, take}}, counted::Counted};
///
/// let batch = |sequence| BatchReport { client: ClientId(1), sequence, records: 10, bytes: 4 };
/// let block = |sequence, batches: &[u64]| {
///     let batches = batches.iter().map(|sequence| batch(*sequence)).collect();
///     InputBlock { source: 0, sequence, batches }
/// };
/// let (mut known, mut counted) = (Known::default(), Counted::default());
/// known.insert(4);
/// let blocks = [block(1, &[0, 1]), block(2, &[1]), block(3, &[1, 2]), block(4, &[3])];
/// let cut = take(&blocks, &mut known, &mut counted);
/// let parts: Vec<_> = cut.parts.into_iter().map(|part| (part.block, part.left_out)).collect();
/// assert_eq!(parts, [(blocks[0].id(), vec![]), (blocks[2].id(), vec![0])]);
/// assert_eq!((cut.useless, cut.records), (vec![blocks[1].id()], 30));
/// assert!(take(&blocks[..1], &mut known, &mut counted).useless.is_empty(), "it is needed, whoever reports it again");
/// ```
pub fn take(blocks: &[InputBlock], known: &mut Known, counted: &mut Counted) -> Cut {
    let mut cut = Cut::default();
    for block in blocks {
        if known.contains(&block.sequence) {
            continue;
        }
        let mut left_out: Vec<u32> = Vec::new();
        for (at, batch) in (0..).zip(&block.batches) {
            if counted.count(batch.client, batch.sequence) {
                cut.records += u64::from(batch.records);
                cut.bytes += u64::from(batch.bytes);
            } else {
                left_out.push(at);
            }
        }
        if left_out.len() == block.batches.len() {
            cut.useless.push(block.id());
        } else {
            known.insert(block.sequence);
            cut.parts.push(Part { block: block.id(), left_out });
        }
    }
    cut
}
