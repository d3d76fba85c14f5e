//! Workers that are slow again and again.

use crate::limits;

/// How often a worker has lately lost against copies of its tasks, and until when it gets none for that.
///
/// The paper's implementation does not remember slow nodes, and says that a full one would (`paper.md` §7).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowness {
    strikes: u32,
    last_ms: u64,
    avoided_until_ms: u64,
}

impl Slowness {
    /// It has lost against a copy. Says whether it is slow now; how long it is avoided doubles each time.
    pub(super) fn strike(&mut self, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.last_ms) > limits::STRIKES_FORGOTTEN_MS {
            self.strikes = 0;
        }
        self.strikes += 1;
        self.last_ms = now_ms;
        let Some(times) = self.strikes.checked_sub(limits::STRIKES_MAX) else { return false };
        let ms = limits::AVOIDED_MS_MIN << times.min(16);
        self.avoided_until_ms = now_ms + ms.min(limits::AVOIDED_MS_MAX);
        true
    }

    pub(super) fn is_avoided(&self, now_ms: u64) -> bool {
        now_ms < self.avoided_until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_chance_and_again_is_avoided_for_longer_each_time() {
        let mut worker = Slowness::default();
        assert!(!worker.strike(1_000));
        assert!(!worker.is_avoided(1_000));
        assert!(worker.strike(2_000));
        assert!(worker.is_avoided(6_999) && !worker.is_avoided(7_000));
        assert!(worker.strike(8_000));
        assert!(worker.is_avoided(17_999) && !worker.is_avoided(18_000));
        (0..40).for_each(|_| assert!(worker.strike(20_000)));
        assert!(!worker.is_avoided(20_000 + limits::AVOIDED_MS_MAX));
        // And long after, once is chance again.
        assert!(!worker.strike(20_001 + limits::STRIKES_FORGOTTEN_MS));
    }
}
