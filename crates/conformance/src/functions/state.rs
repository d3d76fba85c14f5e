//! Functions on states.

use cutwater::{State, Time};

use crate::Value;

// The values of an interval and the state, to the next state or none.

/// The state and all values, summed up.
pub fn sum_plus_state(_: Time, _: &Value, values: Vec<Value>, state: Option<Value>) -> Option<Value> {
    Some((values.iter().map(Value::int).sum::<i64>() + int_or_0(state.as_ref())).into())
}

/// The list of all values there ever were.
pub fn append_values(_: Time, _: &Value, values: Vec<Value>, state: Option<Value>) -> Option<Value> {
    let mut all = state.map(Value::into_list).unwrap_or_default();
    all.extend(values);
    Some(Value::List(all))
}

/// The sum of the times, in milliseconds, at which there were values.
pub fn add_batch_time_if_values(
    now: Time,
    _: &Value,
    values: Vec<Value>,
    state: Option<Value>,
) -> Option<Value> {
    let time = if values.is_empty() { 0 } else { now.as_ms() };
    Some((int_or_0(state.as_ref()) + time).into())
}

/// A counter, and for how many intervals in a row it stood still; at two the key goes.
pub fn counter_with_idle_expiry_2(
    _: Time,
    _: &Value,
    values: Vec<Value>,
    state: Option<Value>,
) -> Option<Value> {
    let (counter, idle) = state.map_or((0, 0), |state| {
        let (counter, idle) = state.into_pair();
        (counter.int(), idle.int())
    });
    match values.iter().map(Value::int).sum::<i64>() {
        0 if idle + 1 == 2 => None,
        0 => Some(Value::pair(counter, idle + 1)),
        sum => Some(Value::pair(counter + sum, 0i64)),
    }
}

// A record and the state of its key, to a record or none. Without a value the key is timing out.

/// Sums up, and gives out the sum.
pub fn sum_return_sum(_: Time, _: &Value, value: Option<Value>, state: &mut State<Value>) -> Option<Value> {
    summed(value, state)
}

/// Sums up, and gives out the key twice over.
pub fn sum_return_key_twice(
    _: Time,
    key: &Value,
    value: Option<Value>,
    state: &mut State<Value>,
) -> Option<Value> {
    summed(value, state).map(|_| key.text().repeat(2).into())
}

/// Sums up, and gives out the key with the sum.
pub fn sum_return_pair(
    _: Time,
    key: &Value,
    value: Option<Value>,
    state: &mut State<Value>,
) -> Option<Value> {
    summed(value, state).map(|sum| Value::pair(key.clone(), sum))
}

/// Sums up.
pub fn sum_return_nothing(
    _: Time,
    _: &Value,
    value: Option<Value>,
    state: &mut State<Value>,
) -> Option<Value> {
    summed(value, state);
    None
}

/// Removes a state that is there, and gives out its key; keeps the value where there is none.
pub fn toggle_return_removed_key(
    _: Time,
    key: &Value,
    value: Option<Value>,
    state: &mut State<Value>,
) -> Option<Value> {
    if state.exists() {
        state.remove();
        return Some(key.clone());
    }
    state.update(value?);
    None
}

/// Keeps 1, and gives out the key when it is timing out.
pub fn set_1_report_key_on_timeout(
    _: Time,
    key: &Value,
    value: Option<Value>,
    state: &mut State<Value>,
) -> Option<Value> {
    if value.is_none() {
        return Some(key.clone());
    }
    state.update(1i64.into());
    None
}

fn summed(value: Option<Value>, state: &mut State<Value>) -> Option<Value> {
    let sum = Value::from(value?.int() + int_or_0(state.get_option()));
    state.update(sum.clone());
    Some(sum)
}

fn int_or_0(value: Option<&Value>) -> i64 {
    value.map_or(0, Value::int)
}
