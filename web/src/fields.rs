//! Fields and their most frequent values.

use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::histogram::buckets;
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{aliases, field_for_values, is_text};
use crate::scope::{RECENT, Scope};
use crate::search::total_count;

/// Most fields that are counted in one request.
const MAX_COUNTED: usize = 200;

/// A field as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) searchable: bool,
    pub(crate) aggregatable: bool,
}

/// The fields of a `_field_caps` answer by name, without objects and the store's own.
pub(crate) fn of_caps(caps: &Value) -> Vec<Field> {
    let Some(fields) = caps["fields"].as_object() else {
        return Vec::new();
    };
    let mut list: Vec<Field> = fields
        .iter()
        .filter(|(name, _)| !name.starts_with('_'))
        .filter_map(|(name, kinds)| {
            // A field of several types: the one that most can be done with.
            let kinds = kinds.as_object()?;
            let of = |caps: &Value, key: &str| caps[key].as_bool().unwrap_or(false);
            let (kind, caps) = kinds
                .iter()
                .filter(|(kind, _)| !matches!(kind.as_str(), "object" | "nested" | "unmapped"))
                .max_by_key(|(_, caps)| (of(caps, "aggregatable"), of(caps, "searchable")))?;
            Some(Field {
                name: name.clone(),
                kind: kind.clone(),
                searchable: of(caps, "searchable"),
                aggregatable: of(caps, "aggregatable"),
            })
        })
        .collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list
}

/// The short name of a field.
pub(crate) fn alias_of(field: &str) -> Option<&'static str> {
    let alias = aliases().iter().find(|alias| alias.field == field);
    alias.map(|alias| alias.name)
}

/// Whether `prefix` begins the name, a part of it, or its short name.
pub(crate) fn begins(field: &str, prefix: &str) -> bool {
    let prefix = prefix.to_lowercase();
    let lower = field.to_lowercase();
    lower.starts_with(&prefix)
        || lower.contains(&format!(".{prefix}"))
        || alias_of(field).is_some_and(|alias| alias.starts_with(&prefix))
}

impl Api {
    pub(crate) async fn fields(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "prefix", "counts"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let prefix = params.text("prefix", 256)?.unwrap_or_default();
        let is_counted = params.flag("counts", false)?;
        let caps = self.caps().await?;
        let fields: Vec<Field> = of_caps(&caps)
            .into_iter()
            .filter(|field| prefix.is_empty() || begins(&field.name, prefix))
            .collect();
        let counts = if is_counted {
            self.field_counts(&scope, &fields).await?
        } else {
            Map::new()
        };
        let fields: Vec<Value> = fields
            .iter()
            .map(|field| {
                let mut one = json!({
                    "name": field.name,
                    "type": field.kind,
                    "searchable": field.searchable,
                    "aggregatable": field.aggregatable,
                });
                if let Some(alias) = alias_of(&field.name) {
                    one["alias"] = alias.into();
                }
                if let Some(count) = counts.get(&field.name) {
                    one["count"] = count.clone();
                }
                one
            })
            .collect();
        Ok(answer(StatusCode::OK, &json!({"fields": fields})))
    }

    async fn field_counts(
        &self,
        scope: &Scope,
        fields: &[Field],
    ) -> Result<Map<String, Value>, Problem> {
        if fields.is_empty() {
            return Ok(Map::new());
        }
        let filters: Map<String, Value> = fields
            .iter()
            .filter(|field| field.searchable)
            .take(MAX_COUNTED)
            .map(|field| {
                let exists = json!({"exists": {"field": field.name}});
                (field.name.clone(), exists)
            })
            .collect();
        let body = json!({
            "size": 0, "query": scope.filter(), "aggs": {"of": {"filters": {"filters": filters}}},
        });
        let found = self.ask(&body).await?;
        let buckets = found["aggregations"]["of"]["buckets"].as_object();
        Ok(buckets
            .map(|buckets| {
                buckets
                    .iter()
                    .map(|(name, bucket)| (name.clone(), bucket["doc_count"].clone()))
                    .collect()
            })
            .unwrap_or_default())
    }

    pub(crate) async fn field_values(
        &self,
        field: &str,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "prefix", "size"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 1..=1000, 10)?;
        let prefix = params.text("prefix", 256)?.unwrap_or_default();
        if field.is_empty() || field.len() > 256 {
            return Err(Problem::not_found("the name of a field has 1 to 256 bytes"));
        }
        let values = self.values(&scope, field, prefix, size).await?;
        Ok(answer(StatusCode::OK, &values))
    }

    /// The values of one field that begin with `prefix`.
    pub(crate) async fn values(
        &self,
        scope: &Scope,
        field: &str,
        prefix: &str,
        size: usize,
    ) -> Result<Value, Problem> {
        let field = field_for_values(field);
        if is_text(&field) {
            return Err(no_values(&field));
        }
        let mut terms = json!({"field": field, "size": size});
        let mut more = Vec::new();
        if !prefix.is_empty() {
            // Only text has beginnings: other fields are filtered here.
            if self.is_keyword(&field).await? {
                terms["include"] = format!("{}.*", lucene_escape(prefix)).into();
                more.push(json!({"prefix": {&field: {"value": prefix}}}));
            } else {
                terms["size"] = 1000.into();
            }
        }
        let body = json!({
            "size": 0,
            "query": scope.filter_and(&more),
            "track_total_hits": true,
            "aggs": {"of": {"terms": terms}, "without": without(&field)},
        });
        let found = self.ask(&body).await?;
        let mut values = read_values(&field, &found["aggregations"], total_count(&found), "");
        if let Some(list) = values["values"].as_array_mut() {
            list.retain(|one| prefix.is_empty() || plain(&one["value"]).starts_with(prefix));
            list.truncate(size);
        }
        Ok(values)
    }

    async fn is_keyword(&self, field: &str) -> Result<bool, Problem> {
        let caps = self.caps().await?;
        let kinds = caps["fields"][field].as_object();
        Ok(kinds.is_none_or(|kinds| kinds.contains_key("keyword")))
    }

    pub(crate) async fn facets(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "fields", "size"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 1..=100, 10)?;
        let names = params.list("fields", 20, 2048)?;
        let fields: Vec<String> = names
            .unwrap_or_else(|| vec!["level", "service", "namespace", "pod", "container"])
            .into_iter()
            .map(field_for_values)
            .collect();
        if let Some(text) = fields.iter().find(|field| is_text(field)) {
            return Err(no_values(text));
        }
        let mut aggs = Map::new();
        for (idx, field) in fields.iter().enumerate() {
            aggs.insert(
                format!("of{idx}"),
                json!({"terms": {"field": field, "size": size}}),
            );
            aggs.insert(format!("without{idx}"), without(field));
        }
        let mut body = json!({"size": 0, "query": scope.filter(), "track_total_hits": true});
        if !aggs.is_empty() {
            body["aggs"] = aggs.into();
        }
        let found = self.ask(&body).await?;
        let total = total_count(&found);
        let facets: Vec<Value> = fields
            .iter()
            .enumerate()
            .map(|(idx, field)| read_values(field, &found["aggregations"], total, &idx.to_string()))
            .collect();
        Ok(answer(
            StatusCode::OK,
            &json!({"total": total, "facets": facets}),
        ))
    }
}

fn no_values(field: &str) -> Problem {
    Problem::parameter(
        "fields",
        format!(
            "`{field}` is text, which has no values to count; `/api/v1/patterns` groups messages"
        ),
    )
}

fn without(field: &str) -> Value {
    json!({"filters": {"filters": {"x": {"bool": {"must_not": [{"exists": {"field": field}}]}}}}})
}

fn read_values(field: &str, aggs: &Value, total: u64, number: &str) -> Value {
    let of = &aggs[format!("of{number}")];
    let values: Vec<Value> = buckets(of)
        .iter()
        .map(|bucket| {
            let value = match &bucket["key_as_string"] {
                Value::String(text) if text == "true" => json!(true),
                Value::String(text) if text == "false" => json!(false),
                Value::String(text) => text.as_str().into(),
                _ => bucket["key"].clone(),
            };
            json!({"value": value, "count": bucket["doc_count"]})
        })
        .collect();
    json!({
        "field": field,
        "total": total,
        "missing": aggs[format!("without{number}")]["buckets"]["x"]["doc_count"].as_u64().unwrap_or(0),
        "other": of["sum_other_doc_count"].as_u64().unwrap_or(0),
        "values": values,
    })
}

/// A value as people type it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Escapes what has a meaning in the store's regular expressions.
fn lucene_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if ".?+*|{}[]()\"\\#@&<>~^$-".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_caps() {
        let caps = json!({"fields": {
            "log": {"object": {"searchable": false, "aggregatable": false}},
            "log.level": {"keyword": {"searchable": true, "aggregatable": true}},
            "_id": {"_id": {"searchable": true, "aggregatable": false}},
            "x": {"text": {"searchable": true, "aggregatable": false}, "long": {"searchable": true, "aggregatable": true}},
        }});
        let fields = of_caps(&caps);
        let names: Vec<(&str, &str)> = fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind.as_str()))
            .collect();
        assert_eq!(names, [("log.level", "keyword"), ("x", "long")]);
        assert!(
            begins("log.level", "lev") && begins("log.level", "Log.") && !begins("log.level", "x")
        );
        assert!(begins("kubernetes.pod.name", "po"));
    }
}
