use std::time::Duration;

use cutwater::{DStream, StateSpec, testing::Harness};
use serde_json::Value as Json;

use super::{Trouble, number, partitions, program::records, word};
use crate::{Value, named};

/// An operation that keeps state.
pub(super) struct State<'a> {
    pub harness: &'a Harness,
    pub of: &'a DStream<Value>,
    pub operation: &'a Json,
}

impl State<'_> {
    /// The stream that the operation answers with, and that of its states if it is another.
    pub fn stream(&self) -> Result<Option<(DStream<Value>, Option<DStream<Value>>)>, Trouble> {
        let pairs = self.of.map(Value::into_pair);
        let function = word(self.operation, "fn");
        match word(self.operation, "op") {
            // The form with an iterator over a partition differs in its looks only.
            "update_state_by_key" => {
                let states = named!(
                    function,
                    [sum_plus_state append_values add_batch_time_if_values counter_with_idle_expiry_2],
                    |f| pairs.update_state_by_key_spec(f, self.spec()?)
                );
                let states = states.ok_or_else(|| Trouble::unknown(self.operation, "fn"))?.map(Value::from);
                Ok(Some((states, None)))
            }
            "map_with_state" => {
                let mapped = named!(
                    function,
                    [sum_return_sum sum_return_key_twice sum_return_pair sum_return_nothing
                     toggle_return_removed_key set_1_report_key_on_timeout],
                    |f| pairs.map_with_state_spec(f, self.spec()?)
                );
                let mapped = mapped.ok_or_else(|| Trouble::unknown(self.operation, "fn"))?;
                Ok(Some((mapped.mapped(), Some(mapped.state_snapshots().map(Value::from)))))
            }
            _ => Ok(None),
        }
    }

    fn spec(&self) -> Result<StateSpec<Value, Value>, Trouble> {
        let mut spec = StateSpec::new();
        if !self.operation["initial"].is_null() {
            let initial = records(&self.operation["initial"])?;
            spec = spec.initial_state(self.harness.ctx().parallelize(initial).map(Value::into_pair));
        }
        if let Some(partitions) = partitions(self.operation) {
            spec = spec.partitions(partitions);
        }
        if let Some(ms) = number(self.operation, "timeout_ms") {
            spec = spec.timeout(Duration::from_millis(ms));
        }
        Ok(spec)
    }
}
