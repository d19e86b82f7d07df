//! Answers: what tantivy counted, in Elasticsearch's form.

use serde_json::{Map, Value, json};

use super::super::date_format::DateFormat;
use super::super::query::QueryError;
use super::filters::part;
use super::histograms::Shape;
use super::metrics::{settle, shown as shown_metric};
use super::{Plan, PlanKind, SearchTop, pipelines};

/// Makes the answer of tantivy's. `query` is the search's own, for `top_hits`.
///
/// # Errors
/// Those of a `top_hits`.
pub(crate) fn answer(
    plans: &[Plan],
    mut results: Value,
    query: &Value,
    top: &mut SearchTop<'_>,
) -> Result<Value, QueryError> {
    let mut path = vec![query.clone()];
    level_answer(plans, &mut results, &mut path, top).map(Value::Object)
}

fn level_answer(
    plans: &[Plan],
    results: &mut Value,
    path: &mut Vec<Value>,
    top: &mut SearchTop<'_>,
) -> Result<Map<String, Value>, QueryError> {
    settle(plans, results);
    let mut out = Map::new();
    for plan in plans {
        let mut found = results
            .get_mut(&plan.name)
            .map(Value::take)
            .unwrap_or_default();
        let mut shown = match &plan.kind {
            PlanKind::Metric { field, figure } => shown_metric(field, figure, found),
            PlanKind::TopHits { body } => {
                let filters: Vec<&Value> = path.iter().filter(|query| !query.is_null()).collect();
                top(json!({"bool": {"filter": filters}}), body)?
            }
            PlanKind::TopMetrics(metrics) => {
                let filters = path.iter().chain([metrics.filter()]);
                let filters: Vec<&Value> = filters.filter(|query| !query.is_null()).collect();
                metrics.shown(&top(json!({"bool": {"filter": filters}}), metrics.body())?)
            }
            // One over the buckets that hold it comes when they are all there.
            PlanKind::Pipeline(pipeline) => match pipeline.of(&out) {
                Some(shown) => shown,
                None => continue,
            },
            PlanKind::Filter { query } => {
                path.push(query.clone());
                let mut shown = bucket(plan, &mut found, path, top)?;
                path.pop();
                shown.insert("doc_count".to_owned(), count(&found));
                Value::Object(shown)
            }
            PlanKind::Buckets { buckets, is_keyed } => {
                let mut list = Vec::new();
                for (n, (key, described, query)) in buckets.iter().enumerate() {
                    let mut found = results
                        .get_mut(part(&plan.name, n))
                        .map(Value::take)
                        .unwrap_or_default();
                    path.push(query.clone());
                    let mut shown = bucket(plan, &mut found, path, top)?;
                    path.pop();
                    shown.insert("doc_count".to_owned(), count(&found));
                    shown.extend(described.as_object().cloned().unwrap_or_default());
                    list.push((key.clone(), shown));
                }
                let shown = list.iter_mut().map(|(_, bucket)| bucket);
                pipelines::over(&plan.below, shown.collect());
                buckets_value(list, *is_keyed)
            }
            PlanKind::Terms { field, order } => {
                if let Some(order) = order {
                    for entry in entries(&mut found) {
                        settle(&plan.below, entry);
                    }
                    order.apply(&mut found);
                }
                for entry in entries(&mut found) {
                    let key = entry["key"].clone();
                    path.push(json!({"term": {field.as_str(): {"value": key}}}));
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                    if let Some(key) = whole(&entry["key"]) {
                        entry["key"] = key;
                    }
                }
                pipelines::over(&plan.below, bucket_maps(&mut found));
                found
            }
            PlanKind::Histogram {
                field,
                interval,
                shape,
            } => {
                let mut list = Vec::new();
                for entry in entries(&mut found) {
                    let from = entry["key"].as_f64().unwrap_or(0.0);
                    path.push(
                        json!({"range": {field.as_str(): {"gte": from, "lt": from + interval}}}),
                    );
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                    let name = format!("{from:?}");
                    list.push((name, entry.as_object().cloned().unwrap_or_default()));
                }
                histogram(plan, shape, list)
            }
            PlanKind::DateHistogram {
                field,
                zone,
                format,
                shape,
                steps,
            } => {
                let format = format.unwrap_or(DateFormat::Millis);
                let mut list = Vec::new();
                for entry in entries(&mut found) {
                    let key = entry["key"].as_f64().unwrap_or(0.0);
                    let Some((millis, end)) = steps.bounds_ms(key) else {
                        continue;
                    };
                    path.push(json!({"range": {field.as_str(): {"gte": millis, "lt": end}}}));
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                    entry["key"] = millis.into();
                    let name = format.show_millis(millis, zone);
                    entry["key_as_string"] = name.as_str().into();
                    list.push((name, entry.as_object().cloned().unwrap_or_default()));
                }
                histogram(plan, shape, list)
            }
        };
        if !plan.meta.is_null() {
            shown["meta"] = plan.meta.clone();
        }
        out.insert(plan.name.clone(), shown);
    }
    Ok(out)
}

fn bucket(
    plan: &Plan,
    found: &mut Value,
    path: &mut Vec<Value>,
    top: &mut SearchTop<'_>,
) -> Result<Map<String, Value>, QueryError> {
    level_answer(&plan.below, found, path, top)
}

/// The buckets of a histogram, given in the order of their keys.
fn histogram(plan: &Plan, shape: &Shape, mut list: Vec<(String, Map<String, Value>)>) -> Value {
    shape.sort(&mut list);
    let shown = list.iter_mut().map(|(_, bucket)| bucket);
    pipelines::over(&plan.below, shown.collect());
    match shape.is_keyed {
        true => buckets_value(list, true),
        false => {
            json!({"buckets": list.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()})
        }
    }
}

/// The buckets of an answer, in order.
fn entries(found: &mut Value) -> Vec<&mut Value> {
    match found.get_mut("buckets") {
        Some(Value::Array(entries)) => entries.iter_mut().collect(),
        Some(Value::Object(entries)) => entries.values_mut().collect(),
        _ => Vec::new(),
    }
}

/// The same as objects.
fn bucket_maps(found: &mut Value) -> Vec<&mut Map<String, Value>> {
    let maps = entries(found).into_iter().map(Value::as_object_mut);
    maps.flatten().collect()
}

/// Puts what is below a bucket in the place of tantivy's own.
fn show_bucket(entry: &mut Value, below: Map<String, Value>) {
    if let Some(entry) = entry.as_object_mut() {
        entry.retain(|key, _| matches!(key.as_str(), "key" | "key_as_string" | "doc_count"));
        entry.extend(below);
    }
}

fn buckets_value(list: Vec<(String, Map<String, Value>)>, is_keyed: bool) -> Value {
    if is_keyed {
        let keyed: Map<String, Value> = list
            .into_iter()
            .map(|(key, entry)| (key, Value::Object(entry)))
            .collect();
        return json!({"buckets": keyed});
    }
    let list = list.into_iter().map(|(key, mut entry)| {
        if !key.is_empty() {
            entry.insert("key".to_owned(), key.into());
        }
        Value::Object(entry)
    });
    json!({"buckets": list.collect::<Vec<_>>()})
}

fn count(found: &Value) -> Value {
    found["doc_count"].as_u64().unwrap_or(0).into()
}

/// A number without a fraction, as a whole number.
pub(super) fn whole(value: &Value) -> Option<Value> {
    let float = value
        .as_f64()
        .filter(|float| float.fract() == 0.0 && float.abs() < 9.0e15)?;
    Some((float as i64).into())
}
