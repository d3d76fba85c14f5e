use cutwater_core::{Time, limits};

/// How far the clocks of two machines are apart.
///
/// The time that a message takes makes the other clock look slower by as much, which is far below what
/// matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skew {
    pub theirs: Time,
    pub ours: Time,
}

impl Skew {
    /// By how many milliseconds the other clock is ahead.
    pub fn ms(&self) -> i64 {
        self.theirs.as_ms().saturating_sub(self.ours.as_ms())
    }

    /// What is to be said if they are too far apart.
    pub fn fault(&self) -> Option<String> {
        let (ms, max) = (self.ms(), limits::CLOCK_SKEW_MS_MAX);
        (ms.saturating_abs() > max).then(|| {
            format!(
                "its clock says {} and the master's {}, {} ms {}, and {max} are allowed; synchronise the clocks of the machines (NTP)",
                self.theirs,
                self.ours,
                ms.saturating_abs(),
                if ms > 0 { "ahead" } else { "behind" },
            )
        })
    }
}

/// Tells once that a clock has gone wrong, and once that it is right again.
#[derive(Default)]
pub(super) struct Watch {
    wrong: bool,
}

impl Watch {
    pub fn see(&mut self, worker: cutwater_core::WorkerId, address: &str, skew: Skew) {
        match skew.fault() {
            Some(why) if !self.wrong => {
                tracing::warn!(%worker, address, %why, "the clocks are too far apart")
            }
            None if self.wrong => {
                tracing::info!(%worker, address, skew_ms = skew.ms(), "the clocks agree again")
            }
            _ => tracing::debug!(%worker, skew_ms = skew.ms(), "clocks compared"),
        }
        self.wrong = skew.fault().is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_judged_by_their_difference() {
        let skew = |theirs, ours| Skew { theirs: Time::from_ms(theirs), ours: Time::from_ms(ours) };
        let max = limits::CLOCK_SKEW_MS_MAX;
        assert_eq!(skew(max, 0).fault(), None);
        assert_eq!(skew(0, max).fault(), None);
        let ahead = skew(1_700_000_000_000 + max + 1, 1_700_000_000_000).fault().unwrap();
        assert!(ahead.contains("10001 ms ahead") && ahead.contains("NTP"), "{ahead}");
        assert!(skew(0, 60_000).fault().unwrap().contains("60000 ms behind"));
        // Whatever a peer says does no harm.
        assert!(skew(i64::MIN, i64::MAX).fault().is_some() && skew(i64::MAX, i64::MIN).fault().is_some());
    }
}
