//! The agent of the model: the product's tailer, packing and judging; only sockets are missing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use agent::{
    Compression, Kubernetes, NodeMetadata,
    steps::{Answered, Compressor, ExchangeError, GroupVerdict, SentGroup, Verdict, judge, pack},
};
use bytes::Bytes;
use tail::{Clock, Failure, Options, Tailer};

/// Lost connections of a group in a row that the network makes: one more, and it would come
/// unparsed (DELIVERY rule 12), which is another document.
const MAX_LOST: u32 = 2;

/// Both clocks move only when told. The wall begins at the true time: files' times are compared
/// with it.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    begin: SystemTime,
    ms: AtomicU64,
}

impl VirtualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: SystemTime::now(),
            ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        let since = self.wall().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_millis() as u64
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        self.begin + self.now()
    }
}

/// A batch on its way, with what the agent needs to judge its answer.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) body: Bytes,
    pub(crate) groups: Vec<SentGroup>,
    sequences: Vec<u64>,
    /// The aggregator that it is sealed for.
    to: usize,
}

pub(crate) struct Agent {
    tailer: Tailer,
    metadata: NodeMetadata,
    compressor: Compressor,
    /// Settings of the aggregators, as they gave them last.
    settings: HashMap<usize, Arc<[u8]>>,
    /// Connections that a sequence's group has lost, over restarts as in the journal.
    n_lost: HashMap<u64, u32>,
    options: Options,
    clock: Arc<VirtualClock>,
}

impl Agent {
    pub(crate) fn start(options: Options, clock: &Arc<VirtualClock>) -> Self {
        let (tailer, warnings) =
            Tailer::open(options.clone(), Arc::clone(clock) as Arc<dyn Clock>).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        Self {
            tailer,
            metadata: NodeMetadata::new(
                "node",
                BTreeMap::new(),
                Kubernetes::default(),
                None,
                k8s::Metrics::default(),
            ),
            compressor: Compressor::new(Compression::Zstd(1)).unwrap(),
            settings: HashMap::new(),
            n_lost: HashMap::new(),
            options,
            clock: Arc::clone(clock),
        }
    }

    /// Ends it, as by kill -9 unless it is `told`, and starts it again.
    pub(crate) fn restart(self, is_told: bool) -> Self {
        let Self {
            tailer,
            options,
            clock,
            n_lost,
            ..
        } = self;
        if is_told {
            tailer.close().unwrap();
        } else {
            drop(tailer);
        }
        Self {
            n_lost,
            ..Self::start(options, &clock)
        }
    }

    pub(crate) fn poll(&mut self) {
        loop {
            self.tailer.poll();
            if self.tailer.next_wake() != Some(Duration::ZERO) {
                return;
            }
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.tailer.lag().bytes == 0 && self.tailer.unacknowledged() == 0
    }

    /// Files that are not read to their end.
    pub(crate) fn left(&self) -> Vec<tail::StreamStatus> {
        let mut all = self.tailer.streams();
        all.retain(|stream| stream.lag.bytes > 0);
        all
    }

    pub(crate) fn losses(&self) -> Vec<tail::Loss> {
        self.tailer.losses().cloned().collect()
    }

    /// Packs what is due for the aggregator `to`, at most `max_groups`. `knows` tells whether
    /// metadata and settings stay here.
    pub(crate) fn pack(&mut self, max_groups: usize, knows: bool, to: usize) -> Option<Sent> {
        self.poll();
        let settings = self.settings.get(&to).cloned();
        self.metadata.seal_with(&settings.unwrap_or_default());
        let mut raw = Vec::new();
        let mut groups = Vec::new();
        while groups.len() < max_groups {
            let group = self
                .tailer
                .next_group(1 << 20, &mut self.metadata, &mut raw);
            let Some(group) = group else { break };
            let is_alone = group.alone;
            groups.push(group);
            if is_alone {
                break;
            }
        }
        if groups.is_empty() {
            return None;
        }
        self.tailer.commit().unwrap();
        let packed = pack(&mut self.compressor, "node", &groups, &raw, |_| knows).unwrap();
        Some(Sent {
            body: packed.body,
            groups: packed.groups,
            sequences: groups.iter().map(|group| group.sequence).collect(),
            to,
        })
    }

    /// Takes in what came of a batch, as a session does. `is_late`: after it was given up, when the
    /// product must not heed it.
    pub(crate) fn take(
        &mut self,
        sent: &Sent,
        outcome: Result<Answered, ExchangeError>,
        is_late: bool,
    ) {
        let verdicts = match judge(outcome, &sent.groups) {
            Verdict::Groups { groups, settings } => {
                if let Some(settings) = settings.filter(|_| !is_late) {
                    self.settings.insert(sent.to, settings.into());
                }
                groups
            }
            Verdict::Failed { why, .. } => sent
                .groups
                .iter()
                .map(|_| GroupVerdict::Failed(why, ""))
                .collect(),
            Verdict::TooLarge => panic!("the model's chunks are small"),
        };
        let groups = sent.groups.iter().zip(&sent.sequences);
        for ((group, sequence), verdict) in groups.zip(verdicts) {
            match verdict {
                GroupVerdict::Acked(positions) => {
                    if !is_late {
                        self.n_lost.remove(sequence);
                    }
                    self.tailer.acked(group.id, &positions);
                }
                GroupVerdict::Failed(why, _) | GroupVerdict::NeedMetadata(why) => {
                    if why == Failure::ConnectionLost && !is_late {
                        *self.n_lost.entry(*sequence).or_default() += 1;
                    }
                    self.tailer.failed(group.id, why);
                }
                GroupVerdict::Reseal => self.tailer.failed(group.id, Failure::NotSent),
            }
        }
    }

    /// Whether the network may break this batch's connection.
    pub(crate) fn may_lose(&self, sent: &Sent) -> bool {
        let of = |sequence| self.n_lost.get(sequence).copied().unwrap_or(0);
        sent.sequences.iter().all(|it| of(it) < MAX_LOST)
    }
}
