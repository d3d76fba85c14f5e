//! What of a program has state, and what a changed program makes of the state that was written.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// The operators of a program that have state, each under the name that stays the same from one start to the next.
///
/// It is written down where the states are, and compared when the program starts again, perhaps changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operators(pub BTreeMap<String, Operator>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The operation.
    pub kind: String,
    /// The types of its state.
    pub types: String,
}

/// What becomes of each operator, by name, in order.
///
/// ```
/// use cutwater_core::operators::{Operator, Operators};
///
/// let program = |operators: &[(&str, &str)]| {
///     let operator = |types: &str| Operator { kind: "running_reduce".into(), types: types.into() };
///     Operators(operators.iter().map(|(name, types)| (name.to_string(), operator(types))).collect())
/// };
/// let before = program(&[("clicks", "u64"), ("users", "String"), ("views", "u64")]);
/// let changes = before.compare(&program(&[("clicks", "u64"), ("users", "u64"), ("sums", "u64")]));
/// assert_eq!((changes.kept, changes.new), (vec!["clicks".into()], vec!["sums".into()]));
/// assert_eq!(changes.dropped, ["views"]);
/// assert_eq!(changes.incompatible[0].name, "users");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Goes on with its state.
    pub kept: Vec<String>,
    /// Begins without state.
    pub new: Vec<String>,
    /// Its state was written, and nobody is there to have it.
    pub dropped: Vec<String>,
    /// Its state was written and is of another kind.
    pub incompatible: Vec<Incompatible>,
}

/// An operator that cannot have the state of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// The operator.
    pub name: String,
    /// What was written.
    pub was: Operator,
    /// What it would have to be.
    pub is: Operator,
}

impl Operators {
    /// What becomes of the states of these operators in a program that has the operators `now`.
    pub fn compare(&self, now: &Self) -> Changes {
        let mut changes = Changes::default();
        for (name, was) in &self.0 {
            match now.0.get(name) {
                None => changes.dropped.push(name.clone()),
                Some(is) if is == was => changes.kept.push(name.clone()),
                Some(is) => {
                    let (name, was, is) = (name.clone(), was.clone(), is.clone());
                    changes.incompatible.push(Incompatible { name, was, is });
                }
            }
        }
        changes.new = now.0.keys().filter(|name| !self.0.contains_key(*name)).cloned().collect();
        changes
    }
}

impl Changes {
    /// Whether the program may start: no state is lost but those that somebody allows to be dropped.
    pub fn is_allowed(&self, may_be_dropped: impl Fn(&str) -> bool) -> bool {
        self.incompatible.is_empty() && self.dropped.iter().all(|name| may_be_dropped(name))
    }
}

impl fmt::Display for Changes {
    /// A line for each operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        lines.extend(self.kept.iter().map(|name| format!("kept          {name}")));
        lines.extend(self.new.iter().map(|name| format!("new           {name}")));
        lines.extend(self.dropped.iter().map(|name| format!("dropped       {name}")));
        lines.extend(self.incompatible.iter().map(|Incompatible { name, was, is }| {
            format!("incompatible  {name}: was {} of {}, is {} of {}", was.kind, was.types, is.kind, is.types)
        }));
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(operators: &[(&str, &str, &str)]) -> Operators {
        let operator = |(name, kind, types): &(&str, &str, &str)| {
            (name.to_string(), Operator { kind: kind.to_string(), types: types.to_string() })
        };
        Operators(operators.iter().map(operator).collect())
    }

    #[test]
    fn a_program_that_was_not_changed_keeps_all() {
        let same = program(&[("a", "track", "u64"), ("b", "sessions", "u64")]);
        let changes = same.compare(&same);
        assert_eq!(changes, Changes { kept: vec!["a".into(), "b".into()], ..Changes::default() });
        assert!(changes.is_allowed(|_| false));
    }

    #[test]
    fn a_state_is_dropped_only_where_that_is_allowed() {
        let changes = program(&[("a", "track", "u64"), ("b", "track", "u64")]).compare(&program(&[]));
        assert!(!changes.is_allowed(|name| name == "a"));
        assert!(changes.is_allowed(|_| true));
    }

    #[test]
    fn another_kind_or_type_is_never_allowed() {
        let before = program(&[("a", "track", "u64")]);
        for now in [program(&[("a", "sessions", "u64")]), program(&[("a", "track", "u32")])] {
            let changes = before.compare(&now);
            assert_eq!(changes.incompatible.len(), 1);
            assert!(!changes.is_allowed(|_| true));
        }
        assert!(
            Operators::default().compare(&before).is_allowed(|_| false),
            "what is new takes nothing away"
        );
    }

    #[test]
    fn each_is_listed_with_what_becomes_of_it() {
        let before = program(&[("a", "track", "u64"), ("b", "track", "u64"), ("c", "track", "u64")]);
        let now = program(&[("a", "track", "u64"), ("c", "track", "u32"), ("d", "track", "u64")]);
        let expected = "kept          a\nnew           d\ndropped       b\nincompatible  c: was track of u64, is track of u32";
        assert_eq!(before.compare(&now).to_string(), expected);
    }
}
