use std::{hint, mem, sync::Arc};

use super::node::{self, BITS, Node};

/// How many ways down a tree are walked side by side: about as many loads as a core keeps in flight.
const ABREAST: usize = 16;

/// Brings into the cache what changes at these paths will read and, where it has to be copied, the
/// reference counts next to it.
pub(super) fn warm<K, V>(root: &Node<K, V>, mut paths: impl Iterator<Item = u32>) {
    let mut seen = 0;
    // The node each way has come to, what is left of its path, and whether another version holds
    // that node too.
    let mut ways = Vec::with_capacity(ABREAST);
    loop {
        ways.clear();
        ways.extend(paths.by_ref().take(ABREAST).map(|path| (root, path, false)));
        if ways.is_empty() {
            break;
        }
        let mut further = true;
        // One step of each, and then the next of each: no load waits for the one before it.
        while mem::take(&mut further) {
            for (node, rest, shared) in &mut ways {
                let Node::Branch(children) = *node else { continue };
                *shared |= Arc::strong_count(children) > 1;
                if *shared {
                    seen += children.iter().map(holders).sum::<usize>();
                }
                *node = &children[node::digit(*rest, 0)];
                *rest <<= BITS;
                further = true;
            }
        }
        for (leaf, rest, _) in &ways {
            let slots = leaf.slots();
            let near = node::guess(*rest, slots.len());
            // A leaf is some cache lines long: those around the entry, and the last, where it is seen
            // whether there is room.
            for at in [near.saturating_sub(2), near + 1, slots.len().saturating_sub(1)] {
                seen += usize::from(slots.get(at).is_some_and(Option::is_some));
            }
        }
    }
    // The loads are the point, so they may not be optimised away.
    hint::black_box(seen);
}

fn holders<K, V>(node: &Node<K, V>) -> usize {
    match node {
        Node::Leaf(slots) => Arc::strong_count(slots),
        Node::Branch(children) => Arc::strong_count(children),
    }
}
