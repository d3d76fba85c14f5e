use std::{
    collections::{HashMap, hash_map::Entry},
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
    /// One that holds the same.
    pub fn copied(&self) -> Self {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self { blocks: RwLock::new(blocks) }
    }

    /// Says whether the name was free.
    pub fn put(&self, id: BlockId, block: Block) -> bool {
        // A panic while the lock is held leaves the map as it was, so a poisoned one is sound.
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let Entry::Vacant(free) = blocks.entry(id) else { return false };
        free.insert(block);
        true
    }

    pub fn get(&self, id: BlockId) -> Option<Block> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn holds(&self, id: BlockId) -> bool {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// The names of all that it holds, in order.
    pub fn names(&self) -> Vec<BlockId> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<BlockId> = blocks.keys().copied().collect();
        names.sort_unstable();
        names
    }

    pub fn remove(&self, ids: &[BlockId]) {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        // Blocks are let go after the lock, since dropping a large one takes a while.
        let _gone: Vec<_> = ids.iter().filter_map(|id| blocks.remove(id)).collect();
        drop(blocks);
    }
}
