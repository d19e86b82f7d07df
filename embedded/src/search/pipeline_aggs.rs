//! Pipeline aggregations: arithmetic over buckets that are counted already.
//!
//! `derivative`, `cumulative_sum`, `serial_diff` and `moving_fn` go over the buckets of the
//! histogram that they stand below, `bucket_script` over those of any aggregation; `max_bucket` and
//! its like stand beside one. They mean what they mean to Elasticsearch, gaps included.

mod moving;
mod path;

use serde_json::{Map, Value, json};

use super::aggs::MAX_BUCKETS;
use super::lenient;
use super::query::{QueryError, error, scalar_text};
use super::script::{Number, Script};
use moving::{Moving, moving};
use path::Gap;
pub(crate) use path::Path;

/// Widest window of a `moving_fn`.
const MAX_WINDOW: u64 = 1_000;

type Bucket = Map<String, Value>;

/// What is told of all buckets together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Max,
    Min,
    Average,
    Sum,
}

#[derive(Debug)]
enum Operation {
    Derivative {
        path: Path,
        /// Milliseconds that the change is told of, beside that from bucket to bucket.
        unit: Option<f64>,
    },
    CumulativeSum {
        path: Path,
    },
    SerialDiff {
        path: Path,
        lag: usize,
    },
    Moving {
        path: Path,
        function: Moving,
        window: i64,
        shift: i64,
    },
    Script {
        paths: Vec<(String, Path)>,
        params: Vec<(String, Number)>,
        script: Script,
    },
    Beside {
        kind: Beside,
        of: String,
        path: Path,
    },
}

/// What holds an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The search itself, or one bucket.
    One,
    /// Buckets of any kind.
    Buckets,
    /// The buckets of a histogram, in their order.
    Histogram,
}

/// A pipeline aggregation.
#[derive(Debug)]
pub(crate) struct Pipeline {
    name: String,
    operation: Operation,
    gap: Gap,
}

impl Pipeline {
    /// Reads an aggregation; `None` for one that is no pipeline. `millis_of` reads a length of time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(
        name: &str,
        kind: &str,
        body: &Value,
        millis_of: &dyn Fn(&str) -> Result<i64, QueryError>,
    ) -> Result<Option<Self>, QueryError> {
        let path = || Path::parse(name, &body["buckets_path"]);
        let beside = |kind: Beside| -> Result<Operation, QueryError> {
            let path = path()?;
            match path.split_first() {
                Some((of, path)) => Ok(Operation::Beside { kind, of, path }),
                None => error(format!(
                    "[{name}]: the path [{path}] has to lead through the buckets of an aggregation: \
                     `aggregation>metric`"
                )),
            }
        };
        let operation = match kind {
            "derivative" => Operation::Derivative {
                path: path()?,
                unit: unit_of(body, millis_of)?,
            },
            "cumulative_sum" => Operation::CumulativeSum { path: path()? },
            "serial_diff" => Operation::SerialDiff {
                path: path()?,
                lag: usize::try_from(positive(name, body, "lag", Some(1), MAX_BUCKETS.into())?)
                    .unwrap_or(1),
            },
            "moving_fn" => Operation::Moving {
                path: path()?,
                function: Moving::parse(name, &body["script"])?,
                window: i64::try_from(positive(name, body, "window", None, MAX_WINDOW)?)
                    .unwrap_or(1),
                shift: lenient::whole_of(name, body, "shift")?
                    .unwrap_or(0)
                    .clamp(-i64::from(MAX_BUCKETS), MAX_BUCKETS.into()),
            },
            "bucket_script" => bucket_script(name, body)?,
            "max_bucket" => beside(Beside::Max)?,
            "min_bucket" => beside(Beside::Min)?,
            "avg_bucket" => beside(Beside::Average)?,
            "sum_bucket" => beside(Beside::Sum)?,
            _ => return Ok(None),
        };
        let gap = match operation {
            Operation::CumulativeSum { .. } => Gap::InsertZeros,
            _ => Gap::parse(name, &body["gap_policy"])?,
        };
        Ok(Some(Self {
            name: name.to_owned(),
            operation,
            gap,
        }))
    }

    /// Whether it stands beside the aggregation of this name, whose buckets it is about.
    pub(crate) fn beside(&self) -> Option<&str> {
        match &self.operation {
            Operation::Beside { of, .. } => Some(of.as_str()),
            _ => None,
        }
    }

    /// Paths from the buckets that it goes over.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        match &self.operation {
            Operation::Derivative { path, .. }
            | Operation::CumulativeSum { path }
            | Operation::SerialDiff { path, .. }
            | Operation::Moving { path, .. }
            | Operation::Beside { path, .. } => vec![path],
            Operation::Script { paths, .. } => paths.iter().map(|(_, path)| path).collect(),
        }
    }

    /// Refuses it where it has nothing to go over.
    ///
    /// # Errors
    /// Where it has to stand.
    pub(crate) fn check_parent(&self, parent: Parent) -> Result<(), QueryError> {
        let name = &self.name;
        match (&self.operation, parent) {
            (Operation::Beside { .. }, _) | (_, Parent::Histogram) => Ok(()),
            (Operation::Script { .. }, Parent::Buckets) => Ok(()),
            (Operation::Script { .. }, Parent::One) => error(format!(
                "[{name}]: `bucket_script` stands directly below an aggregation with buckets"
            )),
            _ => error(format!(
                "[{name}] has to stand directly below a `histogram` or a `date_histogram`"
            )),
        }
    }

    /// Puts its result into each of the buckets that has one.
    pub(crate) fn over(&self, buckets: &mut [&mut Bucket]) {
        let results = self.results(buckets);
        for (bucket, result) in buckets.iter_mut().zip(results) {
            if let Some(result) = result {
                bucket.insert(self.name.clone(), result);
            }
        }
    }

    fn results(&self, buckets: &[&mut Bucket]) -> Vec<Option<Value>> {
        let values = |path: &Path| -> Vec<Option<f64>> {
            let values = buckets.iter().map(|bucket| path.value(bucket, self.gap));
            values.collect()
        };
        match &self.operation {
            Operation::Derivative { path, unit } => {
                let key_of = |bucket: &Bucket| bucket.get("key").and_then(Value::as_f64);
                let keys = buckets.iter().map(|bucket| key_of(bucket).unwrap_or(0.0));
                derivative(&values(path), keys, *unit)
            }
            Operation::CumulativeSum { path } => {
                let mut sum = 0.0;
                let sums = values(path).into_iter().map(|value| {
                    sum += value.filter(|value| value.is_finite()).unwrap_or(0.0);
                    Some(simple(sum))
                });
                sums.collect()
            }
            Operation::SerialDiff { path, lag } => {
                let values = values(path);
                let value = |n: usize| values.get(n).copied().flatten().unwrap_or(f64::NAN);
                let differences = (0..values.len()).map(|n| {
                    let difference = value(n) - value(n.checked_sub(*lag)?);
                    (!difference.is_nan()).then(|| simple(difference))
                });
                differences.collect()
            }
            Operation::Moving {
                path,
                function,
                window,
                shift,
            } => moving(&values(path), *function, *window, *shift),
            Operation::Script {
                paths,
                params,
                script,
            } => {
                let results = buckets.iter().map(|bucket| {
                    let mut known = params.clone();
                    for (variable, path) in paths {
                        // A bucket that lacks one of the numbers has no result.
                        let value = path
                            .value(bucket, self.gap)
                            .filter(|value| !value.is_nan())?;
                        known.retain(|(name, _)| name != variable);
                        known.push((variable.clone(), Number::Real(value)));
                    }
                    let param = |name: &str| {
                        let found = known.iter().find(|(known, _)| known == name);
                        found.map(|(_, number)| *number)
                    };
                    Some(simple(script.value(&param)))
                });
                results.collect()
            }
            Operation::Beside { .. } => Vec::new(),
        }
    }

    /// The result of one that stands beside the aggregations of `level`.
    pub(crate) fn of(&self, level: &Map<String, Value>) -> Option<Value> {
        let Operation::Beside { kind, of, path } = &self.operation else {
            return None;
        };
        let mut found: Vec<(String, f64)> = Vec::new();
        let mut add = |key: String, bucket: &Value| {
            let value = bucket
                .as_object()
                .and_then(|bucket| path.value(bucket, self.gap));
            if let Some(value) = value.filter(|value| !value.is_nan()) {
                found.push((key, value));
            }
        };
        match level.get(of).map(|shown| &shown["buckets"]) {
            Some(Value::Array(buckets)) => {
                for bucket in buckets {
                    let text = bucket["key_as_string"].as_str().map(str::to_owned);
                    let key = || scalar_text(&bucket["key"]).unwrap_or_default();
                    add(text.unwrap_or_else(key), bucket);
                }
            }
            Some(Value::Object(buckets)) => {
                for (key, bucket) in buckets {
                    add(key.clone(), bucket);
                }
            }
            _ => {}
        }
        let values = || found.iter().map(|(_, value)| *value);
        let sum = values().fold(0.0, |sum, value| sum + value);
        let extreme = match kind {
            Beside::Max => values().fold(f64::NEG_INFINITY, f64::max),
            Beside::Min => values().fold(f64::INFINITY, f64::min),
            Beside::Sum => return Some(simple(sum)),
            Beside::Average => return Some(simple(sum / found.len() as f64)),
        };
        let keys = found.iter().filter(|(_, value)| *value == extreme);
        let keys: Vec<&str> = keys.map(|(key, _)| key.as_str()).collect();
        Some(json!({"value": extreme, "keys": keys}))
    }
}

/// One number, null where it is none.
fn simple(number: f64) -> Value {
    json!({"value": number})
}

fn derivative(
    values: &[Option<f64>],
    keys: impl Iterator<Item = f64>,
    unit: Option<f64>,
) -> Vec<Option<Value>> {
    let mut last: Option<(f64, f64)> = None;
    let changes = values.iter().zip(keys).map(|(value, key)| {
        let now = value.map(|value| (key, value));
        let (last_key, last_value) = std::mem::replace(&mut last, now)?;
        let change = (*value)? - last_value;
        let mut shown = simple(change);
        if let Some(unit) = unit {
            shown["normalized_value"] = (change / ((key - last_key) / unit)).into();
        }
        Some(shown)
    });
    changes.collect()
}

/// The text of a script, which may be in an object.
fn source<'v>(name: &str, script: &'v Value) -> Result<&'v str, QueryError> {
    let text = script
        .as_str()
        .or_else(|| script["source"].as_str())
        .or_else(|| script["inline"].as_str());
    match text {
        Some(text) => Ok(text),
        None => error(format!("[{name}] needs a `script`")),
    }
}

fn bucket_script(name: &str, body: &Value) -> Result<Operation, QueryError> {
    let Some(given) = body["buckets_path"].as_object() else {
        return error(format!(
            "[{name}]: `buckets_path` of a `bucket_script` is an object: a path for each name"
        ));
    };
    let mut paths = Vec::new();
    for (variable, path) in given {
        paths.push((variable.clone(), Path::parse(name, path)?));
    }
    let mut params = Vec::new();
    for (param, number) in body["script"]["params"].as_object().into_iter().flatten() {
        match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => params.push((param.clone(), Number::Whole(number))),
            (None, Some(number)) => params.push((param.clone(), Number::Real(number))),
            (None, None) => {
                return error(format!("[{name}]: the param [{param}] is no number"));
            }
        }
    }
    let text = source(name, &body["script"])?;
    let is_known = |variable: &str| {
        given.contains_key(variable) || params.iter().any(|(param, _)| param == variable)
    };
    match Script::parse(text, &is_known) {
        Ok(script) => Ok(Operation::Script {
            paths,
            params,
            script,
        }),
        Err(reason) => error(format!("[{name}]: the script [{text}] {reason}")),
    }
}

/// A count of one or more, up to `most`.
fn positive(
    name: &str,
    body: &Value,
    key: &str,
    default: Option<u64>,
    most: u64,
) -> Result<u64, QueryError> {
    match lenient::count_of(name, body, key)?.or(default) {
        Some(count) if (1..=most).contains(&count) => Ok(count),
        _ => error(format!("[{name}] needs a `{key}` from 1 to {most}")),
    }
}

/// `unit` of a derivative, in milliseconds; months and years are as long as they are on average.
fn unit_of(
    body: &Value,
    millis_of: &dyn Fn(&str) -> Result<i64, QueryError>,
) -> Result<Option<f64>, QueryError> {
    let Some(text) = body["unit"].as_str().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds: i64 = match text {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" | "1w" => 7 * 86_400,
        "month" | "1M" => 2_629_746,
        "quarter" | "1q" => 7_889_238,
        "year" | "1y" => 31_556_952,
        _ => return Ok(Some(millis_of(text)?.max(1) as f64)),
    };
    Ok(Some((seconds * 1_000) as f64))
}

#[cfg(test)]
mod tests;
