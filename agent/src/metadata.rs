//! What is known of a file's container from its paths alone. The watch on the node's pods will
//! stand behind the same seam, [`tail::MetadataSource`].

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tail::{MetadataSource, Source};

/// Names metadata from paths, the node's name and the configured fields. Answers at once.
#[derive(Debug, Clone)]
pub struct PathMetadata {
    node: String,
    fields: BTreeMap<String, String>,
    settings: Arc<[u8]>,
}

impl PathMetadata {
    /// `fields` go along with every file; where a path says otherwise, the path is right.
    pub fn new(node: impl Into<String>, fields: BTreeMap<String, String>) -> Self {
        Self {
            node: node.into(),
            fields,
            settings: [].into(),
        }
    }

    /// What groups are sealed with from now on: the settings of the aggregator that the next batch
    /// goes to, empty when they are not known.
    pub fn seal_with(&mut self, settings: &Arc<[u8]>) {
        self.settings = Arc::clone(settings);
    }

    /// Flat ECS keys in sorted order, so that the same file has the same hash everywhere.
    fn json(&self, source: &Source) -> Vec<u8> {
        // A `BTreeMap` inside: sorted.
        let mut object: Map<String, Value> = Map::new();
        for (key, value) in &self.fields {
            object.insert(key.clone(), value.as_str().into());
        }
        let mut set = |key: &str, value: &str| {
            if !value.is_empty() {
                object.insert(key.to_owned(), value.into());
            }
        };
        set("log.file.path", &source.path.to_string_lossy());
        match &source.container {
            Some(container) => {
                set("kubernetes.namespace", &container.namespace);
                set("kubernetes.pod.name", &container.pod);
                set(
                    "kubernetes.pod.uid",
                    container.pod_uid.as_deref().unwrap_or_default(),
                );
                set("kubernetes.container.name", &container.container);
                set("kubernetes.node.name", &self.node);
                set(
                    "container.id",
                    container.container_id.as_deref().unwrap_or_default(),
                );
                set("service.name", &container.container);
            }
            None => set("host.name", &self.node),
        }
        Value::Object(object).to_string().into_bytes()
    }
}

impl MetadataSource for PathMetadata {
    fn metadata(&mut self, source: &Source) -> Option<Arc<[u8]>> {
        Some(self.json(source).into())
    }

    fn settings(&self) -> Option<Arc<[u8]>> {
        (!self.settings.is_empty()).then(|| Arc::clone(&self.settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tail::ContainerPath;

    fn check(source: &Source, fields: &[(&str, &str)], expected: &str) {
        let fields = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut metadata = PathMetadata::new("node-1", fields);
        let json = metadata.metadata(source).unwrap();
        assert_eq!(std::str::from_utf8(&json).unwrap(), expected);
    }

    #[test]
    fn containers_are_named_by_their_path() {
        let source = Source {
            path: "/var/log/containers/cart-7_shop_cart-abc.log".into(),
            real_path: "/var/log/pods/shop_cart-7_uid-1/cart/0.log".into(),
            container: Some(ContainerPath {
                namespace: "shop".into(),
                pod: "cart-7".into(),
                pod_uid: Some("uid-1".into()),
                container: "cart".into(),
                container_id: Some("abc".into()),
                restart: Some(0),
            }),
        };
        check(
            &source,
            &[("cloud.region", "eu-1"), ("service.name", "overruled")],
            r#"{"cloud.region":"eu-1","container.id":"abc","kubernetes.container.name":"cart","kubernetes.namespace":"shop","kubernetes.node.name":"node-1","kubernetes.pod.name":"cart-7","kubernetes.pod.uid":"uid-1","log.file.path":"/var/log/containers/cart-7_shop_cart-abc.log","service.name":"cart"}"#,
        );
    }

    #[test]
    fn other_files_are_named_by_host_and_path() {
        let source = Source {
            path: "/var/log/\"app\".log".into(),
            real_path: "/var/log/\"app\".log".into(),
            container: None,
        };
        check(
            &source,
            &[("service.name", "app")],
            r#"{"host.name":"node-1","log.file.path":"/var/log/\"app\".log","service.name":"app"}"#,
        );
    }
}
