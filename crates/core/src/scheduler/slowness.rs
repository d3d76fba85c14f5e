//! Workers that are slow again and again.

use std::collections::BTreeMap;

use crate::{WorkerId, limits};

/// What workers have done in one run of a stage.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<WorkerId, Share>);

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    tasks: u64,
    ms: u64,
    beaten: bool,
}

impl Shares {
    /// A task of this worker took so long, or so long until it was `beaten` by a copy.
    pub(super) fn took(&mut self, worker: WorkerId, ms: u64, beaten: bool) {
        let share = self.0.entry(worker).or_default();
        share.tasks += 1;
        share.ms += ms;
        share.beaten |= beaten;
    }

    /// Who was slow and who was not, where tasks usually took `usual_ms`. Of the rest this run says nothing.
    ///
    /// A task that lost says little: on a machine that others use too any may be late. But a worker that was beaten
    /// and whose tasks took longer on the whole was slow.
    pub(super) fn verdicts(&self, usual_ms: u64) -> impl Iterator<Item = (WorkerId, Verdict)> {
        self.0.iter().filter_map(move |(worker, share)| {
            let is_late = share.ms * 100 > share.tasks * usual_ms * limits::STRAGGLER_PERCENT;
            match (share.beaten, is_late) {
                (true, true) => Some((*worker, Verdict::Slow)),
                // What takes no time takes none anywhere.
                (false, false) if usual_ms > 0 => Some((*worker, Verdict::AsFastAsOthers)),
                _ => None,
            }
        })
    }
}

/// What a run says of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Slow,
    AsFastAsOthers,
}

/// In how many runs a worker has lately been slow and in none as fast as others, and until when it gets no tasks for that.
///
/// The paper's implementation does not remember slow nodes, and says that a full one would (`paper.md` §7).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowness {
    strikes: u32,
    last_ms: u64,
    avoided_until_ms: u64,
}

impl Slowness {
    /// It was slow in a run. Says whether it is slow now; how long it is avoided doubles each time.
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

    /// It was as fast as others, so what came before was chance, or is over.
    pub(super) fn clear(&mut self) {
        self.strikes = 0;
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
        // Or after it has shown that it can.
        worker.clear();
        assert!(!worker.strike(20_002 + limits::STRIKES_FORGOTTEN_MS));
    }

    #[test]
    fn one_late_task_among_many_makes_nobody_slow() {
        let mut shares = Shares::default();
        let [slow, unlucky, skewed, usual] = [1, 2, 3, 4].map(WorkerId);
        shares.took(slow, 30, false);
        shares.took(slow, 300, true);
        (0..9).for_each(|_| shares.took(unlucky, 100, false));
        shares.took(unlucky, 250, true);
        // Nobody was faster with what it had to do.
        shares.took(skewed, 500, false);
        shares.took(usual, 90, false);
        let verdicts: Vec<_> = shares.verdicts(100).collect();
        assert_eq!(verdicts, [(slow, Verdict::Slow), (usual, Verdict::AsFastAsOthers)]);
        // Where others take no time to speak of it cannot be said that anybody is as fast.
        let mut short = Shares::default();
        short.took(usual, 0, false);
        assert_eq!(short.verdicts(0).count(), 0);
    }
}
