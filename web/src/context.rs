//! The lines around one, of the same container or pod.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::params::Params;
use crate::problem::Problem;
use crate::search::{Order, hit, hits};

impl Api {
    pub(crate) async fn context(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["id", "index", "before", "after", "scope"])?;
        let id = params.text("id", 512)?.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Problem::parameter("id", "`id` of a hit is missing"))?;
        let before = params.number("before", 0..=500, 20)?;
        let after = params.number("after", 0..=500, 20)?;
        let scope = params.choice("scope", &["container", "pod"])?;
        let index = match params.text("index", 256)?.filter(|index| !index.is_empty()) {
            // A name of one backing index or stream that a hit gave; patterns stay ours.
            Some(index) if self.is_searched(index) => index.to_owned(),
            _ => self.options.index.clone(),
        };
        let mut filter = vec![json!({"ids": {"values": [id]}})];
        filter.extend(asker.filter());
        let body = json!({
            "size": 1, "query": {"bool": {"filter": filter}}, "sort": Order::NEWEST.sort(self),
        });
        let found = self.ask_index(&index, &body).await?;
        let line = hits(&found)
            .first()
            .ok_or_else(|| Problem::not_found("there is no such line, or not any more"))?;
        let same = same(&line["_source"], scope);
        let mut filter = same;
        filter.extend(asker.filter());
        let (mut before, after) = tokio::try_join!(
            self.beside(&filter, line, &Order::NEWEST, before),
            self.beside(&filter, line, &Order::OLDEST, after),
        )?;
        before.reverse();
        Ok(answer(
            StatusCode::OK,
            &json!({"before": before, "hit": hit(line), "after": after}),
        ))
    }

    /// The documents next to `line` in this order.
    async fn beside(
        &self,
        filter: &[Value],
        line: &Value,
        order: &Order,
        size: usize,
    ) -> Result<Vec<Value>, Problem> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let body = json!({
            "size": size,
            "query": {"bool": {"filter": filter}},
            "sort": order.sort(self),
            "search_after": line["sort"],
            "track_total_hits": false,
        });
        let found = self.ask(&body).await?;
        Ok(hits(&found).iter().map(hit).collect())
    }
}

/// Filters of the documents that belong together with this one: the first of these that it has.
fn same(source: &Value, scope: &str) -> Vec<Value> {
    let fields: &[&str] = match scope {
        "pod" => &["kubernetes.pod.uid", "kubernetes.pod.name"],
        _ => &["container.id", "tailrace.stream"],
    };
    let known = fields
        .iter()
        .chain(&["log.file.path", "service.name", "host.name"])
        .find_map(|field| Some((*field, field_text(source, field)?)));
    let mut filters = Vec::new();
    if let Some((field, value)) = known {
        filters.push(json!({"term": {field: value}}));
        // Paths and names are those of one node.
        let is_local = matches!(field, "log.file.path" | "service.name");
        if let Some(host) = field_text(source, "host.name").filter(|_| is_local) {
            filters.push(json!({"term": {"host.name": host}}));
        }
    }
    filters
}

/// The text at a dotted path of a document.
pub(crate) fn field_text<'a>(source: &'a Value, field: &str) -> Option<&'a str> {
    field_value(source, field)?.as_str()
}

/// The value at a dotted path of a document; names may have dots themselves.
pub(crate) fn field_value<'a>(source: &'a Value, field: &str) -> Option<&'a Value> {
    let object = source.as_object()?;
    if let Some(value) = object.get(field) {
        return Some(value);
    }
    field.match_indices('.').find_map(|(dot, _)| {
        let (head, rest) = field.split_at(dot);
        field_value(object.get(head)?, rest.get(1..)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together() {
        let document = json!({"container": {"id": "c1"}, "kubernetes": {"pod": {"uid": "u1"}}});
        assert_eq!(
            same(&document, "container"),
            [json!({"term": {"container.id": "c1"}})]
        );
        assert_eq!(
            same(&document, "pod"),
            [json!({"term": {"kubernetes.pod.uid": "u1"}})]
        );
        let raw = json!({"log.file": {"path": "/x"}, "host": {"name": "n"}});
        assert_eq!(
            same(&raw, "container"),
            [
                json!({"term": {"log.file.path": "/x"}}),
                json!({"term": {"host.name": "n"}})
            ]
        );
        assert!(same(&json!({}), "container").is_empty());
    }
}
