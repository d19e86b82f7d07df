//! Entry points of the fuzz targets, compiled for them (and for tests) only.

use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Value, json};
use tantivy::{Index, Searcher};

use crate::bulk::{self, ActionKind};
use crate::document::LogDocument;
use crate::embedded::blank;
use crate::field_table::FieldTable;
use crate::flatten::Flattener;
use crate::ids::DocumentId;
use crate::schema::{self, Fields};
use crate::search::{self, Context, Indices, Patience, Snapshot};

const INDEX: &str = "logs-fuzz-default";
/// Bytes that aggregations may take: little, so that the limit is met.
const MEMORY: u64 = 16 << 20;

/// Fields of every kind, with values that fit and values that do not.
const DOCUMENTS: &[&str] = &[
    r#"{"@timestamp":"2026-10-24T22:30:00.123456789Z","message":"GET /items served in 5 ms","log.level":"info","service.name":"cart","tags":["a","b"],"http":{"status":200,"took":0.25},"log.offset":0}"#,
    r#"{"@timestamp":"2026-10-25T00:30:00Z","message":"connection refused by 10.0.0.31:8443","log.level":"error","service.name":"payment","http":{"status":503,"took":12},"error":{"stack_trace":"at a.b.C\nat d"}}"#,
    r#"{"@timestamp":"2026-11-25T22:00:00Z","message":"Straße ÄÖÜ 日本語","log.level":"warn","took":-1,"is_done":true,"event":{"ingested":"2026-11-25T22:00:01Z"}}"#,
    r#"{"@timestamp":"soon","message":{"text":"two"},"took":"long","log.offset":"many","nothing":null}"#,
    r#"{"@timestamp":["2026-03-29T01:30:00Z","1969-12-31T23:59:59Z"],"took":1e300,"big":18446744073709551615,"http":{"status":"none"}}"#,
];

/// Some documents in memory.
struct Small {
    fields: Fields,
    table: FieldTable,
    blank: Searcher,
    snapshot: Snapshot,
}

impl Small {
    fn new() -> tantivy::Result<Self> {
        let (schema, fields) = schema::schema();
        let index = Index::builder()
            .schema(schema)
            .settings(schema::settings())
            .tokenizers(schema::tokenizers())
            .create_in_ram()?;
        let table = table();
        let mut flattener = Flattener::new(&table, fields);
        let mut writer = index.writer_with_num_threads(1, 15_000_000)?;
        for (n, source) in DOCUMENTS.iter().copied().enumerate() {
            let flat = flattener.read(source.as_bytes())?;
            writer.add_document(LogDocument {
                fields,
                index: INDEX.into(),
                id: DocumentId::parse(&format!("id-{n}")),
                source: Bytes::from_static(source.as_bytes()),
                timestamp: flat.timestamp.unwrap_or(0),
                values: flat.values,
            })?;
            if n == 2 {
                // Answers are put together from several segments.
                writer.commit()?;
            }
        }
        writer.commit()?;
        drop(flattener);
        let snapshot = Snapshot {
            searchers: vec![index.reader()?.searcher()],
        };
        Ok(Self {
            fields,
            table,
            blank: blank(fields)?,
            snapshot,
        })
    }

    fn is_answered(&self, body: &Value) -> bool {
        let mut body = body.clone();
        if let Some(body) = body.as_object_mut() {
            body.insert("timeout".to_owned(), "200ms".into());
        }
        let patience = Patience::new();
        let context = Context {
            fields: self.fields,
            table: &self.table,
            blank: &self.blank,
            threads: 1,
            memory: MEMORY,
            patience: &patience,
        };
        let indices = Indices::parse("logs-*");
        search::search(&context, &self.snapshot, &indices, &body).is_ok()
    }
}

/// A table of its own, without a file.
fn table() -> FieldTable {
    FieldTable::open(Path::new(""), 100)
}

/// Searches with `bytes` as a request, as its query and as its aggregations, and as a query in
/// Lucene's syntax. Tells whether any of these was answered.
///
/// # Panics
/// When there can be no index in memory.
pub fn search(bytes: &[u8]) -> bool {
    static SMALL: OnceLock<Small> = OnceLock::new();
    let small = SMALL.get_or_init(|| Small::new().expect("an index in memory"));
    let given = match serde_json::from_slice::<Value>(bytes) {
        Ok(given) => given,
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let query = json!({"query_string": {"query": text, "default_field": "message"}});
            return small.is_answered(&json!({
                "query": query, "highlight": {"fields": {"*": {}}}, "sort": ["@timestamp"],
            }));
        }
    };
    let bodies = [
        given.clone(),
        json!({"query": given, "highlight": {"fields": {"*": {}}}}),
        json!({"size": 0, "aggs": given}),
    ];
    let answered = bodies.iter().filter(|body| small.is_answered(body));
    answered.count() > 0
}

/// Opens `bytes` as a bulk body and reads its documents. Tells whether it was one.
///
/// # Panics
/// When a deletion has a document.
pub fn bulk(bytes: &[u8]) -> bool {
    let Ok(actions) = bulk::parse(&Bytes::copy_from_slice(bytes)) else {
        return false;
    };
    let (_, fields) = schema::schema();
    let table = table();
    let mut flattener = Flattener::new(&table, fields);
    for action in &actions {
        if let Some(id) = &action.id {
            assert_eq!(DocumentId::parse(id).to_string(), *id);
        }
        match action.kind {
            ActionKind::Delete => assert!(action.source.is_empty()),
            ActionKind::Create | ActionKind::Index => drop(flattener.read(&action.source)),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds of a target with their names.
    fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
        let dir = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(dir).unwrap();
        let seeds: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect();
        assert!(!seeds.is_empty());
        seeds
    }

    #[test]
    fn seeds_are_answered_and_their_beginnings_survived() {
        for (name, seed) in seeds("search") {
            assert!(search(&seed), "{name}");
            for len in (0..seed.len()).step_by(7) {
                search(&seed[..len]);
            }
        }
        for (name, seed) in seeds("bulk") {
            assert!(bulk(&seed), "{name}");
            for len in 0..seed.len() {
                bulk(&seed[..len]);
            }
        }
    }
}
