/// Once faults end, intervals come to their end.
#[derive(Default)]
pub(crate) struct Progress {
    calm_since_ms: Option<u64>,
}

/// How long an interval may take then. A few times the longest that anything is waited for: the silence after
/// which who was cut off is lost, and a fetch that was never answered.
const INTERVAL_MS_MAX: u64 = 40_000;

impl Progress {
    pub fn faults_end(&mut self, now_ms: u64) {
        self.calm_since_ms = Some(now_ms);
    }

    pub fn interval_ended(&mut self, now_ms: u64) {
        self.calm_since_ms = self.calm_since_ms.map(|_| now_ms);
    }

    pub fn goes_on(&self, now_ms: u64, is_some_open: bool, patience_ms: u64) -> Result<(), String> {
        match self.calm_since_ms {
            Some(since_ms) if is_some_open && now_ms > since_ms + INTERVAL_MS_MAX + patience_ms => {
                Err(format!("nothing fails any more, and no interval has ended for {} ms", now_ms - since_ms))
            }
            _ => Ok(()),
        }
    }
}
