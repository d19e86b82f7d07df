//! Paths to the numbers that pipelines work on, and what stands in for numbers that are missing.

use std::fmt;

use serde_json::Value;

use super::super::metric_value::property;
use super::super::query::{QueryError, error};
use super::Bucket;

/// Where a number is, below a bucket: names of aggregations, the last one with the value's name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    text: String,
    names: Vec<String>,
    key: Option<String>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// Reads `a`, `a>b`, `a.value`, `a[95.0]` and the like.
    pub(super) fn parse(name: &str, given: &Value) -> Result<Self, QueryError> {
        let given = match given {
            Value::Array(list) if list.len() == 1 => list.first().unwrap_or(given),
            _ => given,
        };
        let Some(text) = given.as_str().filter(|text| !text.trim().is_empty()) else {
            return error(format!(
                "[{name}]: a path of `buckets_path` is text, got {given}"
            ));
        };
        let (before, last) = match text.rsplit_once('>') {
            // What stands in brackets may be anything.
            Some((before, last)) if !before.contains('[') => (before, last),
            _ => ("", text),
        };
        let last = last.trim();
        let (last, key) = match last.split_once('[') {
            Some((last, rest)) => match rest.strip_suffix(']') {
                Some(key) => (last, Some(key.trim_matches(['\'', '"']))),
                None => {
                    return error(format!(
                        "[{name}]: the bracket of the path [{text}] is open"
                    ));
                }
            },
            None => match last.rsplit_once('.') {
                Some((last, key)) => (last, Some(key)),
                None => (last, None),
            },
        };
        let before = before.split('>').map(str::trim);
        let names = before
            .filter(|name| !name.is_empty())
            .chain([last])
            .chain(key.filter(|key| *key == "_count"))
            .map(str::to_owned);
        let key = key.filter(|key| !matches!(*key, "value" | "_count"));
        Ok(Self {
            text: text.to_owned(),
            names: names.collect(),
            key: key.map(str::to_owned),
        })
    }

    /// The names of the aggregations that it leads through, the last one last.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Which value of the last aggregation, where it has several.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The path behind its first name, and that name.
    pub(super) fn split_first(&self) -> Option<(String, Self)> {
        let (first, rest) = self.names.split_first()?;
        let rest = Self {
            text: self.text.clone(),
            names: rest.to_vec(),
            key: self.key.clone(),
        };
        (!rest.names.is_empty()).then(|| (first.clone(), rest))
    }

    /// The number in a bucket: NaN in a gap, `None` where there is no such aggregation.
    pub(super) fn value(&self, bucket: &Bucket, gap: Gap) -> Option<f64> {
        let (last, through) = self.names.split_last()?;
        let count_of = |bucket: &Bucket| bucket.get("doc_count").and_then(Value::as_f64);
        let n_documents = count_of(bucket).unwrap_or(0.0);
        if through.is_empty() && last == "_count" {
            return Some(n_documents);
        }
        let mut at = bucket;
        for name in through {
            at = at.get(name)?.as_object()?;
        }
        let number = match last.as_str() {
            "_count" => count_of(at)?,
            _ => property(at.get(last)?, self.key()),
        };
        Some(gap.fill(number, n_documents == 0.0))
    }
}

/// What an empty bucket, or one without a number, counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    Skip,
    InsertZeros,
    KeepValues,
}

impl Gap {
    pub(super) fn parse(name: &str, given: &Value) -> Result<Self, QueryError> {
        match given.as_str() {
            None if given.is_null() => Ok(Self::Skip),
            Some("skip") => Ok(Self::Skip),
            Some("insert_zeros") => Ok(Self::InsertZeros),
            Some("keep_values") => Ok(Self::KeepValues),
            _ => error(format!(
                "[{name}]: `gap_policy` is skip, insert_zeros or keep_values, got {given}"
            )),
        }
    }

    fn fill(self, number: f64, is_empty: bool) -> f64 {
        match self {
            Self::Skip if is_empty || !number.is_finite() => f64::NAN,
            Self::InsertZeros if is_empty || !number.is_finite() => 0.0,
            Self::KeepValues if !number.is_finite() => f64::NAN,
            _ => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse("p", &json!(text)).unwrap()
    }

    #[test]
    fn paths_lead_to_numbers() {
        let bucket = json!({
            "doc_count": 3, "1": {"value": 2.5}, "2": {"values": {"95.0": 9.0}},
            "3": {"std_deviation": 1.5, "std_deviation_bounds": {"upper": 4.0}},
            "f": {"doc_count": 2, "1": {"value": null}, "4": {"value": 8.0}},
        });
        let bucket = bucket.as_object().unwrap();
        for (text, expected) in [
            ("_count", Some(3.0)),
            ("1", Some(2.5)),
            ("1.value", Some(2.5)),
            ("2[95.0]", Some(9.0)),
            ("2[95]", Some(9.0)),
            ("3[std_deviation]", Some(1.5)),
            ("3.std_deviation", Some(1.5)),
            ("3[std_upper]", Some(4.0)),
            ("f>_count", Some(2.0)),
            ("f._count", Some(2.0)),
            ("f > 4", Some(8.0)),
            ("f>4['value']", Some(8.0)),
            ("5", None),
            ("f>5", None),
            ("1>4", None),
        ] {
            assert_eq!(path(text).value(bucket, Gap::Skip), expected, "{text}");
        }
        let missing = |gap: Gap| path("f>1").value(bucket, gap).unwrap();
        assert!(missing(Gap::Skip).is_nan());
        assert_eq!(missing(Gap::InsertZeros), 0.0);
        assert!(missing(Gap::KeepValues).is_nan());
        let empty = json!({"doc_count": 0, "1": {"value": 0.0}});
        let empty = empty.as_object().unwrap();
        assert_eq!(path("_count").value(empty, Gap::Skip), Some(0.0));
        assert!(path("1").value(empty, Gap::Skip).unwrap().is_nan());
        assert_eq!(path("1").value(empty, Gap::KeepValues), Some(0.0));
        for text in ["", " ", "1[95", "a['b']>c"] {
            assert!(Path::parse("p", &json!(text)).is_err(), "{text}");
        }
        assert!(Path::parse("p", &json!(1)).is_err());
        assert_eq!(Path::parse("p", &json!(["1"])), Ok(path("1")));
    }
}
