//! The tables of rules and scripts for single components, each read from its file and put to the
//! component: where the table and a test disagree, the table is right. A rule that our API makes moot is
//! named with the reason where its case would be.
#![allow(clippy::unwrap_used)]

mod allocation;
mod files;
mod lifecycle;
mod list;
mod placement;
mod queue;
mod rate;
mod receivers;
mod recovery;
mod time;
mod workers;

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

/// The cases of a table.
fn cases(table: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables").join(table).with_extension("json");
    let table: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    table["cases"].as_array().unwrap().clone()
}

/// The case `table/number`.
fn case(table: &str, number: u32) -> Value {
    let id = format!("{table}/{number:03}");
    let case = cases(table).into_iter().find(|case| case["id"] == *id);
    case.unwrap_or_else(|| panic!("there is no case {id}"))
}

/// The rows of a list in a case; there is at least one.
fn rows<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    let rows = of[field].as_array().unwrap_or_else(|| panic!("no list `{field}`"));
    assert!(!rows.is_empty(), "`{field}` is empty");
    rows
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn ms(value: &Value) -> Duration {
    Duration::from_millis(u64::try_from(int(value)).unwrap())
}
