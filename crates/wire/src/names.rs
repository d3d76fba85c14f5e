//! Many blocks in few bytes.

use cutwater_core::{BlockId, DatasetId, limits::PARTITIONS_MAX};
use serde::{Deserialize, Serialize};

use crate::WireError;

/// A block, or all that a map partition has written: its pieces have numbers in a row.
///
/// ```
/// use cutwater_core::{BlockId, DatasetId};
/// use cutwater_wire::names::Blocks;
///
/// let piece = |reduce| BlockId::Piece { dataset: DatasetId(3), map: 1, reduce };
/// let blocks = [piece(0), piece(1), piece(2), BlockId::Input { source: 0, sequence: 7 }];
/// let short = Blocks::short(&blocks);
/// assert_eq!(short.len(), 2);
/// assert_eq!(Blocks::long(&short)?, blocks);
/// # Ok::<(), cutwater_wire::WireError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocks {
    /// Just this one.
    One(BlockId),
    /// Pieces of one map partition.
    Pieces {
        /// Which dataset.
        dataset: DatasetId,
        /// The partition that wrote them.
        map: u32,
        /// The first.
        reduce: u32,
        /// How many.
        count: u32,
    },
}

impl Blocks {
    /// Names for `blocks`, in order.
    pub fn short(blocks: &[BlockId]) -> Vec<Self> {
        let mut short: Vec<Self> = Vec::new();
        for block in blocks {
            let BlockId::Piece { dataset, map, reduce } = *block else {
                short.push(Self::One(*block));
                continue;
            };
            match short.last_mut() {
                Some(Self::Pieces { dataset: d, map: m, reduce: first, count })
                    if *d == dataset && *m == map && first.checked_add(*count) == Some(reduce) =>
                {
                    *count += 1;
                }
                _ => short.push(Self::Pieces { dataset, map, reduce, count: 1 }),
            }
        }
        short
    }

    /// The blocks that are meant, in order.
    ///
    /// # Errors
    /// More are meant than there can be.
    pub fn long(short: &[Self]) -> Result<Vec<BlockId>, WireError> {
        let mut blocks = Vec::with_capacity(short.len());
        for names in short {
            match *names {
                Self::One(block) => blocks.push(block),
                Self::Pieces { dataset, map, reduce, count } => {
                    let end = reduce.checked_add(count).filter(|_| count <= PARTITIONS_MAX);
                    let end = end.ok_or(WireError::TooLong { max: PARTITIONS_MAX as usize })?;
                    blocks.extend((reduce..end).map(|reduce| BlockId::Piece { dataset, map, reduce }));
                }
            }
        }
        Ok(blocks)
    }
}
