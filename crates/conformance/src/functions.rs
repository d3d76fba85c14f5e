//! The functions that tables name, as functions of a program would be written: each a `fn` of its
//! own, so that it travels.
//!
//! They panic when given what they are not made for.

mod state;

pub use state::*;

use crate::Value;

/// Uses the function that is called `$name`, of those listed, as `$f` in `$body`; `None` if it is
/// not among them. Each function is a type of its own, as in a program, so `$body` is compiled once
/// for each.
///
/// ```
/// use cutwater_conformance::{Value, functions, named};
///
/// let applied = named!("str_len", [upper str_len], |f| f(Value::from("abc")));
/// assert_eq!(applied, Some(Value::from(3i64)));
/// assert_eq!(named!("lower", [upper str_len], |f| f(Value::from("abc"))), None);
/// ```
#[macro_export]
macro_rules! named {
    ($name:expr, [$($function:ident)*], |$f:ident| $body:expr) => {
        match $name {
            $(stringify!($function) => {
                let $f = $crate::functions::$function;
                Some($body)
            })*
            _ => None,
        }
    };
}

// One record to one.

/// A value as text: text as it is, everything else as it is written.
pub fn to_string(value: Value) -> Value {
    Value::Text(value.as_text())
}

/// How long a text is.
pub fn str_len(value: Value) -> Value {
    value.text().chars().count().into()
}

/// A text in upper case.
pub fn upper(value: Value) -> Value {
    value.text().to_uppercase().into()
}

/// x + 1.0
pub fn plus_1f(value: Value) -> Value {
    (value.number() + 1.0).into()
}

/// x + 2
pub fn plus_2(value: Value) -> Value {
    (value.int() + 2).into()
}

/// x + 4
pub fn plus_4(value: Value) -> Value {
    (value.int() + 4).into()
}

/// x + 8
pub fn plus_8(value: Value) -> Value {
    (value.int() + 8).into()
}

/// x + 10
pub fn plus_10(value: Value) -> Value {
    (value.int() + 10).into()
}

/// The remainder by 10.
pub fn mod_10(value: Value) -> Value {
    (value.int() % 10).into()
}

/// (x, 1)
pub fn pair_one(value: Value) -> Value {
    Value::pair(value, 1i64)
}

/// (x, "x")
pub fn pair_x(value: Value) -> Value {
    Value::pair(value, "x")
}

/// (x, x)
pub fn pair_self(value: Value) -> Value {
    Value::pair(value.clone(), value)
}

/// (x, its length)
pub fn pair_with_len(value: Value) -> Value {
    Value::pair(value.clone(), str_len(value))
}

/// (b, a) of (a, b)
pub fn swap(value: Value) -> Value {
    let (first, second) = value.into_pair();
    Value::pair(second, first)
}

/// a of (a, b)
pub fn first(value: Value) -> Value {
    value.into_pair().0
}

/// b of (a, b)
pub fn second(value: Value) -> Value {
    value.into_pair().1
}

/// The first of the pair that a state is.
pub fn counter_of(state: Value) -> Value {
    first(state)
}

/// Fails on 1, and leaves everything else as it is.
pub fn fail_on_1(value: Value) -> Value {
    assert!(value != Value::Int(1), "1 was not to come");
    value
}

/// The value itself.
pub fn identity(value: Value) -> Value {
    value
}

// One record to some.

/// x as text, of those that are at least 3.
pub fn ge3_to_string(value: Value) -> Option<Value> {
    (value.int() >= 3).then(|| to_string(value))
}

/// The letters of a text, each a text.
pub fn letters(value: Value) -> Vec<Value> {
    value.text().chars().map(|letter| letter.to_string().into()).collect()
}

/// x and 2x
pub fn x_and_double(value: Value) -> Vec<Value> {
    vec![value.clone(), (value.int() * 2).into()]
}

/// 1 to x
pub fn one_to_x(value: Value) -> Vec<Value> {
    (1..=value.int()).map(Value::from).collect()
}

/// v and v + 10
pub fn v_and_v_plus_10(value: Value) -> Vec<Value> {
    vec![value.clone(), plus_10(value)]
}

/// v with "1" and v with "2" behind it
pub fn suffix_1_2(value: Value) -> Vec<Value> {
    ["1", "2"].map(|suffix| format!("{}{suffix}", value.text()).into()).to_vec()
}

/// The length of a text with each of its letters.
pub fn len_letter_pairs(value: Value) -> Vec<Value> {
    let length = str_len(value.clone());
    letters(value).into_iter().map(|letter| Value::pair(length.clone(), letter)).collect()
}

/// For (k, v), v with each letter of k.
pub fn value_with_key_letters(pair: Value) -> Vec<Value> {
    let (key, value) = pair.into_pair();
    letters(key).into_iter().map(|letter| Value::pair(value.clone(), letter)).collect()
}

// Yes or no.

/// x > 2
pub fn gt_2(value: &Value) -> bool {
    value.int() > 2
}

/// Whether 2 divides x.
pub fn is_even(value: &Value) -> bool {
    value.int() % 2 == 0
}

/// Whether a text has an "a" in it.
pub fn contains_a(value: &Value) -> bool {
    value.text().contains('a')
}

/// Whether the key of (k, v) has an "a" in it.
pub fn key_contains_a(pair: &Value) -> bool {
    contains_a(&first(pair.clone()))
}

/// Whether v of (k, v) is another number than 0.
pub fn value_nonzero(pair: &Value) -> bool {
    second(pair.clone()).number() != 0.0
}

/// Whether v of (k, v) is above 0.
pub fn value_positive(pair: &Value) -> bool {
    second(pair.clone()).number() > 0.0
}

// Two to one.

/// a + b, for numbers; texts and lists are put one behind the other.
pub fn add(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => (a + b).into(),
        (Value::Text(a), Value::Text(b)) => (a + &b).into(),
        (Value::List(a), Value::List(b)) => Value::List([a, b].concat()),
        (a, b) => (a.number() + b.number()).into(),
    }
}

/// a - b
pub fn sub(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => (a - b).into(),
        (a, b) => (a.number() - b.number()).into(),
    }
}

/// The greater of both.
pub fn max(a: Value, b: Value) -> Value {
    a.max(b)
}

/// a, and b as text behind it.
pub fn append_str(a: Value, b: Value) -> Value {
    format!("{}{}", a.text(), b.as_text()).into()
}

// Partitions.

/// The sum of a partition.
pub fn sum_of_partition(values: Vec<Value>) -> Vec<Value> {
    vec![values.iter().map(Value::int).sum::<i64>().into()]
}

/// The texts of a partition, in upper case, one behind the other.
pub fn concat_upper(values: Vec<Value>) -> Vec<Value> {
    vec![values.iter().map(|value| value.text().to_uppercase()).collect::<String>().into()]
}

/// Every pair of a partition the other way round.
pub fn swap_all(values: Vec<Value>) -> Vec<Value> {
    values.into_iter().map(swap).collect()
}

/// The number of a partition and its sum.
pub fn index_and_sum(partition: u32, values: Vec<Value>) -> Vec<Value> {
    vec![Value::pair(partition, values.iter().map(Value::int).sum::<i64>())]
}

impl Value {
    /// As text: text as it is, everything else as it is written.
    fn as_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }
}
