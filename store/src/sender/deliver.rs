//! Delivers entries of the queue: the usual case in one request that never opens a body, else
//! each document on its own ([`super::entry`]).

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::entry::Entry;
use super::post::{MAX_BUSY, Posted, post};
use crate::judge::Verdict;
use crate::metrics::Fate;
use crate::{BodyMeta, Encoding, Outcome, Queue, Queued, Run, wall_ms};

/// An entry that is taken from its queue; given back unless finished.
pub(crate) struct Taken {
    queue: Arc<dyn Queue>,
    id: u64,
    is_finished: bool,
}

impl Taken {
    pub(crate) fn new(queue: &Arc<dyn Queue>, id: u64) -> Self {
        Self {
            queue: Arc::clone(queue),
            id,
            is_finished: false,
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.is_finished = true;
        faults::point("store.done.before");
        self.queue.done(self.id, outcome);
        faults::point("store.done.after");
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_finished {
            self.queue.give_back(self.id);
        }
    }
}

/// How the delivery of an entry ended.
#[derive(Debug)]
pub(crate) enum End {
    Done,
    /// Documents are refused and could not be parked: the entry stays, and is given back when
    /// this is dropped.
    Held(Taken),
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Taken").field(&self.id).finish()
    }
}

/// Delivers entries that were joined into one request; each ends on its own.
pub(crate) async fn deliver(
    shared: &Shared,
    queue: &Arc<dyn Queue>,
    parts: Vec<Queued>,
    may_park: bool,
) -> Vec<End> {
    let mut ends = Vec::with_capacity(parts.len());
    let (mut entries, mut apart) = (Vec::new(), Vec::new());
    for part in parts {
        let taken = Taken::new(queue, part.id);
        if may_park && is_mostly_refused(shared, queue, &part.meta) {
            apart.push((taken, part));
        } else {
            entries.push((taken, part));
        }
    }
    for (taken, part) in apart {
        ends.push(deliver_unrefused(shared, queue, taken, part).await);
    }
    if entries.is_empty() {
        return ends;
    }
    let in_doubt = entries.iter().any(|(_, p)| doubt_of(p).is_some());
    let encoding = entries
        .first()
        .map_or(Encoding::Identity, |(_, p)| p.meta.encoding);
    let is_readable = shared.client.takes(encoding);
    let mut verdicts = None;
    let mut doubt = None;
    let mut backoff = shared.backoff();
    // Once: an earlier mark of the entry is the older doubt.
    let marked = wall_ms();
    for (_, part) in entries.iter().filter(|(_, p)| p.posted_ms.is_none()) {
        queue.posted(part.id, marked);
    }
    // The usual case never opens a body.
    loop {
        if in_doubt || !is_readable {
            break;
        }
        let now = wall_ms();
        let raw_len = entries.iter().map(|(_, p)| p.meta.raw_len).sum();
        let n_docs: u64 = entries.iter().map(|(_, p)| p.meta.docs()).sum();
        let bytes = join(&entries);
        match post(
            shared,
            bytes,
            encoding,
            raw_len,
            usize::try_from(n_docs).unwrap_or(usize::MAX),
        )
        .await
        {
            Posted::Judged(judged) => verdicts = Some(judged),
            Posted::Unknown { why, wish, .. } => {
                shared.warn_limited("outcome unknown", &why);
                shared.metrics.count_retried("unknown", n_docs);
                doubt = Some(now);
                shared.pause(&mut backoff, wish).await;
            }
            Posted::Unreachable(why) => {
                shared.warn_limited("unreachable", &why);
                shared.pause(&mut backoff, None).await;
                continue;
            }
            Posted::Busy(wish) if backoff.tries() < MAX_BUSY => {
                shared.metrics.count_retried("busy", n_docs);
                shared.pause(&mut backoff, wish).await;
                continue;
            }
            Posted::Split(_) | Posted::Busy(_) => {}
            Posted::Refused(why) => {
                shared.refuses_everything(&why);
                shared.pause(&mut backoff, None).await;
                continue;
            }
        }
        break;
    }
    let mut verdicts = verdicts.map(Vec::into_iter);
    for (taken, part) in entries.drain(..) {
        let n_docs = usize::try_from(part.meta.docs()).unwrap_or(usize::MAX);
        let mine: Option<Vec<Verdict>> =
            verdicts.as_mut().map(|v| v.by_ref().take(n_docs).collect());
        if let Some(mine) = &mine
            && mine
                .iter()
                .all(|v| matches!(v, Verdict::Indexed | Verdict::Duplicate))
        {
            count_all(shared, &part.meta, mine);
            shared.takes(part.meta.targets.iter().map(|target| target.index.as_str()));
            taken.finish(Outcome::default());
            ends.push(End::Done);
            continue;
        }
        let doubt = doubt_of(&part).into_iter().chain(doubt).min();
        let mut entry = Entry::new(shared, queue, &part.meta);
        match entry.open(&part, doubt) {
            Ok(documents) => entry.deliver(documents, mine).await,
            Err(letters) => entry.deliver(letters, None).await,
        }
        ends.push(entry.end(taken, may_park).await);
    }
    ends
}

/// Whether most of an entry's documents are for data streams that the store has just refused.
/// While they are fewer, the refusal costs less than taking the body apart.
fn is_mostly_refused(shared: &Shared, queue: &Arc<dyn Queue>, meta: &BodyMeta) -> bool {
    let is_refused = |run: &&Run| {
        let target = meta.targets.get(usize::from(run.target));
        target.is_some_and(|it| {
            shared.fresh_refusal(&it.index).is_some() && queue.parked(&it.index).is_some()
        })
    };
    let refused = meta.runs.iter().filter(is_refused);
    let n_refused: u64 = refused.map(|run| u64::from(run.docs)).sum();
    2 * n_refused > meta.docs()
}

/// Parks what the store has just refused without asking it again, and delivers the rest.
async fn deliver_unrefused(
    shared: &Shared,
    queue: &Arc<dyn Queue>,
    taken: Taken,
    part: Queued,
) -> End {
    let mut entry = Entry::new(shared, queue, &part.meta);
    let mut rest = Vec::new();
    let documents = entry.open(&part, doubt_of(&part));
    for document in documents.unwrap_or_else(|letters| letters) {
        match shared.fresh_refusal(&document.index) {
            Some(error) => entry.park_unasked(document, error),
            None => rest.push(document),
        }
    }
    if !rest.is_empty() {
        if part.posted_ms.is_none() {
            queue.posted(part.id, wall_ms());
        }
        entry.deliver(rest, None).await;
    }
    entry.end(taken, true).await
}

fn doubt_of(part: &Queued) -> Option<u64> {
    part.meta
        .doubt_since_ms
        .into_iter()
        .chain(part.posted_ms)
        .min()
}

fn join(entries: &[(Taken, Queued)]) -> Bytes {
    match entries {
        [(_, only)] => only.bytes.clone(),
        _ => {
            let mut out = Vec::with_capacity(entries.iter().map(|(_, p)| p.bytes.len()).sum());
            for (_, part) in entries {
                out.extend_from_slice(&part.bytes);
            }
            out.into()
        }
    }
}

fn count_all(shared: &Shared, meta: &BodyMeta, verdicts: &[Verdict]) {
    let mut verdicts = verdicts.iter();
    for run in &meta.runs {
        let namespace = meta
            .targets
            .get(usize::from(run.target))
            .map_or("", |t| &t.namespace);
        let docs = u64::from(run.docs);
        let duplicates = verdicts
            .by_ref()
            .take(run.docs as usize)
            .filter(|v| matches!(v, Verdict::Duplicate));
        let duplicates = duplicates.count() as u64;
        shared.metrics.count(Fate::Duplicate, namespace, duplicates);
        shared
            .metrics
            .count(Fate::Indexed, namespace, docs - duplicates);
    }
}
