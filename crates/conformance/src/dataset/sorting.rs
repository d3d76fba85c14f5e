//! Sorting, slicing and histograms.

use serde_json::Value as Json;

use super::{Answer, Subject, Trouble, count};
use crate::Value;

pub(super) fn run(on: &Subject<'_>) -> Answer {
    let answer = match on.case.op() {
        "sort_by" if on.word("fn") == "field" => sorted_by_field(on)?,
        "sort_by_key" => on.pairs()?.sort_by_key()?.collect()?.into(),
        "sort_by_key_balance" => balanced(on)?,
        "sort_then_range" => range_of_sorted(on)?,
        "repartition_sort" => {
            let n = on.count("mod")?;
            let of = |n: &i64, key: &Value| key.int().rem_euclid(*n) as u32;
            let sorted = on.pairs()?.with(i64::from(n)).repartition_and_sort_within_partitions_by(n, of);
            sorted.glom().collect()?.into()
        }
        "split" => on.ctx.parallelize_into(on.count("n")?, on.data()?).collect_partitions()?.into(),
        "histogram" => {
            let edges = on.value("edges")?.into_list().iter().map(Value::number).collect::<Vec<_>>();
            on.numbers()?.histogram(&edges)?.into()
        }
        "auto_histogram" => {
            let (edges, counts) = on.numbers()?.even_histogram(on.count("n")?)?;
            // Where the table does not say where the edges lie, they may lie anywhere.
            let told = !on.case.field("expected")["edges"].is_null();
            Value::List(vec![if told { edges.into() } else { Value::Optional(None) }, counts.into()])
        }
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// Sorted by one of the fields of a text like `5|50|A`.
fn sorted_by_field(on: &Subject<'_>) -> Result<Value, Trouble> {
    let (rdd, field) = (on.rdd()?.with(on.count("i")?).map(|i, line| (field(&line, *i), line)), "asc");
    let sorted =
        if on.case.argument(field) == true { rdd.sort_by_key()? } else { rdd.sort_by_key_descending()? };
    Ok(sorted.values().collect()?.into())
}

/// Numbers in fields are compared as the texts they are.
fn field(line: &Value, i: u32) -> String {
    line.text().split('|').nth(i as usize).unwrap_or_default().to_owned()
}

/// Whether sorted partitions are of about the same size and in order; if not, what they are like.
fn balanced(on: &Subject<'_>) -> Result<Value, Trouble> {
    let expected = on.case.field("expected");
    let bound = |i: usize| count(&expected["each_partition_between"][i], "a bound of a partition");
    let (least, most) = (bound(0)? as usize, bound(1)? as usize);
    let pairs = on.rdd()?.map(|value| (value.clone(), value));
    let sorted = pairs.sort_by_key_into(on.count("partitions")?)?;
    let (partitions, all) = (sorted.collect_partitions()?, sorted.collect()?);
    let sizes: Vec<_> = partitions.iter().map(Vec::len).collect();
    let fits = sizes.len() == on.count("partitions")? as usize
        && sizes.iter().all(|size| (least..=most).contains(size))
        && (expected["ordered_across_partitions"] != true || all.is_sorted());
    Ok(if fits { Value::Bool(true) } else { sizes.into() })
}

/// The keys in a range of what was sorted before, in their order.
fn range_of_sorted(on: &Subject<'_>) -> Result<Value, Trouble> {
    let pairs = on.rdd()?.map(|value| (value.clone(), value));
    let ascending = !matches!(on.case.argument("asc"), Json::Bool(false));
    let sorted = if ascending { pairs.sort_by_key()? } else { pairs.sort_by_key_descending()? };
    Ok(sorted.filter_by_range(on.value("lo")?..=on.value("hi")?).keys().collect()?.into())
}
