//! A rule's `match`.

use super::super::condition::{Condition, Needle, Part};
use super::super::keys::MATCH_KEYS;
use super::super::yaml::Node;
use super::Reader;

impl Reader<'_> {
    pub(super) fn condition(&mut self, node: &Node, what: &str) -> Condition {
        let mut condition = Condition::default();
        for (name, _, value) in self.members(node, what, MATCH_KEYS) {
            let texts: Vec<String> = value
                .texts()
                .into_iter()
                .map(|(_, text)| text.to_owned())
                .collect();
            let is_map = matches!(
                name,
                "labels" | "annotations" | "metadata" | "not" | "by_name"
            );
            if !is_map && (texts.is_empty() || texts.iter().any(String::is_empty)) {
                self.report(value.place, format!("`{name}` is empty"), None);
                continue;
            }
            let field = |key| (Part::Field(name, key), texts.clone());
            match name {
                "namespace" => condition.stream.push(field("kubernetes.namespace")),
                "pod" => condition.stream.push(field("kubernetes.pod.name")),
                "container" => condition.stream.push(field("kubernetes.container.name")),
                "node" => condition.stream.push(field("kubernetes.node.name")),
                "file" => condition.stream.push(field("log.file.path")),
                "image" => condition.stream.push((Part::Image, texts)),
                "source" => condition.stream.push((Part::Source, texts)),
                "labels" => self.metadata(value, "kubernetes.labels.", &mut condition),
                "annotations" => self.metadata(value, "kubernetes.annotations.", &mut condition),
                "metadata" => self.metadata(value, "", &mut condition),
                "iostream" => condition.iostream = texts,
                "starts_with" => {
                    condition.starts_with = texts.into_iter().map(String::into_bytes).collect();
                }
                "contains" => {
                    condition.contains = texts.iter().map(|text| Needle::new(text)).collect();
                }
                "by_name" => condition.by_name = true,
                "not" if what == "`not`" => {
                    self.report(value.place, "`not` within `not`", None);
                }
                "not" => condition.not = Some(Box::new(self.condition(value, "`not`"))),
                _ => {}
            }
        }
        condition
    }

    fn metadata(&mut self, node: &Node, prefix: &str, condition: &mut Condition) {
        for (key, value) in self.map(node, "it").unwrap_or_default() {
            let globs = value
                .texts()
                .into_iter()
                .map(|(_, text)| text.to_owned())
                .collect();
            condition
                .stream
                .push((Part::Any(format!("{prefix}{}", key.text)), globs));
        }
    }
}
