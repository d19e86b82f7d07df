//! Numbers of a request: as Elasticsearch, also those that are given as text.

use serde_json::Value;

use super::query::{QueryError, error};

/// A number that is finite.
pub(crate) fn number(given: &Value) -> Option<f64> {
    let number = match given {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number.
pub(crate) fn whole(given: &Value) -> Option<i64> {
    let exact = match given {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    exact.or_else(|| {
        let number = number(given)?;
        (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i64)
    })
}

/// A whole number from 0.
pub(crate) fn count(given: &Value) -> Option<u64> {
    let exact = match given {
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    exact.or_else(|| u64::try_from(whole(given)?).ok())
}

/// The number that an aggregation has under `key`.
///
/// # Errors
/// When it is none.
pub(crate) fn number_of(name: &str, body: &Value, key: &str) -> Result<Option<f64>, QueryError> {
    of(name, body, key, number, "a number")
}

/// The whole number that an aggregation has under `key`.
///
/// # Errors
/// When it is none.
pub(crate) fn whole_of(name: &str, body: &Value, key: &str) -> Result<Option<i64>, QueryError> {
    of(name, body, key, whole, "a whole number")
}

/// The count that an aggregation has under `key`.
///
/// # Errors
/// When it is none.
pub(crate) fn count_of(name: &str, body: &Value, key: &str) -> Result<Option<u64>, QueryError> {
    of(name, body, key, count, "a count")
}

fn of<T>(
    name: &str,
    body: &Value,
    key: &str,
    read: fn(&Value) -> Option<T>,
    what: &str,
) -> Result<Option<T>, QueryError> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(given) => match read(given) {
            Some(read) => Ok(Some(read)),
            None => error(format!("[{name}]: `{key}` is {what}, got {given}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_read_as_the_number_it_is() {
        for (given, expected) in [
            (json!(2), Some(2)),
            (json!("2"), Some(2)),
            (json!(" 2 "), Some(2)),
            (json!("2.0"), Some(2)),
            (json!(2.0), Some(2)),
            (json!(0), Some(0)),
            (json!("2.5"), None),
            (json!("-1"), None),
            (json!("two"), None),
            (json!(""), None),
            (json!("NaN"), None),
            (json!(true), None),
            (json!([2]), None),
        ] {
            assert_eq!(count(&given), expected, "{given}");
        }
        assert_eq!(count(&json!(u64::MAX)), Some(u64::MAX));
        assert_eq!(whole(&json!("-3")), Some(-3));
        assert_eq!(number(&json!("0.5")), Some(0.5));
        assert_eq!(number(&json!("inf")), None);
        let body = json!({"size": "many", "interval": null});
        let refused = count_of("a", &body, "size").unwrap_err();
        assert_eq!(refused.0, "[a]: `size` is a count, got \"many\"");
        assert_eq!(number_of("a", &body, "interval"), Ok(None));
        assert_eq!(number_of("a", &body, "absent"), Ok(None));
    }
}
