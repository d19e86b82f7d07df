//! What is known of fields: the types of the index template, and what was seen of all others.
//!
//! The types are those that `store` puts on a server (`store/src/install.rs`), so that a query means
//! the same here and there. Every other field has the types of its values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How values of a field are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `@timestamp`.
    Timestamp,
    /// Words with positions.
    Text,
    /// Whole values; numbers and booleans as text.
    Keyword,
    /// Whole numbers; text that is one counts.
    Long,
    /// Dates.
    Date,
    /// Kept in the document, not indexed.
    Off,
    /// By the type of each value.
    Dynamic,
}

/// Explicit types, besides `kubernetes.*`, which are keywords when dynamic.
const EXPLICIT: &[(&str, Kind)] = &[
    ("@timestamp", Kind::Timestamp),
    ("event.ingested", Kind::Date),
    ("message", Kind::Text),
    ("error.stack_trace", Kind::Text),
    ("log.offset", Kind::Long),
    ("tailrace.length", Kind::Long),
    ("tailrace.parts", Kind::Off),
    ("tailrace.dropped", Kind::Off),
    ("tailrace.overflow", Kind::Off),
    ("tailrace.dead_letter.document", Kind::Off),
    ("tailrace.dead_letter.status", Kind::Long),
    ("tailrace.dead_letter.part", Kind::Long),
    ("tailrace.dead_letter.parts", Kind::Long),
    ("tailrace.dead_letter.reason", Kind::Keyword),
    ("tailrace.dead_letter.type", Kind::Keyword),
    ("tailrace.dead_letter.index", Kind::Keyword),
    ("tailrace.dead_letter.id", Kind::Keyword),
    ("tailrace.mended_reason", Kind::Keyword),
    ("log.level", Kind::Keyword),
    ("log.iostream", Kind::Keyword),
    ("log.file.path", Kind::Keyword),
    ("kubernetes.namespace", Kind::Keyword),
    ("kubernetes.pod.name", Kind::Keyword),
    ("kubernetes.pod.uid", Kind::Keyword),
    ("kubernetes.container.name", Kind::Keyword),
    ("kubernetes.node.name", Kind::Keyword),
    ("container.id", Kind::Keyword),
    ("container.image.name", Kind::Keyword),
    ("service.name", Kind::Keyword),
    ("trace.id", Kind::Keyword),
    ("span.id", Kind::Keyword),
    ("tailrace.stream", Kind::Keyword),
    ("tailrace.rule", Kind::Keyword),
    ("tags", Kind::Keyword),
];

/// Types of values that were seen, one bit each.
pub(crate) mod seen {
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const KEYWORD: u8 = 2;
    pub(crate) const LONG: u8 = 4;
    pub(crate) const DOUBLE: u8 = 8;
    pub(crate) const BOOLEAN: u8 = 16;
    pub(crate) const DATE: u8 = 32;
}

/// The name that Elasticsearch gives a set of types; of several the first that was common.
pub(crate) fn type_names(types: u8) -> Vec<&'static str> {
    let double = types & seen::DOUBLE != 0;
    [
        (seen::DATE, "date"),
        (seen::TEXT, "text"),
        (seen::KEYWORD, "keyword"),
        (seen::DOUBLE, "double"),
        (if double { 0 } else { seen::LONG }, "long"),
        (seen::BOOLEAN, "boolean"),
    ]
    .into_iter()
    .filter(|(bit, _)| types & bit != 0)
    .map(|(_, name)| name)
    .collect()
}

/// One field, for the thread that reads documents.
#[derive(Debug, Clone)]
pub(crate) struct FieldRule {
    pub(crate) path: Arc<str>,
    pub(crate) kind: Kind,
    /// Types that the table knows of already.
    pub(crate) seen: u8,
}

/// Fields of the whole store. Shared; the lock is taken once for each field of a request.
#[derive(Debug)]
pub(crate) struct FieldTable {
    path: PathBuf,
    max_fields: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fields: BTreeMap<Arc<str>, u8>,
    is_saved: bool,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    fields: BTreeMap<String, u8>,
}

impl FieldTable {
    /// Reads the table; one that is missing or unreadable fills again as documents come.
    pub(crate) fn open(path: &Path, max_fields: usize) -> Self {
        let read = || -> Option<Saved> {
            serde_json::from_slice::<Saved>(&std::fs::read(path).ok()?)
                .ok()
                .filter(|saved| saved.version == 1)
        };
        let fields = read().map(|saved| saved.fields).unwrap_or_default();
        Self {
            path: path.to_owned(),
            max_fields,
            state: Mutex::new(State {
                fields: fields.into_iter().map(|(k, v)| (k.into(), v)).collect(),
                is_saved: true,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How values at `path` are indexed. A field over the limit is kept, not indexed.
    pub(crate) fn rule(&self, path: &str) -> FieldRule {
        let kind = kind_of(path);
        let mut state = self.lock();
        if let Some((path, seen)) = state.fields.get_key_value(path) {
            return FieldRule {
                path: Arc::clone(path),
                kind,
                seen: *seen,
            };
        }
        let path: Arc<str> = path.into();
        let is_over = kind == Kind::Dynamic && state.fields.len() >= self.max_fields;
        let kind = if is_over { Kind::Off } else { kind };
        if kind != Kind::Off {
            state.fields.insert(Arc::clone(&path), 0);
        }
        FieldRule {
            path,
            kind,
            seen: 0,
        }
    }

    /// Notes that values of these types were seen.
    pub(crate) fn note(&self, path: &str, types: u8) {
        let mut state = self.lock();
        if let Some(known) = state.fields.get_mut(path)
            && *known | types != *known
        {
            *known |= types;
            state.is_saved = false;
        }
    }

    /// Types seen of the field at `path`.
    pub(crate) fn types(&self, path: &str) -> u8 {
        self.lock().fields.get(path).copied().unwrap_or(0)
    }

    /// Every field that has values, with their types.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, u8)> {
        let state = self.lock();
        let with_values = state.fields.iter().filter(|(_, types)| **types != 0);
        with_values
            .map(|(path, types)| (Arc::clone(path), *types))
            .collect()
    }

    /// Writes the table when it changed: before documents with new fields are committed, so that
    /// it never knows less than they hold.
    ///
    /// # Errors
    /// When the file cannot be written; the old one stays.
    pub(crate) fn save(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        if state.is_saved {
            return Ok(());
        }
        let saved = Saved {
            version: 1,
            fields: state
                .fields
                .iter()
                .map(|(k, v)| (k.to_string(), *v))
                .collect(),
        };
        let bytes = serde_json::to_vec(&saved).map_err(std::io::Error::other)?;
        crate::partition::write_atomically(&self.path, &bytes)?;
        state.is_saved = true;
        Ok(())
    }
}

/// The kind of the field at `path`.
pub(crate) fn kind_of(path: &str) -> Kind {
    if let Some((_, kind)) = EXPLICIT.iter().find(|(name, _)| *name == path) {
        return *kind;
    }
    let below = |name: &str| {
        path.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if EXPLICIT
        .iter()
        .any(|(name, kind)| *kind == Kind::Off && below(name))
    {
        return Kind::Off;
    }
    Kind::Dynamic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_types_are_those_of_the_template() {
        for (path, kind) in [
            ("log.level", Kind::Keyword),
            ("tailrace.parts.offset", Kind::Off),
            ("tailrace.partsx", Kind::Dynamic),
            ("http.status", Kind::Dynamic),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }

    #[test]
    fn the_table_outlives_a_restart_and_holds_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fields.json");
        let table = FieldTable::open(&path, 2);
        assert_eq!(table.rule("a").kind, Kind::Dynamic);
        assert_eq!(table.rule("b").kind, Kind::Dynamic);
        assert_eq!(table.rule("c").kind, Kind::Off, "over the limit");
        table.note("a", seen::LONG);
        table.note("a", seen::KEYWORD);
        table.save().unwrap();
        let again = FieldTable::open(&path, 2);
        assert_eq!(again.types("a"), seen::LONG | seen::KEYWORD);
        assert_eq!(type_names(again.types("a")), ["keyword", "long"]);
    }
}
