//! Operations that do the same to each dataset of a stream, and hence exist for datasets too.

/// What an operation makes of a stream, or of a dataset; `None` if it is none of these. A macro, since
/// nothing but the names of their methods says that both have them.
macro_rules! each_dataset {
    ($of:expr, $operation:expr) => {{
        use $crate::{Value, named, stream::{Trouble, number, partitions, word}};

        let (of, operation): (_, &serde_json::Value) = ($of, $operation);
        let function = word(operation, "fn");
        let unknown = || Trouble::unknown(operation, "fn");
        let pairs = || of.map(Value::into_pair);
        let answer: Result<Option<_>, Trouble> = (|| {
            Ok(Some(match word(operation, "op") {
                "map" => match function.strip_prefix("plus_").and_then(|n| n.parse::<i64>().ok()) {
                    Some(n) => of.with(n).map(|n, value: Value| Value::from(value.int() + n)),
                    None => named!(
                        function,
                        [to_string str_len upper plus_1f mod_10 pair_one pair_x pair_self pair_with_len
                         swap first second counter_of fail_on_1 identity],
                        |f| of.map(f)
                    )
                    .ok_or_else(unknown)?,
                },
                "filter" => named!(
                    function,
                    [gt_2 is_even contains_a key_contains_a value_nonzero value_positive],
                    |f| of.filter(f)
                )
                .ok_or_else(unknown)?,
                "flat_map" => named!(
                    function,
                    [letters x_and_double one_to_x len_letter_pairs value_with_key_letters],
                    |f| of.flat_map(f)
                )
                .ok_or_else(unknown)?,
                "map_partitions" => {
                    named!(function, [sum_of_partition concat_upper swap_all], |f| of.map_partitions(f))
                        .ok_or_else(unknown)?
                }
                "map_partitions_with_index" => {
                    named!(function, [index_and_sum], |f| of.map_partitions_with_index(f)).ok_or_else(unknown)?
                }
                "glom" => of.glom().map(Value::from),
                "map_values" => match function.strip_prefix("plus_").and_then(|n| n.parse::<i64>().ok()) {
                    Some(n) => pairs().with(n).map_values(|n, value: Value| Value::from(value.int() + n)),
                    None => named!(
                        function,
                        [to_string str_len upper mod_10 counter_of swap first second identity],
                        |f| pairs().map_values(f)
                    )
                    .ok_or_else(unknown)?,
                }
                .map(Value::from),
                "flat_map_values" => named!(
                    function,
                    [v_and_v_plus_10 suffix_1_2 letters x_and_double one_to_x],
                    |f| pairs().flat_map_values(f)
                )
                .ok_or_else(unknown)?
                .map(Value::from),
                "reduce_by_key" => named!(function, [add sub max append_str], |f| match partitions(operation) {
                    Some(n) => pairs().with(()).reduce_by_key_into(n, move |(), a, b| f(a, b)),
                    None => pairs().reduce_by_key(f),
                })
                .ok_or_else(unknown)?
                .map(Value::from),
                "combine_by_key" => {
                    let create = word(operation, "create");
                    let (value, combiners) = (word(operation, "merge_value"), word(operation, "merge_combiners"));
                    let combined = named!(create, [identity to_string], |create| {
                        named!(value, [add max append_str], |value| {
                            named!(combiners, [add max append_str], |both| match partitions(operation) {
                                Some(n) => pairs().with(()).combine_by_key_into(
                                    n,
                                    move |(), v| create(v),
                                    move |(), acc, v| value(acc, v),
                                    move |(), acc, other| both(acc, other),
                                ),
                                None => pairs().combine_by_key(create, value, both),
                            })
                        })
                    });
                    combined.flatten().flatten().ok_or_else(|| Trouble::unknown(operation, "create"))?.map(Value::from)
                }
                _ => return Ok(None),
            }))
        })();
        // Only some operations ask for a number.
        let _ = number;
        answer
    }};
}

pub(super) use each_dataset;
