use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use cutwater_core::BlockId;

use super::Block;

/// The blocks that a worker holds.
///
/// Properties:
/// - a name is bound once: storing a block again under it changes nothing that anyone can see;
/// - a block leaves only when the scheduler says so.
///
/// Any thread of the worker reads it; compute threads and receivers write. If the process dies the
/// scheduler learns that these blocks are gone.
#[derive(Default)]
pub(crate) struct BlockStore {
    blocks: RwLock<HashMap<BlockId, Block>>,
}

impl BlockStore {
    pub fn put(&self, id: BlockId, block: Block) {
        // A panic while the lock is held leaves the map as it was, so a poisoned one is sound.
        self.blocks.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(block);
    }

    pub fn get(&self, id: BlockId) -> Option<Block> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn remove(&self, ids: &[BlockId]) {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        // Blocks are let go after the lock, since dropping a large one takes a while.
        let _gone: Vec<_> = ids.iter().filter_map(|id| blocks.remove(id)).collect();
        drop(blocks);
    }
}
