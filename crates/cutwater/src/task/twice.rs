//! The debug switch of D5: every task is run twice, and what its operators gave is compared.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hasher},
};

use cutwater_core::{BlockId, DatasetId};
use serde::Serialize;

use super::{Flow, Node};
use crate::block::Block;

/// What distinguishes an attempt that is compared with another.
#[derive(Default)]
pub(super) struct Watch {
    /// What its operators gave for which partitions, in the order in which they ended: an operator is
    /// before those that read from it.
    pub digests: RefCell<Vec<((DatasetId, u32), u64)>>,
    pub again: Option<Again>,
}

/// What is different in the second run.
pub(super) struct Again {
    /// Blocks that the first run stored: to be made again.
    pub hidden: Vec<BlockId>,
    /// Blocks of this run, which nobody else is to see.
    pub own: RefCell<HashMap<BlockId, Block>>,
}

impl Watch {
    /// For a run after one that stored the blocks `hidden`.
    pub fn again(hidden: Vec<BlockId>) -> Self {
        Self { digests: RefCell::default(), again: Some(Again { hidden, own: RefCell::default() }) }
    }

    /// Runs an operator that puts what it gives into a digest.
    pub fn digest(&self, node: Node<'_>, partition: u32, run: impl FnOnce(&mut Digest) -> Flow) -> Flow {
        let mut digest = Digest::default();
        let flow = run(&mut digest);
        self.digests.borrow_mut().push(((node.step.dataset.id, partition), digest.finish()));
        flow
    }

    /// The first partition for which `second` saw something else, hence that of the operator to blame:
    /// everything it read was the same. A partition may be computed several times in one run; one that
    /// only one of the runs computed says nothing, since it may have come to be stored, or gone from the
    /// store, in between.
    pub fn difference(&self, second: &Self) -> Option<(DatasetId, u32)> {
        let mut known: HashMap<_, VecDeque<u64>> = HashMap::new();
        for (partition, digest) in self.digests.borrow().iter() {
            known.entry(*partition).or_default().push_back(*digest);
        }
        second.digests.borrow().iter().find_map(|(partition, digest)| {
            let before = known.get_mut(partition)?.pop_front()?;
            (before != *digest).then_some(*partition)
        })
    }
}

/// Records of one partition, in order, as 64 bits of their serialised form.
#[derive(Default)]
pub(super) struct Digest {
    hasher: DefaultHasher,
    bytes: Vec<u8>,
}

impl Digest {
    pub fn add<T: Serialize>(&mut self, record: &T) {
        self.bytes.clear();
        match postcard::to_extend(record, std::mem::take(&mut self.bytes)) {
            Ok(bytes) => self.bytes = bytes,
            // What cannot be written counts as a record like any other of its kind.
            Err(_) => self.bytes = Vec::new(),
        }
        self.hasher.write_usize(self.bytes.len());
        self.hasher.write(&self.bytes);
    }

    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use crate::{Context, ErrorKind, testing::Harness};

    fn twice() -> Context {
        Context::builder("test").threads(2).run_twice(true).build().unwrap()
    }

    /// The operator that differs is named, not those that only pass it on.
    #[test]
    fn what_differs_is_named() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let counted = twice().parallelize(0..10).map(|n| n + CALLS.fetch_add(1, Relaxed));
        let error = counted.map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b).collect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        let message = error.to_string();
        assert!(message.contains("`map` at") && message.contains("not deterministic"), "{message}");
        let line = line!() - 5;
        assert!(message.contains(&format!("twice.rs:{line}")), "{message}");
    }

    #[test]
    fn what_fails_only_now_and_then_differs() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let fails = twice().parallelize_into(1, [1]).map(|n| {
            assert!(CALLS.fetch_add(1, Relaxed) == 0, "no second time");
            n
        });
        let message = fails.collect().unwrap_err().to_string();
        assert!(message.contains("no second time") && message.contains("not deterministic"), "{message}");
    }

    /// Shuffles, state and windows, whose blocks are kept and read again, are the same twice.
    #[test]
    fn the_engine_is_deterministic() {
        let second = Duration::from_secs(1);
        let harness = Harness::with(Context::builder("test").interval(second).threads(3).run_twice(true), 3);
        let input = harness.input((0..12).map(|i| (0..50).map(|n| (n * i % 17, 1)).collect()));
        let counts = harness.watch(&input.running_reduce(|a, b| a + b));
        let sums = input.reduce_by_key_and_window(|a, b| a + b, 5 * second, second);
        let inverse = input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 5 * second, second);
        let pairs = harness.watch(&sums.join(&inverse));
        let groups = harness.watch(&input.group_by_key_and_window(3 * second, 2 * second));
        harness.advance(12).unwrap();
        assert_eq!(counts.all().len(), 12);
        assert!(pairs.all().into_iter().flatten().flatten().all(|(_, (a, b))| a == b));
        assert_eq!(groups.all().len(), 6);
    }

    /// Functions run twice, records arrive once.
    #[test]
    fn answers_are_as_ever() {
        let ctx = twice();
        let numbers = ctx.parallelize(0..100).map(|n| n * 2).cache();
        assert_eq!(numbers.count().unwrap(), 100);
        assert_eq!(numbers.sort_by(|n| std::cmp::Reverse(*n)).unwrap().take(2).unwrap(), [198, 196]);
    }
}
