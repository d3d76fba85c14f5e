use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cutwater_core::limits;

/// Memory that batches are read into, and read into again when no interval needs them any more.
///
/// Memory that is new to a process has first to be found and cleared by the system, which takes longer than receiving
/// what goes into it; and since batches are held until states are written, allocators give it back in between.
///
/// Properties:
/// - what is free lies by its size, a multiple of [`limits::BUFFER_GRAIN_BYTES`], so that little of it is wasted;
///   a batch that is shorter than one grain has memory of its own;
/// - what lay unused for [`limits::BUFFER_IDLE_MS`] is given back.
///
/// Connections take from it on the network thread, and whoever lets go of a batch last puts it back. If the process
/// dies, it is gone with all it held.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Shelves>);

#[derive(Default)]
struct Shelves {
    /// By how many grains they have.
    free: BTreeMap<usize, Vec<Vec<u8>>>,
    free_grains: usize,
    /// The least that was free since a moment: so much was not needed.
    unused_grains: usize,
    since: Option<Instant>,
}

/// A batch in memory that goes back when nobody looks at it any more.
struct Kept {
    memory: Vec<u8>,
    to: Arc<Buffers>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.to.put_back(std::mem::take(&mut self.memory), Instant::now());
    }
}

impl Buffers {
    /// Memory for so many bytes.
    pub fn take(&self, bytes: usize) -> Vec<u8> {
        if bytes < limits::BUFFER_GRAIN_BYTES {
            return Vec::with_capacity(bytes);
        }
        let grains = bytes.div_ceil(limits::BUFFER_GRAIN_BYTES);
        let free = self.shelves().take(grains);
        free.unwrap_or_else(|| Vec::with_capacity(grains * limits::BUFFER_GRAIN_BYTES))
    }

    /// What was read into memory from here.
    pub fn keep(self: &Arc<Self>, memory: Vec<u8>) -> Bytes {
        if memory.capacity() < limits::BUFFER_GRAIN_BYTES {
            return memory.into();
        }
        Bytes::from_owner(Kept { memory, to: self.clone() })
    }

    fn put_back(&self, mut memory: Vec<u8>, now: Instant) {
        memory.clear();
        let unused = self.shelves().put(memory, now);
        // Given back without the lock.
        drop(unused);
    }

    fn shelves(&self) -> std::sync::MutexGuard<'_, Shelves> {
        // Every change is complete before the lock is let go, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn take(&mut self, grains: usize) -> Option<Vec<u8>> {
        let memory = self.free.get_mut(&grains)?.pop()?;
        self.free_grains -= grains;
        self.unused_grains = self.unused_grains.min(self.free_grains);
        Some(memory)
    }

    /// Answers what is not needed.
    fn put(&mut self, memory: Vec<u8>, now: Instant) -> Vec<Vec<u8>> {
        let grains = memory.capacity() / limits::BUFFER_GRAIN_BYTES;
        self.free.entry(grains).or_default().push(memory);
        self.free_grains += grains;
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) < Duration::from_millis(limits::BUFFER_IDLE_MS) {
            return Vec::new();
        }
        let mut unused = Vec::new();
        for (grains, free) in self.free.iter_mut().rev() {
            while self.unused_grains >= *grains
                && let Some(memory) = free.pop()
            {
                self.unused_grains -= grains;
                self.free_grains -= grains;
                unused.push(memory);
            }
        }
        self.free.retain(|_, free| !free.is_empty());
        (self.unused_grains, self.since) = (self.free_grains, Some(now));
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAIN: usize = limits::BUFFER_GRAIN_BYTES;

    #[test]
    fn memory_is_used_again_when_the_last_look_at_it_ends() {
        let buffers = Arc::new(Buffers::default());
        let mut memory = buffers.take(2 * GRAIN + 1);
        assert_eq!(memory.capacity(), 3 * GRAIN);
        memory.extend_from_slice(b"batch");
        let place = memory.as_ptr();
        let batch = buffers.keep(memory);
        let part = batch.slice(2..);
        drop(batch);
        let other = buffers.take(3 * GRAIN);
        assert_ne!(other.as_ptr(), place, "somebody still looks at it");
        assert_eq!(part, b"tch"[..]);
        drop(part);
        assert_eq!(buffers.take(GRAIN).capacity(), GRAIN, "not what is too long for it");
        let again = buffers.take(3 * GRAIN);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(buffers.take(7).capacity(), 7, "short batches have memory of their own");
    }

    #[test]
    fn what_lay_unused_is_given_back() {
        let buffers = Buffers::default();
        let begin = Instant::now();
        let after = |idles: u64| begin + Duration::from_millis(idles * limits::BUFFER_IDLE_MS);
        let free = || buffers.shelves().free_grains;
        let all: Vec<_> = (0..8).map(|_| buffers.take(GRAIN)).collect();
        for memory in all {
            buffers.put_back(memory, begin);
        }
        assert_eq!(free(), 8);
        // It was not all free at all times yet; from now on five of eight are used now and then.
        let used = |idles: u64| {
            let used: Vec<_> = (0..5).map(|_| buffers.take(GRAIN)).collect();
            for memory in used {
                buffers.put_back(memory, after(idles));
            }
        };
        used(1);
        assert_eq!(free(), 8);
        used(2);
        assert_eq!(free(), 5);
        used(3);
        assert_eq!(free(), 5);
    }
}
