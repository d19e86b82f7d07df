//! One number of a metric's answer, by the name that requests give it.

use serde_json::Value;

/// The number called `key` in a metric's answer: a percentile, one of several statistics, or
/// without a key its only value. NaN where there is none.
pub(crate) fn property(found: &Value, key: Option<&str>) -> f64 {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let Some(key) = key else {
        return number(&found["value"]);
    };
    let percentiles = &found["values"];
    if percentiles.is_null() {
        return match deviation_bound(key) {
            Some(bound) => number(&found["std_deviation_bounds"][bound]),
            None => number(&found[key]),
        };
    }
    let Ok(wanted) = key.parse::<f64>() else {
        return f64::NAN;
    };
    let value = match percentiles {
        Value::Object(values) => values
            .iter()
            .find(|(percent, _)| {
                percent
                    .parse::<f64>()
                    .is_ok_and(|percent| percent == wanted)
            })
            .map(|(_, value)| value),
        Value::Array(entries) => entries
            .iter()
            .find(|entry| entry["key"].as_f64() == Some(wanted))
            .map(|entry| &entry["value"]),
        _ => None,
    };
    value.map_or(f64::NAN, number)
}

/// The name below `std_deviation_bounds` of `std_upper` and its like.
pub(crate) fn deviation_bound(key: &str) -> Option<&str> {
    let rest = ["std_deviation_bounds.", "std_deviation_bounds_", "std_"]
        .iter()
        .find_map(|prefix| key.strip_prefix(*prefix))?;
    let (end, of) = rest.split_once('_').unwrap_or((rest, ""));
    let is_bound = matches!(end, "upper" | "lower") && matches!(of, "" | "population" | "sampling");
    is_bound.then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_metric_has_values_by_name() {
        let single = json!({"value": 3.5});
        let several = json!({
            "count": 2, "avg": 4.0, "std_deviation": 1.0, "max": null,
            "std_deviation_bounds": {"upper": 6.0, "lower": 2.0, "upper_sampling": 7.0},
        });
        let keyed = json!({"values": {"50.0": 4.0, "99.9": 9.0}});
        let listed = json!({"values": [{"key": 50.0, "value": 4.0}, {"key": 99.9, "value": 9.0}]});
        for (found, key, expected) in [
            (&single, None, 3.5),
            (&several, Some("avg"), 4.0),
            (&several, Some("count"), 2.0),
            (&several, Some("std_deviation"), 1.0),
            (&several, Some("std_upper"), 6.0),
            (&several, Some("std_deviation_bounds_lower"), 2.0),
            (&several, Some("std_upper_sampling"), 7.0),
            (&keyed, Some("50"), 4.0),
            (&keyed, Some("50.0"), 4.0),
            (&listed, Some("99.9"), 9.0),
        ] {
            assert_eq!(property(found, key), expected, "{found} {key:?}");
        }
        for (found, key) in [
            (&several, None),
            (&several, Some("max")),
            (&several, Some("median")),
            (&keyed, Some("95")),
            (&keyed, Some("avg")),
            (&Value::Null, None),
        ] {
            assert!(property(found, key).is_nan(), "{found} {key:?}");
        }
    }
}
