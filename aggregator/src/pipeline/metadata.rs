//! Metadata of streams, known by hash: sent once by an agent, kept here for all its chunks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use parsers::{ContextError, StreamContext};
use serde_json::{Map, Value};
use wire::{MetaId, PassedOver};

use super::route::{Place, Routers};

/// What is computed once a stream.
#[derive(Debug)]
pub struct StreamMeta {
    /// The ready-made constant part of its documents.
    pub context: Arc<StreamContext>,
    /// Where its records go, one place for each output.
    pub places: Vec<Place>,
    /// What has named these places.
    pub routers: Routers,
    /// Kubernetes namespace, for the books; empty when there is none.
    pub namespace: String,
    /// What the agent passed over, as the group says that comes with this object.
    pub passed_over: Option<PassedOver>,
}

impl StreamMeta {
    /// The metadata object `json`, where `routers` send its stream.
    ///
    /// # Errors
    /// When it is no object.
    pub fn new(json: &[u8], routers: &Routers) -> Result<Self, ContextError> {
        let (json, passed_over) = apart(json);
        let context = StreamContext::new(&json)?;
        let places = places(&context, routers);
        let namespace = context.get("kubernetes.namespace");
        let namespace = namespace.unwrap_or_default().to_owned();
        Ok(Self {
            context: Arc::new(context),
            places,
            routers: Arc::clone(routers),
            namespace,
            passed_over,
        })
    }

    /// The same stream, where `routers` send it.
    pub fn placed(&self, routers: &Routers) -> Self {
        Self {
            context: Arc::clone(&self.context),
            places: places(&self.context, routers),
            routers: Arc::clone(routers),
            namespace: self.namespace.clone(),
            passed_over: self.passed_over.clone(),
        }
    }
}

/// Takes what is no field of documents out of a metadata object.
fn apart(json: &[u8]) -> (Cow<'_, [u8]>, Option<PassedOver>) {
    let key = PassedOver::KEY.as_bytes();
    // Few have it: the others are not read twice.
    if !json.windows(key.len()).any(|part| part == key) {
        return (Cow::Borrowed(json), None);
    }
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(json) else {
        return (Cow::Borrowed(json), None);
    };
    let passed_over = object.remove(PassedOver::KEY);
    let passed_over = passed_over.as_ref().and_then(Value::as_str);
    let passed_over = passed_over.and_then(PassedOver::parse);
    let json = Value::Object(object).to_string().into_bytes();
    (Cow::Owned(json), passed_over)
}

fn places(context: &StreamContext, routers: &Routers) -> Vec<Place> {
    let lookup = |key: &str| context.get(key).map(Cow::Borrowed);
    let routers = routers.iter();
    routers.map(|(_, router)| router.place(lookup)).collect()
}

/// Keeps the metadata of the streams seen last, bounded in bytes.
///
/// Two generations: what is used moves to the young one; when that has reached half of the limit
/// it becomes the old one, and what was old is forgotten. An agent asked for forgotten metadata
/// sends it again.
#[derive(Debug)]
pub struct MetadataCache {
    max_bytes: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<MetaId, (Arc<StreamMeta>, usize)>,
    old: HashMap<MetaId, (Arc<StreamMeta>, usize)>,
    young_bytes: usize,
}

/// What a kept object costs beside the bytes of its JSON: the prefix made of it is about as long
/// again, and the maps have their share.
const OVERHEAD_BYTES: usize = 512;

impl MetadataCache {
    /// An empty cache of at most about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            generations: Mutex::default(),
        }
    }

    /// The metadata with this hash, if it is known.
    pub fn get(&self, id: MetaId) -> Option<Arc<StreamMeta>> {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((meta, _)) = generations.young.get(&id) {
            return Some(Arc::clone(meta));
        }
        let (meta, bytes) = generations.old.remove(&id)?;
        generations.insert(id, Arc::clone(&meta), bytes, self.max_bytes);
        Some(meta)
    }

    /// Takes the metadata object `json`, if its hash is right and it is an object. What is wrong
    /// is not kept: the agent is asked for it again, and says so in its log.
    pub fn insert(&self, id: MetaId, json: &[u8], routers: &Routers) {
        if wire::meta_id(json) != id || self.get(id).is_some() {
            return;
        }
        let Ok(meta) = StreamMeta::new(json, routers) else {
            return;
        };
        for problem in meta.context.problems() {
            let pod = meta.context.get("kubernetes.pod.name").unwrap_or_default();
            tracing::warn!(pod, problem, "a pod's annotation is ignored");
        }
        let meta = Arc::new(meta);
        let bytes = 2 * json.len() + OVERHEAD_BYTES;
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.insert(id, meta, bytes, self.max_bytes);
    }
}

impl Generations {
    fn insert(&mut self, id: MetaId, meta: Arc<StreamMeta>, bytes: usize, max_bytes: usize) {
        if self.young_bytes + bytes > max_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(id, (meta, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::route::{Naming, Router, Template};

    fn routers() -> Routers {
        let naming = Naming::DataStream {
            dataset: None,
            namespace: Template::parse("default"),
        };
        [("main".to_owned(), Arc::new(Router::new(naming, 10)))].into()
    }

    fn object(n: u32) -> Vec<u8> {
        format!(r#"{{"kubernetes.namespace":"shop","kubernetes.pod.name":"cart-{n}"}}"#)
            .into_bytes()
    }

    #[test]
    fn a_known_object_is_found_with_its_place() {
        let cache = MetadataCache::new(1 << 20);
        let json = object(1);
        let id = wire::meta_id(&json);
        assert!(cache.get(id).is_none());
        cache.insert(id, &json, &routers());
        let meta = cache.get(id).expect("just inserted");
        assert_eq!(meta.namespace, "shop");
        assert_eq!(
            meta.places,
            [Place::Fixed(
                "logs-kubernetes.container_logs-default".into()
            )]
        );
    }

    #[test]
    fn what_was_passed_over_is_no_field() {
        let read = |json: &str| StreamMeta::new(json.as_bytes(), &routers()).unwrap();
        let meta = read(r#"{"kubernetes.namespace":"shop","tailrace.passed_over":"abc:1-2"}"#);
        let expected = PassedOver {
            stream: 0xabc,
            bytes: 1..2,
        };
        assert_eq!(meta.passed_over, Some(expected));
        assert_eq!(meta.namespace, "shop");
        assert_eq!(meta.context.get(PassedOver::KEY), None);
        assert_eq!(meta.placed(&routers()).passed_over, meta.passed_over);
        for json in [
            r#"{"tailrace.passed_over":"abc"}"#,
            r#"{"tailrace.passed_over":7}"#,
            r#"{"log.file.path":"/tailrace.passed_over"}"#,
        ] {
            assert_eq!(read(json).passed_over, None, "{json}");
        }
    }

    #[test]
    fn an_object_under_a_wrong_hash_is_not_taken() {
        let cache = MetadataCache::new(1 << 20);
        cache.insert(7, &object(1), &routers());
        assert!(cache.get(7).is_none());
    }

    /// What is in use stays, what is not goes, and the size is bounded.
    #[test]
    fn the_cache_is_bounded() {
        let cache = MetadataCache::new(64 << 10);
        let kept = object(0);
        let kept_id = wire::meta_id(&kept);
        cache.insert(kept_id, &kept, &routers());
        for n in 1..1000 {
            let json = object(n);
            cache.insert(wire::meta_id(&json), &json, &routers());
            assert!(cache.get(kept_id).is_some());
        }
        let generations = cache.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() < 200);
    }
}
