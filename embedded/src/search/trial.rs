//! For tests: a few documents in memory, and what searches over them answer.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use tantivy::{Index, Searcher};

use super::query::QueryError;
use super::{Context, Indices, Patience, Snapshot, search};
use crate::document::LogDocument;
use crate::embedded::blank;
use crate::field_table::FieldTable;
use crate::flatten::Flattener;
use crate::ids::DocumentId;
use crate::schema::{self, Fields};

/// Some documents, the first half of them in a segment of its own.
pub(crate) struct Trial {
    fields: Fields,
    table: FieldTable,
    blank: Searcher,
    snapshot: Snapshot,
}

impl Trial {
    pub(crate) fn over(documents: &[Value]) -> Self {
        let (schema, fields) = schema::schema();
        let index = Index::builder()
            .schema(schema)
            .settings(schema::settings())
            .tokenizers(schema::tokenizers())
            .create_in_ram()
            .unwrap();
        let table = FieldTable::open(Path::new(""), 100);
        let mut flattener = Flattener::new(&table, fields);
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for (n, document) in documents.iter().enumerate() {
            let source = document.to_string();
            let flat = flattener.read(source.as_bytes()).unwrap();
            writer
                .add_document(LogDocument {
                    fields,
                    index: "logs-trial-default".into(),
                    id: DocumentId::parse(&format!("id-{n}")),
                    source: Bytes::from(source),
                    timestamp: flat.timestamp.unwrap_or(0),
                    values: flat.values,
                })
                .unwrap();
            if n == documents.len() / 2 {
                writer.commit().unwrap();
            }
        }
        writer.commit().unwrap();
        drop(flattener);
        Self {
            fields,
            table,
            blank: blank(fields).unwrap(),
            snapshot: Snapshot {
                searchers: vec![index.reader().unwrap().searcher()],
            },
        }
    }

    pub(crate) fn search(&self, body: &Value) -> Result<Value, QueryError> {
        let patience = Patience::new();
        let context = Context {
            fields: self.fields,
            table: &self.table,
            blank: &self.blank,
            threads: 1,
            memory: 64 << 20,
            patience: &patience,
        };
        search(&context, &self.snapshot, &Indices::parse("logs-*"), body)
    }

    /// What these aggregations are.
    pub(crate) fn aggregations(&self, aggs: &Value) -> Value {
        let mut answer = self.search(&json!({"size": 0, "aggs": aggs})).unwrap();
        answer["aggregations"].take()
    }

    /// Why these aggregations are none.
    pub(crate) fn refusal(&self, aggs: &Value) -> String {
        let body = json!({"size": 0, "aggs": aggs});
        self.search(&body).unwrap_err().0
    }
}
