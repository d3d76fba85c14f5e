//! Operations on pairs.

use std::collections::BTreeSet;

use cutwater::Rdd;

use super::{Answer, Subject, Trouble, basic::nothing};
use crate::{Value, named};

pub(super) fn run(on: &Subject<'_>) -> Answer {
    let pairs = || on.pairs();
    let answer = match on.case.op() {
        "keys" => pairs()?.keys().collect()?.into(),
        "values" => pairs()?.values().collect()?.into(),
        "group_by_key" => pairs()?.group_by_key().collect()?.into(),
        "group_by_key_num_partitions" => pairs()?.group_by_key().num_partitions().into(),
        "reduce_by_key" => reduced(on)?,
        "fold_by_key" => {
            named!(on.word("fn"), [add max], |f| pairs()?.fold_by_key(on.value("zero")?, f).collect()?)
                .ok_or_else(|| on.unknown("fn"))?
                .into()
        }
        "aggregate_by_key" if on.word("kind") == "set" => sets(on)?,
        "join" => joined(on, &on.other()?.map(Value::into_pair))?,
        "join_with_empty_size" => joined(on, &nothing(&on.ctx))?.into_list().len().into(),
        "join_num_partitions" => {
            let other = on.ctx.parallelize_into(on.count("other_partitions")?, on.data()?);
            pairs()?.join(&other.map(Value::into_pair)).num_partitions().into()
        }
        "cogroup" => cogrouped(on)?,
        "cogroup_with_empty_size" => pairs()?.cogroup(&nothing(&on.ctx)).count()?.into(),
        "subtract_by_key" => pairs()?.subtract_by_key(&on.other()?.map(Value::into_pair)).collect()?.into(),
        "lookup" => pairs()?.lookup(&on.value("key")?)?.into(),
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

fn reduced(on: &Subject<'_>) -> Result<Value, Trouble> {
    let mut pairs = on.pairs()?;
    if on.case.argument("pre_partitioned") == true {
        pairs = pairs.partition_by(on.partitions()?);
    }
    let partitions =
        on.case.argument("partitions").is_number().then(|| on.count("partitions")).transpose()?;
    let reduced = named!(on.word("fn"), [add sub max], |f| match partitions {
        Some(partitions) => pairs.reduce_by_key_into(partitions, f),
        None => pairs.reduce_by_key(f),
    })
    .ok_or_else(|| on.unknown("fn"))?;
    if partitions.is_some_and(|partitions| partitions != reduced.num_partitions()) {
        return Ok(format!("{} partitions", reduced.num_partitions()).into());
    }
    Ok(reduced.collect()?.into())
}

fn sets(on: &Subject<'_>) -> Result<Value, Trouble> {
    type Set = BTreeSet<Value>;
    let with = |mut set: Set, value: Value| {
        set.insert(value);
        set
    };
    let both = |set: Set, other: Set| set.into_iter().chain(other).collect();
    let sets = on.pairs()?.aggregate_by_key(Set::new(), with, both);
    Ok(sets.map_values(Vec::from_iter).collect()?.into())
}

fn joined(on: &Subject<'_>, other: &Rdd<(Value, Value)>) -> Result<Value, Trouble> {
    let pairs = on.pairs()?;
    let into = match on.case.argument("partitions") {
        serde_json::Value::Null => pairs.num_partitions().max(other.num_partitions()),
        _ => on.count("partitions")?,
    };
    Ok(match on.word("kind") {
        "inner" => pairs.join_into(other, into).collect()?.into(),
        "left" => pairs.left_outer_join_into(other, into).collect()?.into(),
        "right" => pairs.right_outer_join_into(other, into).collect()?.into(),
        "full" => pairs.full_outer_join_into(other, into).collect()?.into(),
        _ => return Err(on.unknown("kind")),
    })
}

fn cogrouped(on: &Subject<'_>) -> Result<Value, Trouble> {
    let (pairs, others) = (on.pairs()?, on.others()?);
    let others: Vec<_> = others.iter().map(|other| other.map(Value::into_pair)).collect();
    match others.as_slice() {
        [one] => Ok(pairs.cogroup(one).collect()?.into()),
        [one, two] => Ok(pairs.cogroup3(one, two).collect()?.into()),
        more => Err(Trouble::Inexpressible(format!("a cogroup of {}", more.len() + 1))),
    }
}
