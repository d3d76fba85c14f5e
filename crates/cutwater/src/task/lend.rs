//! Records that are only looked at.
//!
//! An operator gives its records away: whoever reads from it has them and may keep them. Many readers
//! only look (a filter, a count, whatever takes words out of lines), and many records lie somewhere
//! already: in a block, or in the text of a file. So an operator can also be asked to *lend* them, some
//! at a time, in one slice. Nothing is cloned that nobody keeps.
//!
//! Keys are lent the same way, to whoever combines by key and has most of them already.

use super::{Flow, Node};

/// Who looks at records that are lent, some at a time and at least one.
pub(crate) type Look<'a, T> = dyn FnMut(&[T]) -> Flow + 'a;

/// Records lent at a time: enough that keys which are looked up together come from many of them, and few
/// enough that they stay in the nearest cache and that little is computed in vain for a reader that stops.
pub(crate) const LENT_RECORDS: usize = 64;

/// Who takes pairs with borrowed keys, some at a time, and leaves none.
pub(crate) type LendKeys<'a, V> = dyn FnMut(&mut Vec<(&str, V)>) -> Flow + 'a;

/// How an operator of pairs `(String, V)` computes a partition without making a `String` of each key.
pub(crate) struct KeyLender<V>(Box<Lend<V>>);

type Lend<V> = dyn Fn(Node<'_>, u32, &mut LendKeys<'_, V>) -> Flow + Send + Sync;

impl<V> KeyLender<V> {
    pub fn new(lend: impl Fn(Node<'_>, u32, &mut LendKeys<'_, V>) -> Flow + Send + Sync + 'static) -> Self {
        Self(Box::new(lend))
    }

    pub fn lend(&self, node: Node<'_>, partition: u32, take: &mut LendKeys<'_, V>) -> Flow {
        (self.0)(node, partition, take)
    }
}
