use std::collections::BTreeMap;

use cutwater::{Error, ErrorKind};
use serde_json::Value as Json;

use super::{
    Trouble,
    program::{Program, records},
    seen::{Dataset, Run, Seen},
};
use crate::{Case, Difference, Value};

/// What a table says must come of a case.
pub(super) struct Expected<'a> {
    case: &'a Case,
    pub intervals: u64,
    slide_ms: Option<u64>,
    interval_ms: u64,
}

/// What is expected at a time: a dataset with these records, or none.
type Answers = BTreeMap<i64, Option<Vec<Value>>>;

impl<'a> Expected<'a> {
    pub fn of(case: &'a Case) -> Result<Self, Trouble> {
        let inputs = case.field("inputs").as_object().into_iter().flat_map(|inputs| inputs.values());
        let listed = inputs.chain([case.field("input")]).filter_map(|input| Some(input.as_array()?.len()));
        let listed = listed.max().map(|intervals| intervals as u64);
        let intervals = case.field("num_batches").as_u64().or(listed);
        Ok(Self {
            case,
            intervals: intervals.ok_or_else(|| Trouble::malformed("no number of intervals"))?,
            slide_ms: case.field("output_slide_ms").as_u64(),
            interval_ms: case.field("batch_interval_ms").as_u64().unwrap_or(1000),
        })
    }

    /// Everything that is not as it should be.
    pub fn compare(&self, program: &Program<'_>, run: &Run, seen: &Seen) -> Vec<Difference> {
        match self.case.field("expect_error") {
            Json::Null => {}
            error => return self.compare_error(error, program, run, seen),
        }
        let mut differences = Vec::new();
        if let Some(slide) = self.slide_ms.filter(|slide| *slide != program.slide_ms()) {
            differences.push(difference(None, &format!("a slide of {slide} ms"), program.slide_ms()));
        }
        differences.extend(run.refused.iter().map(|error| difference(None, "a program that runs", error)));
        let nonempty = self.case.field("expected_nonempty").as_array();
        if let Some(expected) = nonempty {
            differences.extend(self.compare_nonempty(expected, run, seen));
        } else {
            differences.extend(run.failures.iter().map(|(number, error)| {
                difference(Some(self.label(*number)), "an interval that does not fail", error)
            }));
        }
        if let Some(answers) = self.answers(program) {
            differences.extend(self.compare_answers(&answers, &seen.outputs.all()));
        }
        if let Some(snapshots) = &seen.snapshots {
            differences.extend(self.compare_snapshots(&snapshots.all()));
        }
        differences.extend(self.compare_partitions(&seen.outputs.all()));
        differences.extend(self.compare_assertions(seen));
        differences.extend(self.compare_retention(program, seen));
        differences
    }

    /// The time of interval number `number`.
    fn label(&self, number: u64) -> i64 {
        i64::try_from(number * self.interval_ms).unwrap_or(i64::MAX)
    }

    /// `expected_exact` where there is one, since `expected` is what another system does.
    fn answers(&self, program: &Program<'_>) -> Option<Answers> {
        let exact = self.case.field("expected_exact");
        let list = exact.as_array().or(self.case.field("expected").as_array())?;
        let times = self.case.field("expected_times_ms").as_array();
        let time = |i: usize| match times {
            Some(times) => times.get(i).and_then(Json::as_i64).unwrap_or(i64::MAX),
            None => i64::try_from((i as u64 + 1) * program.slide_ms()).unwrap_or(i64::MAX),
        };
        Some(list.iter().enumerate().map(|(i, records)| (time(i), listed(records))).collect())
    }

    fn compare_answers(&self, expected: &Answers, seen: &BTreeMap<i64, Dataset>) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (time, expected) in expected {
            let got = seen.get(time).map(|dataset| dataset.records.clone());
            let arranged = |records: &Option<Vec<Value>>| records.clone().map(|all| self.arranged(all));
            if arranged(expected) != arranged(&got) {
                differences.push(difference(Some(*time), &text(expected), text(&got)));
            }
        }
        for (time, dataset) in seen.iter().filter(|(time, _)| !expected.contains_key(time)) {
            differences.push(difference(Some(*time), "nothing", text(&Some(dataset.records.clone()))));
        }
        differences
    }

    /// Records so that they can be compared: without order where the case wants none, be it theirs or
    /// that of what is in them.
    fn arranged(&self, records: Vec<Value>) -> Vec<Value> {
        let mut records: Vec<_> = records.into_iter().map(Value::untyped).collect();
        if self.case.field("unordered_inner") == true {
            records = records.into_iter().map(sorted_inside).collect();
        }
        if self.case.field("compare_inner") == "multiset" {
            let grouped = |record: Value| {
                let (key, values) = record.into_pair();
                Value::pair(key, sorted_inside(values)).untyped()
            };
            records = records.into_iter().map(grouped).collect();
        }
        if self.case.field("unordered") == true {
            records.sort();
        }
        records
    }

    fn compare_snapshots(&self, seen: &BTreeMap<i64, Dataset>) -> Vec<Difference> {
        let exact = self.case.field("expected_state_snapshots_exact").as_array();
        let Some(list) = exact.or(self.case.field("expected_state_snapshots").as_array()) else {
            return Vec::new();
        };
        let mut differences = Vec::new();
        for (number, expected) in (1..).zip(list) {
            let time = self.label(number);
            let got = seen.get(&time).map(|dataset| sorted(dataset.records.clone()));
            let expected = listed(expected).map(sorted);
            if got != expected {
                let expected = format!("the states {}", text(&expected));
                differences.push(difference(Some(time), &expected, text(&got)));
            }
        }
        differences
    }

    fn compare_partitions(&self, seen: &BTreeMap<i64, Dataset>) -> Vec<Difference> {
        let Some(expected) = self.case.field("expected_partitions").as_u64() else { return Vec::new() };
        let others = seen.iter().filter(|(_, dataset)| u64::from(dataset.partitions) != expected);
        let text = format!("{expected} partitions");
        others.map(|(time, dataset)| difference(Some(*time), &text, dataset.partitions)).collect()
    }

    /// Outputs that have records, where some intervals fail.
    fn compare_nonempty(&self, expected: &[Json], run: &Run, seen: &Seen) -> Vec<Difference> {
        let mut differences = Vec::new();
        let got: Vec<_> = seen.outputs.all().into_values().map(|dataset| dataset.records).collect();
        let got: Vec<_> = got.into_iter().filter(|records| !records.is_empty()).collect();
        let expected: Vec<_> = expected.iter().filter_map(listed).collect();
        if got != expected {
            differences.push(difference(None, &format!("{expected:?}"), format!("{got:?}")));
        }
        if self.case.fields.contains_key("then") && run.failures.is_empty() {
            differences.push(difference(None, "an interval that fails", "none"));
        }
        differences
    }

    /// Statements about all outputs together.
    fn compare_assertions(&self, seen: &Seen) -> Vec<Difference> {
        let Some(assertions) = self.case.field("assertions").as_object() else { return Vec::new() };
        let outputs = seen.outputs.all().into_values().flat_map(|dataset| dataset.records).collect();
        let snapshots = seen.snapshots.as_ref().map(|snapshots| snapshots.all()).unwrap_or_default();
        let snapshots: Vec<_> = snapshots.into_values().map(|dataset| sorted(dataset.records)).collect();
        let mut differences = Vec::new();
        for (name, expected) in assertions {
            let records = listed(expected).map(sorted).unwrap_or_default();
            let (holds, got) = match name.as_str() {
                "all_mapped_values_sorted" => {
                    let outputs = sorted(Vec::clone(&outputs));
                    (outputs == records, format!("{outputs:?}"))
                }
                "some_snapshot_equals" => (snapshots.contains(&records), format!("{snapshots:?}")),
                "last_snapshot_equals" => {
                    (snapshots.last() == Some(&records), format!("{:?}", snapshots.last()))
                }
                _ => (false, "a statement that nobody understands".to_owned()),
            };
            if !holds {
                differences.push(difference(None, &format!("{name} {expected}"), got));
            }
        }
        differences
    }

    /// For how long which streams keep their datasets.
    fn compare_retention(&self, program: &Program<'_>, seen: &Seen) -> Vec<Difference> {
        let mut differences = Vec::new();
        if let Some(expected) = self.case.field("expected_output_count").as_u64() {
            let got = seen.outputs.all().len();
            if got as u64 != expected {
                differences.push(difference(None, &format!("{expected} outputs"), got));
            }
        }
        let fields = |name: &str| self.case.field(name).as_object().into_iter().flatten();
        for (name, expected) in fields("expected_remember_ms") {
            let got = program.part(name).map(|part| program.harness.remembered(&part).as_millis() as u64);
            if got != expected.as_u64() {
                let expected = format!("{name} to be kept for {expected} ms");
                differences.push(difference(None, &expected, format!("{got:?}")));
            }
        }
        for (name, expected) in fields("held_at_end_ms") {
            let held = program.part(name).map(|part| program.harness.held(&part)).unwrap_or_default();
            for (there, wanted) in [("present", true), ("absent", false)] {
                for time in expected[there].as_array().into_iter().flatten() {
                    if held.iter().any(|t| Some(t.as_ms()) == time.as_i64()) != wanted {
                        let expected = format!("{name} at {time} ms {there}");
                        differences.push(difference(None, &expected, format!("{held:?}")));
                    }
                }
            }
        }
        differences
    }

    fn compare_error(&self, error: &Json, program: &Program<'_>, run: &Run, seen: &Seen) -> Vec<Difference> {
        let (phase, at) = (error["phase"].as_str().unwrap_or_default(), error["at_batch"].as_u64());
        let expected = format!("an error of {phase}: {}", error["rule"]);
        let mut differences = Vec::new();
        let words = words(error["rule"].as_str().unwrap_or_default());
        let says = |error: &Error| words.is_some_and(|words| error.to_string().contains(words));
        match (phase, &run.refused, run.failures.first()) {
            ("build", Some(refused), _) if refused.kind() == ErrorKind::Config && says(refused) => {}
            ("job_generation", None, Some((number, error)))
                if Some(*number) == at && error.kind() == ErrorKind::User && says(error) => {}
            (_, Some(refused), _) => differences.push(difference(None, &expected, refused)),
            (_, None, Some((number, error))) => {
                differences.push(difference(Some(self.label(*number)), &expected, error));
            }
            (_, None, None) => differences.push(difference(None, &expected, "none")),
        }
        // What comes after the interval that failed is nobody's business here.
        let end = at.map_or(i64::MAX, |at| self.label(at));
        if let Some(before) = self.case.field("expected_before").as_array() {
            let slide = program.slide_ms();
            let time = |i: usize| i64::try_from((i as u64 + 1) * slide).unwrap_or(i64::MAX);
            let expected = before.iter().enumerate().map(|(i, records)| (time(i), listed(records))).collect();
            let seen = seen.outputs.all().into_iter().filter(|(time, _)| *time < end).collect();
            differences.extend(self.compare_answers(&expected, &seen));
        }
        differences
    }
}

/// What the error that comes of breaking a rule has to say; nothing if there is no such rule.
fn words(rule: &str) -> Option<&'static str> {
    Some(match rule {
        "union needs equal slides" => "the streams slide by 1s and 2s",
        "slide may not be finer than the parent's slide" => "a slide of 1s is not a multiple of 2s",
        "count fails when its parent gives no dataset"
        | "union fails when one parent gives no dataset"
        | "parent_gave_no_dataset" => "has no dataset at",
        "transform_returned_no_dataset" => "no dataset to answer with",
        _ => return None,
    })
}

fn difference(interval: Option<i64>, expected: &str, got: impl ToString) -> Difference {
    Difference { interval, expected: expected.to_owned(), got: got.to_string() }
}

/// Records as a table lists them; `null` is no dataset.
fn listed(json: &Json) -> Option<Vec<Value>> {
    records(json).ok()
}

fn text(records: &Option<Vec<Value>>) -> String {
    records.as_ref().map_or("no dataset".to_owned(), |records| format!("{records:?}"))
}

fn sorted(records: Vec<Value>) -> Vec<Value> {
    let mut records: Vec<_> = records.into_iter().map(Value::untyped).collect();
    records.sort();
    records
}

/// A list without order; of a list of lists, each of them.
fn sorted_inside(value: Value) -> Value {
    match value {
        Value::List(lists) if lists.iter().any(|value| matches!(value, Value::List(_))) => {
            Value::List(lists.into_iter().map(sorted_inside).collect())
        }
        Value::List(mut values) => {
            values.sort();
            Value::List(values)
        }
        other => other,
    }
}
