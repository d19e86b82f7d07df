//! An aggregator of the model: the product's workers and buffer; only sockets and the sender are
//! missing.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use aggregator::{
    metrics::PipelineMetrics,
    pipeline::{
        BodyEncoding, Fragment, MetadataCache, Naming, OutputView, Plan, Pool, RestoredPlans,
        Router, SettingsKey, Shared, Template,
    },
};
use arc_swap::ArcSwap;
use buffer::{Buffer, EntryId};
use bytes::Bytes;
use store::{BodyMeta, Encoding, Lane};
use tokio::runtime::Runtime;
use wire::{Answer, Positions, Status};

/// Where an aggregator may die while it has a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The documents are nowhere.
    BeforeAppend,
    /// They are durable, and nobody knows.
    BeforeAnswer,
}

/// A body that is handed out.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) id: EntryId,
    /// The oldest try with unknown outcome: the agent's or this buffer's own.
    pub(crate) doubt_since_ms: Option<u64>,
    pub(crate) raw: Bytes,
}

pub(crate) struct Aggregator {
    dir: PathBuf,
    pool: Pool,
    buffer: Buffer,
    runtime: Arc<Runtime>,
    shared: Arc<Shared>,
    version: usize,
}

/// Versions of the settings: each cuts events otherwise, and puts them elsewhere. The first one is
/// as the writer of the events means them.
pub(crate) const N_VERSIONS: usize = 3;

fn key() -> SettingsKey {
    SettingsKey::new(std::iter::empty())
}

fn plan(version: usize) -> Plan {
    let naming = Naming::DataStream {
        dataset: None,
        namespace: Template::parse(&format!("model{version}")),
    };
    let continues = match version {
        0 => "",
        1 => "name: even\nsteps:\n  - multiline: {continue: '^line \\d*[02468] '}\n",
        _ => "name: odd\nsteps:\n  - multiline: {continue: '^line \\d*[13579] |level='}\n",
    };
    let texts = [(Path::new("rules.yaml"), continues)];
    let rules = parsers::RuleSet::from_texts(&texts).unwrap();
    Plan::new(
        Arc::new(rules),
        framing::Options::default(),
        [(String::new(), Arc::new(Router::new(naming, 10)))].into(),
        &key(),
    )
}

impl Aggregator {
    /// Starts one that goes by a version of the settings.
    pub(crate) fn start(dir: &Path, runtime: &Arc<Runtime>, version: usize) -> Self {
        let nobody = Arc::new(HashSet::new());
        let output = OutputView {
            name: String::new(),
            refused: Arc::new(move || Arc::clone(&nobody)),
            encoding: Arc::new(|| Encoding::Identity),
            optional: false,
        };
        let shared = Arc::new(Shared {
            plan: ArcSwap::from_pointee(plan(version)),
            restored: RestoredPlans::new(key()),
            rule_book: Arc::default(),
            metadata: MetadataCache::new(1 << 20),
            outputs: vec![output],
            max_batch_bytes: 16 << 20,
            metrics: Arc::new(PipelineMetrics::default()),
        });
        // So small that segments come and go.
        let options = buffer::Options {
            max_bytes: 64 << 20,
            segment_bytes: 16 << 10,
            reserve_bytes: 1 << 20,
            ..buffer::Options::default()
        };
        let (buffer, recovery) = Buffer::open(dir, options, buffer::disk()).unwrap();
        assert_eq!(recovery.damaged_entries(), 0, "{recovery:?}");
        Self {
            dir: dir.to_owned(),
            pool: Pool::start(&shared, 1).unwrap(),
            buffer,
            runtime: Arc::clone(runtime),
            shared,
            version,
        }
    }

    /// Ends it and starts it again: what it knew is what its directory holds.
    pub(crate) fn restart(self) -> Self {
        let (dir, runtime, version) = (self.dir.clone(), Arc::clone(&self.runtime), self.version);
        // The lock goes with it.
        drop(self);
        Self::start(&dir, &runtime, version)
    }

    /// Goes by another version of the settings from now on.
    pub(crate) fn reload(&mut self, version: usize) {
        self.version = version;
        self.shared.plan.store(Arc::new(plan(version)));
        self.shared.restored.reloaded(key());
    }

    /// Takes a batch; the body of the answer, `None` when it dies there. `made` is shown the
    /// documents.
    pub(crate) fn take(
        &self,
        body: Bytes,
        now_ms: u64,
        death: Option<Death>,
        made: impl FnOnce(&[u8]),
    ) -> Option<Bytes> {
        let anybody = Arc::new(|_: &str| true);
        let batch = self.pool.batch(body, BodyEncoding::Zstd, anybody, now_ms);
        let mut processed = self.runtime.block_on(batch).unwrap().unwrap();
        if death == Some(Death::BeforeAppend) {
            return None;
        }
        let fragment = processed.fragments.pop().unwrap();
        let documents = fragment.documents().unwrap();
        made(&documents);
        if !fragment.is_empty() && !self.append(fragment, documents, now_ms) {
            for ack in processed
                .acks
                .iter_mut()
                .filter(|it| it.status == Status::Ok)
            {
                ack.status = Status::Busy;
                ack.durable = Positions::at(ack.start);
            }
        }
        if death == Some(Death::BeforeAnswer) {
            return None;
        }
        let mut answer = Vec::new();
        wire::encode_answer(
            &Answer {
                chunks: processed.acks,
                settings: processed.settings,
            },
            &mut answer,
        );
        Some(answer.into())
    }

    fn append(&self, fragment: Fragment, documents: Vec<u8>, now_ms: u64) -> bool {
        let meta = BodyMeta {
            encoding: Encoding::Identity,
            raw_len: documents.len() as u64,
            created_ms: now_ms,
            targets: fragment.targets,
            runs: fragment.runs,
            doubt_since_ms: fragment.doubt_since_ms,
            lane: Lane::Fresh,
        };
        let head = meta.encode();
        let bytes = (head.len() + documents.len()) as u64;
        let Ok(room) = self.buffer.reserve(bytes) else {
            return false;
        };
        let ticket = self.buffer.append(room, head, vec![documents.into()]);
        self.runtime.block_on(ticket).is_ok()
    }

    /// The next body that waits, marked as posted.
    pub(crate) fn next(&self, now_ms: u64) -> Option<Out> {
        let entry = self.buffer.try_next()?;
        let meta = BodyMeta::decode(&entry.head).unwrap();
        let raw = self.buffer.read(entry.id).unwrap();
        self.buffer.mark_posted(entry.id, now_ms);
        Some(Out {
            id: entry.id,
            doubt_since_ms: meta.doubt_since_ms.into_iter().chain(entry.posted_ms).min(),
            raw,
        })
    }

    /// The store has it.
    pub(crate) fn done(&self, out: &Out) {
        self.buffer.done(out.id);
    }

    /// Its outcome is unknown: it comes again.
    pub(crate) fn give_back(&self, out: &Out) {
        self.buffer.give_back(out.id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.stats().entries == 0
    }
}

/// One runtime for all: nothing runs on it but what is waited for.
pub(crate) fn runtime() -> Arc<Runtime> {
    static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
    let mut runtime = RUNTIME.lock().unwrap();
    let make = || {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        Arc::new(builder.build().unwrap())
    };
    Arc::clone(runtime.get_or_insert_with(make))
}
