//! Pages of documents. A cursor is the place of a document in the order, so pages neither repeat
//! nor skip what came in between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{self, field_for_values};
use crate::scope::{RECENT, Scope};

pub(crate) const PARAMS: &[&str] = &[
    "q",
    "from",
    "to",
    "tz",
    "size",
    "cursor",
    "sort",
    "fields",
    "highlight",
    "total",
];

/// An order of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// A field before time.
    field: Option<String>,
    is_rising: bool,
}

impl Order {
    pub(crate) const NEWEST: Self = Self {
        field: None,
        is_rising: false,
    };
    pub(crate) const OLDEST: Self = Self {
        field: None,
        is_rising: true,
    };

    /// `asc`, `desc`, `field:asc`, `field:desc`.
    fn parse(text: &str) -> Result<Self, Problem> {
        let (field, direction) = match text.rsplit_once(':') {
            Some((field, direction)) => (Some(field), direction),
            None => (None, text),
        };
        let is_rising = match direction {
            "asc" => true,
            "desc" => false,
            _ => {
                return Err(Problem::parameter(
                    "sort",
                    "`sort` must be `asc`, `desc`, `field:asc` or `field:desc`",
                ));
            }
        };
        let field = field.map(field_for_values);
        let field = field.filter(|field| field != "@timestamp");
        if field.as_deref().is_some_and(query::is_text) {
            return Err(Problem::parameter("sort", "text cannot be sorted by"));
        }
        Ok(Self { field, is_rising })
    }

    /// The store's `sort`. Time first, then what tells documents of one time apart: stream and
    /// offset, which are a document's identity.
    pub(crate) fn sort(&self, api: &Api) -> Value {
        let direction = if self.is_rising { "asc" } else { "desc" };
        let mut time = json!({"order": direction, "unmapped_type": "date_nanos"});
        if !api.is_embedded() {
            // Indices of other shippers keep milliseconds; compared as they are they would all
            // come before ours.
            time["numeric_type"] = "date_nanos".into();
        }
        let tie =
            |kind: &str| json!({"order": direction, "missing": "_last", "unmapped_type": kind});
        let mut sort = vec![
            json!({"@timestamp": time}),
            json!({"tailrace.stream": tie("keyword")}),
            json!({"log.offset": tie("long")}),
        ];
        if let Some(field) = &self.field {
            sort.insert(0, json!({field: tie("keyword")}));
        }
        sort.into()
    }

    fn len(&self) -> usize {
        3 + usize::from(self.field.is_some())
    }

    /// Reads a cursor made for this order.
    pub(crate) fn after(&self, cursor: &str) -> Result<Value, Problem> {
        let values = URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .filter(|values| {
                let is_plain = |value: &Value| !value.is_object() && !value.is_array();
                values
                    .as_array()
                    .is_some_and(|values| values.len() == self.len() && values.iter().all(is_plain))
            });
        values.ok_or_else(|| {
            Problem::parameter(
                "cursor",
                "the cursor is none of this search: begin without one",
            )
        })
    }
}

/// The cursor for a document's sort values.
pub(crate) fn cursor(sort: &Value) -> String {
    URL_SAFE_NO_PAD.encode(sort.to_string())
}

/// A hit as the API gives it.
pub(crate) fn hit(hit: &Value) -> Value {
    json!({
        "id": hit["_id"],
        "index": hit["_index"],
        "cursor": if hit["sort"].is_array() { cursor(&hit["sort"]) } else { String::new() },
        "source": if hit["_source"].is_object() { hit["_source"].clone() } else { json!({}) },
    })
}

/// Adds the ranges of `message` in which `terms` stand.
fn highlight(hit: &mut Value, terms: &[String]) {
    let message = hit["source"]["message"].as_str().unwrap_or_default();
    let lower = message.to_lowercase();
    // Lower case may have another length in rare scripts: then nothing is marked.
    if terms.is_empty() || lower.len() != message.len() {
        return;
    }
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for term in terms {
        for (at, found) in lower.match_indices(&term.to_lowercase()) {
            ranges.push((at, at + found.len()));
        }
    }
    ranges.sort_unstable();
    let mut marked: Vec<(usize, usize)> = Vec::new();
    for (start, end) in ranges {
        match marked.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => marked.push((start, end)),
        }
    }
    let marked: Vec<[usize; 2]> = marked
        .into_iter()
        .map(|(start, end)| {
            [
                query::utf16_offset(message, start),
                query::utf16_offset(message, end),
            ]
        })
        .collect();
    hit["highlight"] = json!(marked);
}

/// What of a document is asked for: `_source` of the store.
pub(crate) fn source_filter(params: &Params) -> Result<Value, Problem> {
    Ok(match params.list("fields", 100, 2048)? {
        None => json!(true),
        Some(fields) if fields.is_empty() => json!(true),
        Some(fields) => fields
            .iter()
            .map(|name| {
                if name.contains('*') {
                    (*name).to_owned()
                } else {
                    field_for_values(name)
                }
            })
            .collect(),
    })
}

impl Api {
    pub(crate) async fn search(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, PARAMS)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 0..=1000, 100)?;
        let order = Order::parse(params.text("sort", 256)?.unwrap_or("desc"))?;
        let is_marked = params.flag("highlight", false)?;
        let mut body = json!({
            "size": size,
            "query": scope.filter(),
            "sort": order.sort(self),
            "track_total_hits": if params.flag("total", true)? { json!(true) } else { json!(10_000) },
            "_source": source_filter(&params)?,
        });
        if let Some(text) = params.text("cursor", 2048)? {
            body["search_after"] = order.after(text)?;
        }
        let found = self.ask(&body).await?;
        let terms = query::highlight_terms(&scope.query);
        let raw = hits(&found);
        let next = raw.last().filter(|_| raw.len() == size && size > 0);
        let next = next.map(|last| cursor(&last["sort"]));
        let hits: Vec<Value> = raw
            .iter()
            .map(|raw| {
                let mut hit = hit(raw);
                if is_marked {
                    highlight(&mut hit, &terms);
                }
                hit
            })
            .collect();
        let (from, to) = scope.ends();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "took_ms": found["took"].as_u64().unwrap_or(0),
                "timed_out": found["timed_out"].as_bool().unwrap_or(false),
                "total": total(&found),
                "hits": hits,
                "next_cursor": next,
                "from": from,
                "to": to,
            }),
        ))
    }

    pub(crate) async fn count(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, crate::scope::SCOPE)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let body = json!({"query": scope.filter()});
        let count = self
            .within(self.store.count(&self.options.index, Some(&body)))
            .await?;
        Ok(answer(StatusCode::OK, &json!({"count": count})))
    }

    pub(crate) fn explain(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, crate::scope::SCOPE)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let (from, to) = scope.ends();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "from": from,
                "to": to,
                "index": self.options.index,
                "body": {"query": scope.filter(), "sort": Order::NEWEST.sort(self), "size": 100},
                "terms": query::highlight_terms(&scope.query),
            }),
        ))
    }
}

/// The hits of a store's answer.
pub(crate) fn hits(found: &Value) -> &[Value] {
    found["hits"]["hits"].as_array().map_or(&[], Vec::as_slice)
}

/// The total of a store's answer.
pub(crate) fn total(found: &Value) -> Value {
    let total = &found["hits"]["total"];
    match total.as_u64() {
        Some(value) => json!({"value": value, "relation": "eq"}),
        None => json!({
            "value": total["value"].as_u64().unwrap_or(0),
            "relation": total["relation"].as_str().unwrap_or("eq"),
        }),
    }
}

/// The number of a store's total.
pub(crate) fn total_count(found: &Value) -> u64 {
    total(found)["value"].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let sort = json!([1_764_064_800_123_456_789_i64, "00000000000000ab", 17]);
        assert_eq!(Order::NEWEST.after(&cursor(&sort)).unwrap(), sort);
        let by_field = Order::parse("status:asc").unwrap();
        for text in [
            "",
            "x",
            "e30",
            &cursor(&json!([1, 2])),
            &cursor(&json!([[], 1, 2])),
        ] {
            assert!(Order::NEWEST.after(text).is_err(), "{text}");
        }
        assert!(by_field.after(&cursor(&sort)).is_err());
        assert!(Order::parse("up").is_err());
        assert!(Order::parse("message:asc").is_err());
    }

    #[test]
    fn matches_are_marked_in_utf16_units() {
        let mut hit = json!({"source": {"message": "ä😀 Timeout, then timeouts"}});
        highlight(&mut hit, &["timeout".to_owned()]);
        assert_eq!(hit["highlight"], json!([[4, 11], [18, 25]]));
    }
}
