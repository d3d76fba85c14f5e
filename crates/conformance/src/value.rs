//! A record of any of the types that tables use.

use std::{cmp::Ordering, fmt, hash};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A record of a type that is known only when the table is read.
///
/// Properties:
/// - it is a [`Key`](cutwater::Key): equal values are written as the same bytes, since numbers are
///   compared by their bits;
/// - it has a total order, for sorting and for comparing answers regardless of theirs;
/// - functions over it panic when given what they are not made for, as those of a program would.
///
/// ```
/// use cutwater_conformance::Value;
///
/// let json = serde_json::json!(["a", 1, 2.5, null, {"some": true}, {"f64": "inf"}]);
/// let value = Value::from_json(&json)?;
/// assert_eq!(value.to_json(), json);
/// assert_ne!(Value::from(1i64), Value::from(1.0));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(Float),
    /// Text.
    Text(String),
    /// A value that may be missing.
    Optional(Option<Box<Value>>),
    /// A record of two.
    Pair(Box<(Value, Value)>),
    /// Any number of values.
    List(Vec<Value>),
}

/// A number that is equal to another if both have the same bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Float(pub f64);

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Float {}

impl hash::Hash for Float {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Value {
    /// A pair.
    pub fn pair(first: impl Into<Value>, second: impl Into<Value>) -> Self {
        Self::Pair(Box::new((first.into(), second.into())))
    }

    /// Reads a value as tables write it. Whether an array is a pair or a list only the operation
    /// knows, so it is read as a list; see [`into_pair`](Self::into_pair).
    ///
    /// # Errors
    /// An object is none of those that stand for a value.
    pub fn from_json(json: &Json) -> Result<Self, String> {
        Ok(match json {
            Json::Null => Self::Optional(None),
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::Text(text.clone()),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(other)) => Self::from(other),
                (None, None) => return Err(format!("{number} is out of range")),
            },
            Json::Array(values) => Self::List(values.iter().map(Self::from_json).collect::<Result<_, _>>()?),
            Json::Object(object) => {
                let float = object.get("f64").and_then(Json::as_str);
                match (float, object.get("some")) {
                    (Some("nan"), _) => Self::from(f64::NAN),
                    (Some("inf"), _) => Self::from(f64::INFINITY),
                    (Some("-inf"), _) => Self::from(f64::NEG_INFINITY),
                    (_, Some(value)) => Self::Optional(Some(Box::new(Self::from_json(value)?))),
                    _ => return Err(format!("{json} is not a value")),
                }
            }
        })
    }

    /// As tables write it.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => Json::from(*value),
            Self::Int(whole) => Json::from(*whole),
            Self::Float(Float(number)) if number.is_finite() => Json::from(*number),
            Self::Float(Float(number)) if number.is_nan() => serde_json::json!({"f64": "nan"}),
            Self::Float(Float(number)) => {
                serde_json::json!({"f64": if *number > 0.0 { "inf" } else { "-inf" }})
            }
            Self::Text(text) => Json::from(text.as_str()),
            Self::Optional(None) => Json::Null,
            Self::Optional(Some(value)) => serde_json::json!({"some": value.to_json()}),
            Self::Pair(pair) => Json::from(vec![pair.0.to_json(), pair.1.to_json()]),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
        }
    }

    /// The same with every pair as a list of two: as an answer is compared with a table, which writes
    /// both alike.
    #[must_use]
    pub fn untyped(self) -> Self {
        match self {
            Self::Pair(pair) => Self::List(vec![pair.0.untyped(), pair.1.untyped()]),
            Self::List(values) => Self::List(values.into_iter().map(Self::untyped).collect()),
            Self::Optional(value) => Self::Optional(value.map(|value| Box::new(value.untyped()))),
            other => other,
        }
    }

    /// The two sides of a pair, or of a list of two.
    ///
    /// # Panics
    /// It is neither.
    pub fn into_pair(self) -> (Value, Value) {
        match self {
            Self::Pair(pair) => *pair,
            Self::List(values) => match <[Value; 2]>::try_from(values) {
                Ok([first, second]) => (first, second),
                Err(values) => panic!("a list of {} is not a pair", values.len()),
            },
            other => panic!("{other} is not a pair"),
        }
    }

    /// A whole number.
    ///
    /// # Panics
    /// It is none.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(whole) => *whole,
            other => panic!("{other} is not a whole number"),
        }
    }

    /// A number, whole or not.
    ///
    /// # Panics
    /// It is none.
    pub fn number(&self) -> f64 {
        match self {
            Self::Int(whole) => *whole as f64,
            Self::Float(Float(number)) => *number,
            other => panic!("{other} is not a number"),
        }
    }

    /// Text.
    ///
    /// # Panics
    /// It is none.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other} is not text"),
        }
    }

    /// The values of a list.
    ///
    /// # Panics
    /// It is none.
    pub fn into_list(self) -> Vec<Value> {
        match self {
            Self::List(values) => values,
            other => panic!("{other} is not a list"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(whole: i64) -> Self {
        Self::Int(whole)
    }
}

impl From<u32> for Value {
    fn from(whole: u32) -> Self {
        Self::Int(i64::from(whole))
    }
}

impl From<u64> for Value {
    /// Answers of cases are far below the largest number.
    fn from(whole: u64) -> Self {
        Self::Int(i64::try_from(whole).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(whole: usize) -> Self {
        Self::from(whole as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(Float(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        Self::Optional(value.map(|value| Box::new(value.into())))
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<A: Into<Value>, B: Into<Value>> From<(A, B)> for Value {
    fn from((first, second): (A, B)) -> Self {
        Self::pair(first, second)
    }
}

impl<A: Into<Value>, B: Into<Value>, C: Into<Value>> From<(A, B, C)> for Value {
    /// Of more than two there is only a list.
    fn from((first, second, third): (A, B, C)) -> Self {
        Self::List(vec![first.into(), second.into(), third.into()])
    }
}
