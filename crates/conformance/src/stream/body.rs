use cutwater::{Error, Rdd};
use serde_json::Value as Json;

use super::{Trouble, each::each_dataset, operands, partitions, word};
use crate::Value;

/// What a transformation does with the datasets of an interval: an expression whose leaves are
/// `{"op": "rdd", "i": …}`.
#[derive(Clone)]
pub(super) struct Body(Json);

/// Operations of which [`each_dataset`] knows, and those of [`dataset`].
const KNOWN: [&str; 19] = [
    "rdd",
    "map",
    "filter",
    "flat_map",
    "map_partitions",
    "map_partitions_with_index",
    "glom",
    "map_values",
    "flat_map_values",
    "reduce_by_key",
    "combine_by_key",
    "union",
    "join",
    "cogroup",
    "group_by_key",
    "sort_by_key",
    "repartition",
    "distinct",
    "coalesce",
];

impl Body {
    /// The body of a transformation. It runs in the middle of an interval, where it is too late to find
    /// out that it cannot be expressed.
    pub fn of(transformation: &Json) -> Result<Self, Trouble> {
        let body = &transformation["body"];
        check(body)?;
        Ok(Self(body.clone()))
    }

    /// What it makes of the datasets of an interval.
    pub fn of_datasets(&self, rdds: &[Rdd<Value>]) -> Result<Rdd<Value>, Error> {
        if word(&self.0, "op") == "null" {
            // A function cannot answer with no dataset; it can only say that there is none.
            return Err(Error::user("the transformation has no dataset to answer with"));
        }
        dataset(&self.0, rdds)
    }
}

fn check(body: &Json) -> Result<(), Trouble> {
    let op = word(body, "op");
    // A transformation that has no dataset to answer with is `null` and nothing else.
    if !KNOWN.contains(&op) && op != "null" {
        return Err(Trouble::Inexpressible(format!(
            "no operation in the middle of a stream is called {op:?}"
        )));
    }
    if body["of"].is_null() { Ok(()) } else { operands(body).iter().try_for_each(check) }
}

fn dataset(body: &Json, rdds: &[Rdd<Value>]) -> Result<Rdd<Value>, Error> {
    if word(body, "op") == "rdd" {
        let i = body["i"].as_u64().unwrap_or(0) as usize;
        return rdds.get(i).cloned().ok_or_else(|| Error::user(format_args!("there is no dataset {i}")));
    }
    let of = operands(body).iter().map(|of| dataset(of, rdds)).collect::<Result<Vec<_>, _>>()?;
    let first = &of[0];
    let known = each_dataset!(first, body).map_err(|trouble| Error::user(format_args!("{trouble:?}")))?;
    if let Some(rdd) = known {
        return Ok(rdd);
    }
    let pairs = |i: usize| of[i].map(Value::into_pair);
    Ok(match (word(body, "op"), word(body, "kind")) {
        ("union", _) => of[1..].iter().fold(first.clone(), |all, rdd| all.union(rdd)),
        ("join", "inner") => pairs(0).join(&pairs(1)).map(Value::from),
        ("join", "left") => pairs(0).left_outer_join(&pairs(1)).map(Value::from),
        ("join", "right") => pairs(0).right_outer_join(&pairs(1)).map(Value::from),
        ("join", "full") => pairs(0).full_outer_join(&pairs(1)).map(Value::from),
        ("cogroup", _) => pairs(0).cogroup(&pairs(1)).map(Value::from),
        ("group_by_key", _) => pairs(0).group_by_key().map(Value::from),
        ("sort_by_key", _) if body["ascending"] == false => {
            first.sort_by(|pair| std::cmp::Reverse(pair.clone().into_pair().0))?
        }
        ("sort_by_key", _) => first.sort_by(|pair| pair.clone().into_pair().0)?,
        ("repartition", _) => first.repartition(partitions(body).unwrap_or(1)),
        ("coalesce", _) => first.coalesce(partitions(body).unwrap_or(1)),
        ("distinct", _) => first.distinct(),
        (op, kind) => return Err(Error::user(format_args!("there is no {kind} {op} of datasets"))),
    })
}

/// Keeps the list of what is known and [`each_dataset`] together.
#[cfg(test)]
mod tests {
    use cutwater::Context;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_is_known() {
        let ctx = Context::local(1);
        let rdds = [ctx.parallelize([Value::pair("a", 1i64)]), ctx.parallelize([Value::pair("a", 2i64)])];
        for op in KNOWN {
            let leaf = |i: u32| json!({"op": "rdd", "i": i});
            let body = json!({"op": op, "of": [leaf(0), leaf(1)], "kind": "inner", "fn": "", "n": 1});
            let message = dataset(&body, &rdds).err().map(|error| error.to_string()).unwrap_or_default();
            // A function that there is not is what this test expects; an operation that there is not is
            // what `check` must have said before.
            assert!(!message.starts_with("there is no"), "{op}: {message}");
        }
    }
}
