//! What is told of indices beside their documents: mappings of single fields, settings, a listing.

use serde_json::{Map, Value, json};
use store::IndexInfo;

use crate::api::{Api, Call};
use crate::params::Params;
use crate::problem::Problem;

impl Api {
    /// `_mapping/field/NAMES`: by index, the mapping of each field of one of these names.
    pub(super) async fn field_mappings(
        &self,
        index: &str,
        asked: &str,
        names: &str,
    ) -> Result<Value, Problem> {
        let mapping = self.within(self.store.mapping(index)).await?;
        refuse_missing(asked, &mapping)?;
        let found = of_fields(&mapping, names);
        if found.is_empty() {
            return Err(Problem::not_found(format!("there is no index `{asked}`")));
        }
        Ok(Value::Object(found))
    }

    /// `_settings`: of them what is known.
    pub(super) async fn settings(
        &self,
        index: &str,
        names: &str,
        is_flat: bool,
    ) -> Result<Value, Problem> {
        let indices = self.within(self.store.indices(index)).await?;
        let settings: Map<String, Value> = indices
            .iter()
            .map(|info| {
                let settings = settings_of(info, self.is_embedded(), names, is_flat);
                (info.name.clone(), settings)
            })
            .collect();
        Ok(Value::Object(settings))
    }

    /// `_cat/indices`. How much is in each is told to those alone who see all of it.
    pub(super) async fn cat_indices(
        &self,
        index: &str,
        params: &Params,
        call: &Call,
    ) -> Result<Value, Problem> {
        if params.get("format") != Some("json") {
            return Err(Problem::parameter(
                "format",
                "`_cat/indices` is answered as JSON only: `?format=json`",
            ));
        }
        let unit = match params.get("bytes") {
            None => "b",
            Some("b") => "",
            Some(_) => return Err(Problem::parameter("bytes", "sizes are told in bytes: `b`")),
        };
        let indices = self.within(self.store.indices(index)).await?;
        let sees_all = call.asker.filter().is_none();
        Ok(indices
            .iter()
            .map(|info| row(info, sees_all, unit))
            .collect())
    }
}

/// Refuses names, unlike patterns, of which nothing is found.
pub(super) fn refuse_missing(asked: &str, found: &Value) -> Result<(), Problem> {
    if found.as_object().is_none_or(|found| !found.is_empty()) {
        return Ok(());
    }
    let mut names = asked.split(',').map(str::trim);
    let missing = names.find(|name| {
        !name.is_empty() && *name != "_all" && !name.starts_with('-') && !name.contains('*')
    });
    missing.map_or(Ok(()), |name| Err(Problem::no_index(name)))
}

fn of_fields(mapping: &Value, names: &str) -> Map<String, Value> {
    let patterns: Vec<&str> = names.split(',').map(str::trim).collect();
    let indices = mapping.as_object().into_iter().flatten();
    indices
        .map(|(index, mapping)| {
            let mut found = Map::new();
            collect(
                "",
                &mapping["mappings"]["properties"],
                &patterns,
                &mut found,
            );
            (index.clone(), json!({"mappings": found}))
        })
        .collect()
}

fn collect(path: &str, properties: &Value, patterns: &[&str], found: &mut Map<String, Value>) {
    for (leaf, mapping) in properties.as_object().into_iter().flatten() {
        let name = if path.is_empty() {
            leaf.clone()
        } else {
            format!("{path}.{leaf}")
        };
        let is_field = !matches!(mapping["type"].as_str(), None | Some("object" | "nested"));
        if is_field && patterns.iter().any(|pattern| is_named(pattern, &name)) {
            let mut own = mapping.clone();
            if let Some(own) = own.as_object_mut() {
                own.remove("properties");
            }
            let mapping = json!({"full_name": name, "mapping": {leaf.as_str(): own}});
            found.insert(name.clone(), mapping);
        }
        collect(&name, &mapping["properties"], patterns, found);
        collect(&name, &mapping["fields"], patterns, found);
    }
}

/// Whether a name is that of a pattern with `*`; takes no longer for more of them.
fn is_named(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(inner) = name.strip_prefix(head) else {
        return false;
    };
    let Some(mut inner) = inner.strip_suffix(tail) else {
        return false;
    };
    for part in middle.split('*') {
        match inner.split_once(part) {
            Some((_, behind)) => inner = behind,
            None if part.is_empty() => {}
            None => return false,
        }
    }
    true
}

fn settings_of(info: &IndexInfo, is_embedded: bool, names: &str, is_flat: bool) -> Value {
    let mut settings = Map::new();
    let mut put = |key: &str, value: String| {
        let name = format!("index.{key}");
        let is_asked = names
            .split(',')
            .map(str::trim)
            .any(|pattern| pattern == "_all" || is_named(pattern, &name));
        if is_asked {
            let key = if is_flat { name } else { key.to_owned() };
            settings.insert(key, value.into());
        }
    };
    put("provided_name", info.name.clone());
    if info.created_ms > 0 {
        put("creation_date", info.created_ms.to_string());
    }
    if is_embedded {
        put("number_of_shards", "1".to_owned());
        put("number_of_replicas", "0".to_owned());
    }
    match is_flat {
        true => json!({"settings": settings}),
        false => json!({"settings": {"index": settings}}),
    }
}

fn row(info: &IndexInfo, sees_all: bool, unit: &str) -> Value {
    let mut row = json!({"index": info.name, "status": "open"});
    if sees_all {
        row["docs.count"] = info.docs.to_string().into();
        row["store.size"] = format!("{}{unit}", info.bytes).into();
    }
    if info.created_ms > 0 {
        row["creation.date"] = info.created_ms.to_string().into();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_fields_are_told_by_index() {
        let properties = json!({
            "@timestamp": {"type": "date_nanos"},
            "log": {"properties": {"level": {"type": "keyword"}, "offset": {"type": "long"}}},
            "name": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "list": {"type": "nested", "properties": {"item": {"type": "long"}}},
        });
        let mapping = json!({
            "logs-a-b": {"mappings": {"properties": properties}}, "logs-a-c": {"mappings": {}},
        });
        let of = |names: &str| Value::Object(of_fields(&mapping, names));
        assert_eq!(
            of("@timestamp"),
            json!({
                "logs-a-b": {"mappings": {"@timestamp": {
                    "full_name": "@timestamp", "mapping": {"@timestamp": {"type": "date_nanos"}},
                }}},
                "logs-a-c": {"mappings": {}},
            })
        );
        let names = |asked: &str| -> Vec<String> {
            let found = of(asked);
            let fields = found["logs-a-b"]["mappings"].as_object().unwrap();
            fields.keys().cloned().collect()
        };
        assert_eq!(names("log.*"), ["log.level", "log.offset"]);
        assert_eq!(names("log.level, name"), ["log.level", "name"]);
        assert_eq!(names("*.keyword"), ["name.keyword"]);
        assert_eq!(names("list*"), ["list.item"]);
        assert!(names("nothing").is_empty());
        let found = of("log.level");
        let level = &found["logs-a-b"]["mappings"]["log.level"];
        assert_eq!(level["mapping"], json!({"level": {"type": "keyword"}}));
        assert!(of_fields(&json!({}), "*").is_empty());
    }

    #[test]
    fn a_name_that_is_not_there_is_refused_and_a_pattern_is_not() {
        let none = json!({});
        for asked in ["_all", "*", "logs-nosuch-*", "logs-*-*,-logs-nosuch"] {
            assert_eq!(refuse_missing(asked, &none), Ok(()), "{asked}");
        }
        let refused = refuse_missing("logs-*-x,logs-generic-nosuch", &none).unwrap_err();
        assert_eq!(refused.elastic()["type"], "index_not_found_exception");
        let reason = refused.elastic()["reason"].clone();
        assert_eq!(reason, "no such index [logs-generic-nosuch]");
        assert_eq!(refuse_missing("logs-a-b", &json!({"logs-a-b": {}})), Ok(()));
    }

    #[test]
    fn names_match_as_on_a_server() {
        for (pattern, name, expected) in [
            ("*", "a.b", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*c", "abc", true),
            ("*.b.*", "a.b.c", true),
            ("*.b.*", "a.bc", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "a.c", false),
            ("**", "", true),
            ("", "a", false),
        ] {
            assert_eq!(is_named(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn of_indices_is_told_what_is_known() {
        let info = IndexInfo {
            name: "logs-a-b".to_owned(),
            docs: 3,
            bytes: 208,
            created_ms: 1_795_561_200_000,
            ..IndexInfo::default()
        };
        let index = json!({
            "provided_name": "logs-a-b", "creation_date": "1795561200000",
            "number_of_shards": "1", "number_of_replicas": "0",
        });
        assert_eq!(
            settings_of(&info, true, "*", false),
            json!({"settings": {"index": index}})
        );
        let one = json!({"settings": {"index": {"number_of_shards": "1"}}});
        assert_eq!(
            settings_of(&info, true, "index.number_of_shards", false),
            one
        );
        let flat = json!({"settings": {"index.number_of_shards": "1"}});
        assert_eq!(
            settings_of(&info, true, "index.number_of_shards", true),
            flat
        );
        let none = json!({"settings": {"index": {}}});
        assert_eq!(settings_of(&info, false, "index.number_of_*", false), none);
        let whole = json!({
            "index": "logs-a-b", "status": "open", "docs.count": "3", "store.size": "208b",
            "creation.date": "1795561200000",
        });
        assert_eq!(row(&info, true, "b"), whole);
        let narrow = row(&info, false, "b");
        assert!(narrow.get("docs.count").is_none() && narrow.get("store.size").is_none());
    }
}
