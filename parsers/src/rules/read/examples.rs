//! A rule's `examples`.

use super::super::examples::{self, Example, Expected};
use super::super::keys::EXAMPLE_KEYS;
use super::super::yaml::{Node, Place, Value};
use super::Reader;

impl Reader<'_> {
    pub(super) fn examples(&mut self, node: &Node) -> Vec<(Place, Example)> {
        let mut examples = Vec::new();
        for item in self.list(node, "`examples`") {
            let mut example = Example::default();
            let mut line = None;
            let mut expected = None;
            for (name, key, value) in self.members(item, "an example", EXAMPLE_KEYS) {
                let found = match name {
                    "line" => {
                        line = value.text().map(str::to_owned);
                        continue;
                    }
                    "lines" => {
                        let lines: Vec<&str> = value.texts().iter().map(|(_, t)| *t).collect();
                        line = Some(lines.join("\n"));
                        continue;
                    }
                    "iostream" => {
                        example.is_stderr = value.text().map(|text| text == "stderr");
                        continue;
                    }
                    "metadata" => {
                        example.metadata = self.metadata_of(value);
                        continue;
                    }
                    "time" => {
                        example.time = value.text().map(str::to_owned);
                        if let Some(text) = value.text()
                            && examples::as_time(text).is_none()
                        {
                            let what = format!("`{text}` is no RFC 3339 time");
                            self.report(value.place, what, None);
                        }
                        continue;
                    }
                    "no_match" => Expected::NoMatch,
                    "dropped" => Expected::Dropped,
                    _ => self.expected_fields(value),
                };
                if expected.is_some() {
                    let what = "an example expects one thing: `fields`, `no_match` or `dropped`";
                    self.report(key.place, what, None);
                }
                expected = Some(found);
            }
            let has = |names: &[&str]| match &item.value {
                Value::Map(members) => members
                    .iter()
                    .any(|(key, _)| names.contains(&key.text.as_str())),
                _ => true,
            };
            match (line, expected) {
                (Some(line), Some(expected)) => {
                    example.line = line;
                    example.expected = expected;
                    examples.push((item.place, example));
                }
                (None, _) if !has(&["line", "lines"]) => {
                    self.report(item.place, "an example needs `line`", None);
                }
                (Some(_), None) if !has(&["fields", "no_match", "dropped"]) => self.report(
                    item.place,
                    "an example needs `fields`, `no_match` or `dropped`",
                    None,
                ),
                _ => {}
            }
        }
        examples
    }

    fn metadata_of(&mut self, node: &Node) -> Vec<(String, String)> {
        let members = self.map(node, "`metadata`").unwrap_or_default();
        members
            .iter()
            .filter_map(|(key, value)| Some((key.text.clone(), value.text()?.to_owned())))
            .collect()
    }

    fn expected_fields(&mut self, node: &Node) -> Expected {
        let mut fields = Vec::new();
        for (key, value) in self.map(node, "`fields`").unwrap_or_default() {
            let expected = match value.is_null() {
                true => None,
                false => value.text().map(str::to_owned),
            };
            fields.push((key.text.clone(), key.place, expected));
        }
        Expected::Fields(fields)
    }
}
