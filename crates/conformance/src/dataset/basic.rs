//! Operations on any dataset.

use std::{cmp::Reverse, collections::BTreeMap};

use cutwater::{Context, Rdd};

use super::{Answer, Subject, Trouble};
use crate::{Value, functions, named};

pub(super) fn run(on: &Subject<'_>) -> Answer {
    let answer = match on.case.op() {
        "collect" => on.rdd()?.collect()?.into(),
        "num_partitions" => on.rdd()?.num_partitions().into(),
        "count" => on.rdd()?.count()?.into(),
        "is_empty" => on.rdd()?.is_empty()?.into(),
        "distinct_count" => on.rdd()?.distinct().count()?.into(),
        "max" => on.rdd()?.max()?,
        "min" => on.rdd()?.min()?,
        "reduce" => {
            named!(on.word("fn"), [add sub max], |f| on.rdd()?.reduce(f)?).ok_or_else(|| on.unknown("fn"))?
        }
        "reduce_filtered_empty" => on.rdd()?.filter(|_| false).reduce(functions::add)?,
        "fold" => named!(on.word("fn"), [add max], |f| on.rdd()?.fold(on.value("zero")?, f)?)
            .ok_or_else(|| on.unknown("fn"))?,
        "tree_reduce" => tree_reduced(on)?,
        "aggregate" if on.word("kind") == "sum_by_key" => summed_by_key(on)?,
        "take_lengths" => take_lengths(on)?,
        "top" if on.word("order") == "desc" => {
            let n = on.count("n")? as usize;
            on.rdd()?.top_by(n, |value| Reverse(value.clone()))?.into()
        }
        "top" => on.rdd()?.top(on.count("n")? as usize)?.into(),
        "take_ordered" => on.rdd()?.take_ordered(on.count("n")? as usize)?.into(),
        "sum_table" => sums(on)?,
        _ => return transformed(on),
    };
    Ok(Some(answer))
}

fn transformed(on: &Subject<'_>) -> Answer {
    let rdd = || on.rdd();
    let answer = match on.case.op() {
        "map" => named!(on.word("fn"), [to_string str_len upper plus_2 plus_10 mod_10 pair_one swap], |f| {
            rdd()?.map(f).collect()?
        })
        .ok_or_else(|| on.unknown("fn"))?
        .into(),
        "filter" => named!(on.word("fn"), [gt_2 is_even contains_a], |f| rdd()?.filter(f).collect()?)
            .ok_or_else(|| on.unknown("fn"))?
            .into(),
        "flat_map" => {
            named!(on.word("fn"), [one_to_x x_and_double letters], |f| rdd()?.flat_map(f).collect()?)
                .ok_or_else(|| on.unknown("fn"))?
                .into()
        }
        "filter_map" => named!(on.word("fn"), [ge3_to_string], |f| rdd()?.filter_map(f).collect()?)
            .ok_or_else(|| on.unknown("fn"))?
            .into(),
        "key_by" => named!(on.word("fn"), [to_string str_len], |f| {
            rdd()?.key_by(move |value: &Value| f(value.clone())).collect()?
        })
        .ok_or_else(|| on.unknown("fn"))?
        .into(),
        "map_partitions" => {
            named!(on.word("fn"), [sum_of_partition], |f| rdd()?.map_partitions(f).collect()?)
                .ok_or_else(|| on.unknown("fn"))?
                .into()
        }
        "map_partitions_with_index" => {
            named!(on.word("fn"), [index_and_sum], |f| rdd()?.map_partitions_with_index(f).collect()?)
                .ok_or_else(|| on.unknown("fn"))?
                .into()
        }
        "union_self" => rdd()?.union(&rdd()?).collect()?.into(),
        "cartesian" => rdd()?.cartesian(&on.other()?).collect()?.into(),
        "intersection" => rdd()?.intersection(&on.other()?).collect()?.into(),
        "subtract" => rdd()?.subtract(&on.other()?).collect()?.into(),
        "coalesce_glom" => rdd()?.coalesce(on.count("n")?).glom().collect()?.into(),
        "coalesce_shuffle_count" => rdd()?.coalesce_shuffled(on.count("n")?).glom().count()?.into(),
        "zip_glom" => named!(on.word("fn"), [plus_1f], |f| rdd()?.zip(&rdd()?.map(f)).glom().collect()?)
            .ok_or_else(|| on.unknown("fn"))?
            .into(),
        "zip_other" => rdd()?.zip(&on.other()?).collect()?.into(),
        "zip_with_index" => rdd()?.zip_with_index()?.collect()?.into(),
        "zip_with_unique_id_distinct" => {
            rdd()?.zip_with_unique_id().map(|(_, id)| id).distinct().count()?.into()
        }
        "zip_partitions_sizes" => partition_sizes(on)?,
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// The one answer at every depth, or all of them if they differ.
fn tree_reduced(on: &Subject<'_>) -> Result<Value, Trouble> {
    let rdd = on.rdd()?;
    let depths = on.counts("depths")?.into_iter();
    let mut answers =
        depths.map(|depth| rdd.tree_reduce(functions::add, depth)).collect::<Result<Vec<_>, _>>()?;
    let first = answers.pop().ok_or_else(|| Trouble::Malformed("no depths".to_owned()))?;
    Ok(if answers.iter().all(|other| *other == first) { first } else { answers.into() })
}

/// Pairs aggregated to one map of sums.
fn summed_by_key(on: &Subject<'_>) -> Result<Value, Trouble> {
    type Sums = BTreeMap<Value, i64>;
    fn put(mut sums: Sums, (key, value): (Value, i64)) -> Sums {
        *sums.entry(key).or_default() += value;
        sums
    }
    let add = |sums: Sums, (key, value): (Value, Value)| put(sums, (key, value.int()));
    let sums = on.pairs()?.aggregate(Sums::new(), add, |sums, other| other.into_iter().fold(sums, put))?;
    Ok(sums.into_iter().collect::<Vec<_>>().into())
}

/// How many records `take` gives for each n; an answer that is not the beginning of the data stands
/// for itself.
fn take_lengths(on: &Subject<'_>) -> Result<Value, Trouble> {
    let (rdd, data) = (on.rdd()?, on.data()?);
    let mut lengths = Vec::new();
    for n in on.counts("ns")? {
        let taken = rdd.take(n as usize)?;
        lengths.push(if data.starts_with(&taken) { taken.len().into() } else { Value::from(taken) });
    }
    Ok(lengths.into())
}

/// The sum of each of the lists that the table expects something of.
fn sums(on: &Subject<'_>) -> Result<Value, Trouble> {
    let rows = Value::from_json(on.case.field("expected")).map_err(Trouble::Malformed)?;
    let mut sums = Vec::new();
    for row in rows.into_list() {
        let (numbers, _) = row.into_pair();
        let floats = numbers.clone().into_list().iter().map(Value::number).collect::<Vec<_>>();
        let sum = on.ctx.parallelize_into(on.partitions()?, floats).sum()?;
        sums.push(Value::pair(numbers, sum));
    }
    Ok(sums.into())
}

/// How many records each of three datasets has in each partition.
fn partition_sizes(on: &Subject<'_>) -> Result<Value, Trouble> {
    let (first, others) = (on.rdd()?, on.others()?);
    let [second, third] = others.as_slice() else {
        return Err(Trouble::Malformed("there are not three datasets".to_owned()));
    };
    let two = first.zip_partitions(second, |a, b| [(a.len(), b.len())]);
    let sizes = two.zip_partitions(third, |ab, c| {
        ab.into_iter().flat_map(|(a, b)| [a, b]).chain([c.len()]).collect::<Vec<_>>()
    });
    Ok(sizes.collect()?.into())
}

/// A dataset without partitions.
pub(super) fn nothing(ctx: &Context) -> Rdd<(Value, Value)> {
    ctx.parallelize_into(0, [])
}
