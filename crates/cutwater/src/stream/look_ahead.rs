use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cutwater_core::{DatasetId, Shape};

use crate::rdd::DatasetNode;

/// What of an interval may be made before the one before it is over: the write sides of shuffles nearest to its sources, of
/// the streams that its outputs will ask for.
#[derive(Default)]
pub(crate) struct LookAhead {
    pub(super) streams: HashSet<usize>,
    /// By dataset, whether a shuffle is behind it.
    seen: HashMap<DatasetId, bool>,
    found: Vec<Arc<DatasetNode>>,
}

impl LookAhead {
    /// What was found.
    pub fn into_write_sides(self) -> Vec<Arc<DatasetNode>> {
        self.found
    }

    /// Says whether a shuffle is behind it, or it is the write side of one.
    pub(super) fn look_at(&mut self, node: &Arc<DatasetNode>) -> bool {
        if let Some(known) = self.seen.get(&node.dataset.id) {
            return *known;
        }
        // Of all parents, whatever the first of them says.
        let behind: Vec<bool> = node.parents().iter().map(|parent| self.look_at(parent)).collect();
        let is_write_side = matches!(node.dataset.shape, Shape::Pieces(_));
        let behind = behind.contains(&true);
        if is_write_side && !behind {
            self.found.push(node.clone());
        }
        self.seen.insert(node.dataset.id, behind || is_write_side);
        behind || is_write_side
    }
}
