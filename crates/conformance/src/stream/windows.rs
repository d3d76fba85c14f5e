use std::time::Duration;

use cutwater::DStream;
use serde_json::Value as Json;

use super::{Trouble, number, word};
use crate::{Value, named};

/// Operations on windows.
pub(super) fn stream(of: &DStream<Value>, operation: &Json) -> Result<Option<DStream<Value>>, Trouble> {
    let Some(window) = number(operation, "window_ms").map(Duration::from_millis) else {
        return Ok(None);
    };
    let slide = number(operation, "slide_ms").map_or(of.slide(), Duration::from_millis);
    let unknown = || Trouble::unknown(operation, "fn");
    let pairs = || of.map(Value::into_pair);
    let function = word(operation, "fn");
    Ok(Some(match (word(operation, "op"), word(operation, "inv"), word(operation, "filter")) {
        ("window", ..) => of.window(window, slide),
        ("count_by_window", ..) => of.count_by_window(window, slide).map(Value::from),
        ("count_by_value_and_window", ..) => of.count_by_value_and_window(window, slide).map(Value::from),
        ("group_by_key_and_window", ..) => pairs().group_by_key_and_window(window, slide).map(Value::from),
        ("reduce_by_window", "", _) => {
            named!(function, [add max append_str], |f| of.reduce_by_window(f, window, slide))
                .ok_or_else(unknown)?
        }
        ("reduce_by_window", inverse, _) => named!(function, [add], |f| {
            named!(inverse, [sub], |inverse| of.reduce_by_window_inverse(f, inverse, window, slide))
        })
        .flatten()
        .ok_or_else(unknown)?,
        ("reduce_by_key_and_window", "", "") => named!(function, [add max append_str], |f| {
            pairs().reduce_by_key_and_window(f, window, slide)
        })
        .ok_or_else(unknown)?
        .map(Value::from),
        ("reduce_by_key_and_window", inverse, "") => named!(function, [add], |f| {
            named!(inverse, [sub], |inverse| {
                pairs().reduce_by_key_and_window_inverse(f, inverse, window, slide)
            })
        })
        .flatten()
        .ok_or_else(unknown)?
        .map(Value::from),
        ("reduce_by_key_and_window", inverse, filter) => named!(function, [add], |f| {
            named!(inverse, [sub], |inverse| {
                named!(filter, [value_nonzero value_positive], |filter| {
                    let visible =
                        move |key: &Value, value: &Value| filter(&Value::pair(key.clone(), value.clone()));
                    pairs().reduce_by_key_and_window_filtered(f, inverse, visible, window, slide)
                })
            })
        })
        .flatten()
        .flatten()
        .ok_or_else(unknown)?
        .map(Value::from),
        _ => return Ok(None),
    }))
}
