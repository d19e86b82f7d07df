//! Saved searches and dashboards, kept in the store.
//!
//! Stores of logs know `create` best, so each change is a new document and the newest version
//! counts: two who change at once cannot overwrite each other (the second `create` of a version is
//! a conflict), and nothing is changed in place. Older versions are deleted behind.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::{Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::access::Role;
use crate::api::{Api, Call, only};
use crate::body::{Body, json as answer};
use crate::params::Params;
use crate::problem::Problem;
use crate::search::hits;

/// Where they are. Retention leaves names with this beginning alone.
pub(crate) const INDEX: &str = "tailrace-objects";
/// Bytes of one object.
const MAX_BYTES: usize = 256 << 10;
/// Most documents that are read: objects and the versions of them that were not deleted yet.
const MAX_OBJECTS: usize = 5000;

/// A version of an object.
#[derive(Debug, Clone)]
struct Saved {
    id: String,
    version: u64,
    is_deleted: bool,
    /// `_id` and `_index` of its document.
    place: (String, String),
    name: String,
    json: Value,
}

impl Api {
    pub(crate) async fn objects<B>(
        &self,
        kind: &'static str,
        id: Option<&str>,
        call: &Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        Params::new(call.params.as_deref(), &[])?;
        match (id, &call.method) {
            (None, &Method::GET) => {
                let items: Vec<Value> = self
                    .list(kind)
                    .await?
                    .into_iter()
                    .map(|one| one.json)
                    .collect();
                Ok(answer(StatusCode::OK, &json!({"items": items})))
            }
            (None, &Method::POST) => {
                call.asker.must_be(Role::Editor)?;
                let object = self.object(call, body, MAX_BYTES).await?;
                let object = checked(&object)?;
                let id = new_id();
                let saved = self.put(kind, &id, 1, &object, call).await?;
                let mut response = answer(StatusCode::CREATED, &saved);
                let plural = if kind == "dashboard" {
                    "dashboards"
                } else {
                    "saved-searches"
                };
                if let Ok(value) = format!("/api/v1/{plural}/{id}").parse() {
                    response.headers_mut().insert(header::LOCATION, value);
                }
                Ok(response)
            }
            (None, method) => Err(only(method, &[Method::GET, Method::POST])
                .err()
                .unwrap_or_else(|| missing(kind))),
            (Some(id), method) => {
                only(method, &[Method::GET, Method::PUT, Method::DELETE])?;
                if *method != Method::GET {
                    call.asker.must_be(Role::Editor)?;
                }
                let versions = self.versions(kind, Some(id)).await?;
                let newest = versions.first().cloned();
                let current = newest
                    .filter(|one| !one.is_deleted)
                    .ok_or_else(|| missing(kind))?;
                match *method {
                    Method::GET => Ok(answer(StatusCode::OK, &current.json)),
                    Method::DELETE => {
                        let gone = json!({"name": current.name, "deleted": true});
                        self.put(kind, id, current.version + 1, &gone, call).await?;
                        self.forget(&versions).await;
                        let mut response = Response::new(crate::body::full(Bytes::new()));
                        *response.status_mut() = StatusCode::NO_CONTENT;
                        Ok(response)
                    }
                    _ => {
                        let object = self.object(call, body, MAX_BYTES).await?;
                        let given = object.get("version").and_then(Value::as_u64);
                        let object = checked(&object)?;
                        if given.is_some_and(|version| version != current.version) {
                            return Err(changed(current.version));
                        }
                        let saved = self
                            .put(kind, id, current.version + 1, &object, call)
                            .await?;
                        self.forget(&versions).await;
                        Ok(answer(StatusCode::OK, &saved))
                    }
                }
            }
        }
    }

    /// The newest versions of all objects of a kind, by name.
    async fn list(&self, kind: &str) -> Result<Vec<Saved>, Problem> {
        let mut newest: HashMap<String, Saved> = HashMap::new();
        for one in self.versions(kind, None).await? {
            let is_older = newest
                .get(&one.id)
                .is_some_and(|known| known.version >= one.version);
            if !is_older {
                newest.insert(one.id.clone(), one);
            }
        }
        let mut list: Vec<Saved> = newest.into_values().filter(|one| !one.is_deleted).collect();
        list.sort_by(|a, b| (a.name.to_lowercase(), &a.id).cmp(&(b.name.to_lowercase(), &b.id)));
        Ok(list)
    }

    /// The query text of the saved search with this name.
    pub(crate) async fn saved_queries(&self) -> Result<Vec<(String, String)>, Problem> {
        let list = self.list("search").await?;
        Ok(list
            .into_iter()
            .map(|one| {
                let q = one.json["body"]["q"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                (one.name, q)
            })
            .collect())
    }

    /// All versions that are there, the newest first.
    async fn versions(&self, kind: &str, id: Option<&str>) -> Result<Vec<Saved>, Problem> {
        // An index pattern: before the first object there is no index, and that is no error.
        let index = format!("{INDEX}*");
        let mut filter = vec![json!({"match": {"kind": kind}})];
        if let Some(id) = id {
            filter.push(json!({"match_phrase": {"object": id}}));
        }
        let body = json!({
            "size": MAX_OBJECTS,
            "query": {"bool": {"filter": filter}},
            "sort": [{"version": {"order": "desc", "unmapped_type": "long"}}],
        });
        let found = self.ask_index(&index, &body).await?;
        Ok(hits(&found)
            .iter()
            .filter_map(|hit| read(kind, hit))
            .filter(|one| id.is_none_or(|id| one.id == id))
            .collect())
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        version: u64,
        object: &Value,
        call: &Call,
    ) -> Result<Value, Problem> {
        let now = jiff::Timestamp::now();
        let now = format!("{now:.3}");
        // What the object holds stands there as text: a store would make fields of it.
        let document = json!({
            "@timestamp": now,
            "kind": kind,
            "object": id,
            "version": version,
            "owner": call.asker.user,
            "json": object.to_string(),
        });
        let action = json!({"create": {"_index": INDEX, "_id": format!("{kind}-{id}-{version}")}});
        let bulk = format!("{action}\n{document}\n");
        let work = async {
            let sent = self
                .store
                .bulk(bulk.into(), store::Encoding::Identity)
                .await;
            sent.map_err(store::StoreError::from)
        };
        let sent = self.within(work).await?;
        let result: Value = serde_json::from_slice(&sent.body).unwrap_or(Value::Null);
        let item = &result["items"][0]["create"];
        let status = item["status"]
            .as_u64()
            .unwrap_or_else(|| sent.status.into());
        match status {
            200..=299 => {}
            409 => return Err(changed(version)),
            _ => {
                let reason = item["error"]["reason"]
                    .as_str()
                    .or(result["error"]["reason"].as_str());
                return Err(Problem::store(&store::StoreError::Status {
                    status: u16::try_from(status).unwrap_or(500),
                    reason: reason.unwrap_or("cannot keep it").to_owned(),
                }));
            }
        }
        self.within(self.store.refresh(INDEX)).await?;
        let hit = json!({"_id": "", "_index": "", "_source": document});
        read(kind, &hit)
            .map(|one| one.json)
            .ok_or_else(|| missing(kind))
    }

    /// Deletes versions that are replaced. One that stays is read, and ignored.
    async fn forget(&self, versions: &[Saved]) {
        let places: Vec<(String, String)> = versions
            .iter()
            .map(|one| (one.place.1.clone(), one.place.0.clone()))
            .collect();
        if let Err(problem) = self.within(self.store.delete(&places)).await {
            tracing::debug!(problem = problem.detail(), "old versions of an object stay");
        }
    }
}

fn read(kind: &str, hit: &Value) -> Option<Saved> {
    let source = &hit["_source"];
    if source["kind"].as_str()? != kind {
        return None;
    }
    let id = source["object"].as_str()?.to_owned();
    let version = source["version"].as_u64()?;
    let object: Value = serde_json::from_str(source["json"].as_str()?).ok()?;
    let name = object["name"].as_str()?.to_owned();
    let mut json = json!({
        "id": id,
        "name": name,
        "body": if object["body"].is_object() { object["body"].clone() } else { json!({}) },
        "version": version,
        "updated": source["@timestamp"],
        "owner": source["owner"],
    });
    if object["description"].is_string() {
        json["description"] = object["description"].clone();
    }
    Some(Saved {
        id,
        version,
        is_deleted: object["deleted"] == true,
        place: (
            hit["_id"].as_str()?.to_owned(),
            hit["_index"].as_str()?.to_owned(),
        ),
        name,
        json,
    })
}

/// The object, checked; what is wrong is named.
fn checked(object: &Map<String, Value>) -> Result<Value, Problem> {
    for name in object.keys() {
        if !["name", "description", "body", "version"].contains(&name.as_str()) {
            return Err(Problem::field(
                name.as_str(),
                format!("there is no field `{name}`; there are: name, description, body, version"),
            ));
        }
    }
    let name = object.get("name").and_then(Value::as_str).map(str::trim);
    let length = name.map_or(0, |name| name.chars().count());
    if !(1..=200).contains(&length) {
        return Err(Problem::field(
            "name",
            "`name` must be a text of 1 to 200 characters",
        ));
    }
    let description = object.get("description");
    let is_text = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.chars().count() <= 2000)
    };
    if description.is_some_and(|value| !is_text(value)) {
        return Err(Problem::field(
            "description",
            "`description` must be a text of at most 2000 characters",
        ));
    }
    let body = object.get("body").filter(|body| body.is_object());
    let Some(body) = body else {
        return Err(Problem::field("body", "`body` must be an object"));
    };
    if object
        .get("version")
        .is_some_and(|version| version.as_u64().is_none_or(|v| v == 0))
    {
        return Err(Problem::field(
            "version",
            "`version` must be a whole number from 1",
        ));
    }
    let mut checked = json!({"name": name, "body": body});
    if let Some(description) = description {
        checked["description"] = description.clone();
    }
    Ok(checked)
}

fn missing(kind: &str) -> Problem {
    Problem::not_found(match kind {
        "dashboard" => "there is no such dashboard",
        _ => "there is no such saved search",
    })
}

fn changed(version: u64) -> Problem {
    Problem::conflict("somebody else has changed it: load it again").with("version", version)
}

fn new_id() -> String {
    let token = crate::access::new_token();
    token
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_checked() {
        for (object, field) in [
            (json!({"name": "x", "body": {}}), ""),
            (
                json!({"name": "x", "body": {}, "description": "d", "version": 1}),
                "",
            ),
            (json!({"name": " ", "body": {}}), "name"),
            (json!({"name": 1, "body": {}}), "name"),
            (json!({"name": "x"}), "body"),
            (json!({"name": "x", "body": []}), "body"),
            (
                json!({"name": "x", "body": {}, "description": 1}),
                "description",
            ),
            (json!({"name": "x", "body": {}, "version": 0}), "version"),
            (json!({"name": "x", "body": {}, "more": 0}), "more"),
        ] {
            let said = checked(object.as_object().unwrap());
            match said {
                Ok(_) => assert_eq!(field, "", "{object}"),
                Err(problem) => assert_eq!(problem.json()["field"], field, "{object}"),
            }
        }
    }
}
