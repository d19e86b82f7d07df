//! Enough of Elasticsearch's read API for Grafana's Elasticsearch data source and for curl, over
//! any store.
//!
//! What is asked goes to the store as it is, within limits: only the configured indices, only
//! queries and aggregations that can see nothing but what the asker may, and his filter around
//! every query.

mod checks;
mod indices;
mod metadata;
mod searches;

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::{Api, Call, only};
use crate::body::{Body, json as answer};
use crate::params::{Params, decode_segment};
use crate::problem::Problem;
use metadata::refuse_missing;
use searches::Asked;

/// Largest body.
const MAX_BODY: usize = 1 << 20;
/// Version that is told: Grafana asks for 7.16 or later.
const VERSION: &str = "8.0.0";

impl Api {
    pub(crate) async fn elastic<B>(
        &self,
        path: &str,
        call: Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let segments: Option<Vec<String>> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode_segment)
            .collect();
        let segments = segments.ok_or_else(|| Problem::not_found("the path is no UTF-8 text"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let params = Params::any(call.params.as_deref())?;
        match segments.as_slice() {
            [] => {
                only(&call.method, &[Method::GET])?;
                Ok(answer(StatusCode::OK, &root()))
            }
            ["_search"] | [_, "_search"] => {
                only(&call.method, &[Method::GET, Method::POST])?;
                let mut request = self.dsl(&call, body).await?;
                from_params(&params, &mut request)?;
                let asked = Asked::of_address(&segments, "_search", &params)?;
                let found = self.run(&asked, request, &call).await?;
                Ok(answer(StatusCode::OK, &found))
            }
            ["_msearch"] | [_, "_msearch"] => {
                only(&call.method, &[Method::POST])?;
                let default = Asked::of_address(&segments, "_msearch", &params)?;
                self.several(&default, &call, body).await
            }
            ["_mapping"] | [_, "_mapping"] => {
                only(&call.method, &[Method::GET])?;
                let index = self.index_of(&segments, "_mapping", &call)?;
                let mapping = self.within(self.store.mapping(&index)).await?;
                refuse_missing(asked_index(&segments, "_mapping"), &mapping)?;
                Ok(answer(StatusCode::OK, &mapping))
            }
            ["_mapping", "field", names] | [_, "_mapping", "field", names] => {
                only(&call.method, &[Method::GET])?;
                let index = self.index_of(&segments, "_mapping", &call)?;
                let asked = asked_index(&segments, "_mapping");
                let mappings = self.field_mappings(&index, asked, names).await?;
                Ok(answer(StatusCode::OK, &mappings))
            }
            ["_settings"] | [_, "_settings"] | ["_settings", _] | [_, "_settings", _] => {
                only(&call.method, &[Method::GET])?;
                let index = self.index_of(&segments, "_settings", &call)?;
                let is_flat = params.flag("flat_settings", false)?;
                let names = segments.last().filter(|name| **name != "_settings");
                let settings = self
                    .settings(&index, names.unwrap_or(&"*"), is_flat)
                    .await?;
                Ok(answer(StatusCode::OK, &settings))
            }
            ["_cat", "indices", rest @ ..] if rest.len() <= 1 => {
                only(&call.method, &[Method::GET])?;
                let index = self.index(rest.first().unwrap_or(&"_all"), &call)?;
                let list = self.cat_indices(&index, &params, &call).await?;
                Ok(answer(StatusCode::OK, &list))
            }
            ["_field_caps"] | [_, "_field_caps"] => {
                only(&call.method, &[Method::GET, Method::POST])?;
                let index = self.index_of(&segments, "_field_caps", &call)?;
                let fields = params.text("fields", 2048)?.filter(|text| !text.is_empty());
                let fields = fields.unwrap_or("*").to_owned();
                let caps = self.within(self.store.field_caps(&index, &fields)).await?;
                Ok(answer(StatusCode::OK, &caps))
            }
            ["_cluster", "health"] => {
                only(&call.method, &[Method::GET])?;
                Ok(answer(
                    StatusCode::OK,
                    &json!({"cluster_name": "tailrace", "status": "green"}),
                ))
            }
            ["_xpack"] => Err(Problem::not_found("there is no X-Pack")),
            _ => Err(Problem::not_found(
                "of Elasticsearch's API there is `_search`, `_msearch`, `_mapping`, `_field_caps`, \
                 `_settings` and `_cat/indices`",
            )),
        }
    }

    async fn dsl<B>(&self, call: &Call, body: B) -> Result<Map<String, Value>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let bytes = self.body(call, body, MAX_BODY).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        call.may_read(&["application/json"])?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Problem::body("the body must be a JSON object")),
            Err(error) => Err(Problem::body(format!("the body is no JSON: {error}"))),
        }
    }
}

/// The index of a path, as it was asked for: the part before `word`.
fn asked_index<'a>(segments: &[&'a str], word: &str) -> &'a str {
    let first = segments.first().filter(|first| **first != word);
    first.copied().unwrap_or("_all")
}

fn root() -> Value {
    json!({
        "name": "tailrace",
        "cluster_name": "tailrace",
        "cluster_uuid": "tailrace",
        "version": {"number": VERSION, "build_flavor": "default"},
        "tagline": "You Know, for Search",
    })
}

/// `q`, `size`, `from` and `sort` of the address.
fn from_params(params: &Params, request: &mut Map<String, Value>) -> Result<(), Problem> {
    if let Some(text) = params.text("q", 4096)? {
        request.insert("query".into(), json!({"query_string": {"query": text}}));
    }
    for (name, most) in [("size", 10_000), ("from", 10_000)] {
        if params.get(name).is_some() {
            request.insert(name.into(), params.number(name, 0..=most, 0)?.into());
        }
    }
    if let Some(sort) = params.text("sort", 256)? {
        let (field, order) = sort.split_once(':').unwrap_or((sort, "asc"));
        request.insert("sort".into(), json!([{field: {"order": order}}]));
    }
    Ok(())
}
