//! The documents of one entry on their way to the store: what fails is judged, mended, filed,
//! parked, split or tried again, until nothing of the entry is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Shared;
use super::deliver::{End, Taken};
use super::doubt;
use super::post::{MAX_BUSY, MAX_LOST, Posted, post};
use crate::backoff::Backoff;
use crate::items::{append_item, compress, open};
use crate::judge::{ItemError, Verdict};
use crate::mend::{dead_letters, mend};
use crate::metrics::Fate;
use crate::{
    Body, BodyMeta, DEAD_LETTER_STREAM, Lane, Outcome, PutError, Queue, Queued, Run, Target,
    wall_ms,
};

/// A document on its way.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) index: String,
    pub(crate) id: String,
    pub(crate) source: Bytes,
    pub(crate) namespace: String,
    /// Since when a try of unknown outcome exists.
    pub(crate) doubt: Option<u64>,
    target: u16,
    stage: Stage,
    /// A 409 has been asked again already (delivery rule 21).
    is_confirmed: bool,
    /// The document before it was mended.
    original: Option<Bytes>,
    /// When it first failed for a passing reason.
    failing_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Original,
    Mended(u8),
    Letter,
}

/// Documents that go in one request.
struct Batch {
    documents: Vec<Pending>,
    backoff: Backoff,
    lost: u32,
    busy: u32,
    /// Requests that had passed, of all entries, when this one first failed.
    passed_before: u64,
}

/// The state of an entry's delivery.
pub(super) struct Entry<'a> {
    shared: &'a Shared,
    queue: &'a Arc<dyn Queue>,
    meta: BodyMeta,
    /// Documents that the store refuses, by data stream.
    parked: BTreeMap<String, Refused>,
}

/// Documents of one data stream that the store refuses.
#[derive(Default)]
struct Refused {
    documents: Vec<Pending>,
    /// The last reason.
    error: ItemError,
    /// The store has said so to one of these.
    is_asked: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn new(shared: &'a Shared, queue: &'a Arc<dyn Queue>, meta: &BodyMeta) -> Self {
        Self {
            shared,
            queue,
            parked: BTreeMap::new(),
            meta: meta.clone(),
        }
    }

    /// The documents of an entry's body; where it cannot be opened, the letters that keep it.
    pub(super) fn open(
        &self,
        part: &Queued,
        doubt: Option<u64>,
    ) -> Result<Vec<Pending>, Vec<Pending>> {
        match open(&part.meta, &part.bytes) {
            Ok(items) => Ok(items
                .into_iter()
                .map(|item| self.pending(item.index, item.id, item.source, item.target, doubt))
                .collect()),
            Err(error) => {
                // Never seen unless by a bug: kept whole, so that a person can save it.
                tracing::error!(%error, id = part.id, "cannot open a body; it goes to the dead letters");
                Err(self.unreadable_letter(part, &error.to_string()))
            }
        }
    }

    fn pending(
        &self,
        index: String,
        id: String,
        source: Bytes,
        target: u16,
        doubt: Option<u64>,
    ) -> Pending {
        let namespace = self
            .meta
            .targets
            .get(usize::from(target))
            .map(|t| t.namespace.clone());
        Pending {
            index,
            id,
            source,
            namespace: namespace.unwrap_or_default(),
            doubt,
            target,
            stage: if self.meta.lane == Lane::DeadLetter {
                Stage::Letter
            } else {
                Stage::Original
            },
            is_confirmed: false,
            original: None,
            failing_since: None,
        }
    }

    fn unreadable_letter(&self, part: &Queued, reason: &str) -> Vec<Pending> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&part.bytes);
        let error = ItemError {
            status: 0,
            kind: "unreadable_body".to_owned(),
            reason: reason.to_owned(),
        };
        let id = format!("{}-{}", part.meta.created_ms, part.id);
        let letters = dead_letters("unreadable", &id, text.as_bytes(), &error, wall_ms());
        letters
            .into_iter()
            .map(|(id, source)| {
                let mut letter =
                    self.pending(DEAD_LETTER_STREAM.to_owned(), id, source.into(), 0, None);
                letter.stage = Stage::Letter;
                letter
            })
            .collect()
    }

    fn batch(&self, documents: Vec<Pending>) -> Batch {
        let backoff = self.shared.backoff();
        Batch {
            documents,
            backoff,
            lost: 0,
            busy: 0,
            passed_before: self.shared.passed(),
        }
    }

    /// Pushes documents as requests of at most the option's size.
    fn push(&self, stack: &mut Vec<Batch>, documents: Vec<Pending>) {
        let max = self.shared.options.max_body_bytes;
        let mut batch = Vec::new();
        let mut size = 0;
        for document in documents {
            let len =
                (document.source.len() + document.index.len() + document.id.len() + 40) as u64;
            if size + len > max && !batch.is_empty() {
                stack.push(self.batch(std::mem::take(&mut batch)));
                size = 0;
            }
            size += len;
            batch.push(document);
        }
        if !batch.is_empty() {
            stack.push(self.batch(batch));
        }
    }

    /// Works until every document is stored, or in `parked`. `first`: verdicts of a try already made.
    pub(super) async fn deliver(&mut self, documents: Vec<Pending>, first: Option<Vec<Verdict>>) {
        let mut stack = Vec::new();
        match first {
            Some(verdicts) => {
                let batch = self.batch(documents);
                self.settle(batch, verdicts, None, &mut stack).await;
            }
            None => self.push(&mut stack, documents),
        }
        while let Some(batch) = stack.pop() {
            self.try_batch(batch, &mut stack).await;
        }
    }

    async fn try_batch(&mut self, mut batch: Batch, stack: &mut Vec<Batch>) {
        let shared = self.shared;
        let was_in_doubt = batch.documents.iter().any(|d| d.doubt.is_some());
        let mut checked = None;
        if was_in_doubt {
            let found = self.check(&mut batch.backoff, &batch.documents).await;
            batch.documents.retain(|d| {
                let is_stored =
                    d.doubt.is_some() && found.stored.contains(&(d.index.clone(), d.id.clone()));
                if is_stored {
                    count_stored(shared, d, Fate::Duplicate);
                }
                !is_stored
            });
            if batch.documents.is_empty() {
                return;
            }
            checked = Some(found);
        }
        let mut raw = Vec::new();
        for document in &batch.documents {
            append_item(&mut raw, &document.index, &document.id, &document.source);
        }
        let raw_len = raw.len() as u64;
        let (encoding, bytes) = compress(raw);
        let now = wall_ms();
        let n_docs = batch.documents.len() as u64;
        match post(shared, bytes, encoding, raw_len, batch.documents.len()).await {
            Posted::Judged(verdicts) => {
                // A rollover may have come between the check and the post.
                if was_in_doubt {
                    let found = self.check(&mut batch.backoff, &batch.documents).await;
                    checked
                        .get_or_insert_default()
                        .replicated
                        .extend(found.replicated);
                }
                self.settle(batch, verdicts, checked, stack).await;
            }
            Posted::Split(error) => self.halve(batch, &error, stack),
            Posted::Busy(wish) => {
                batch.busy += 1;
                shared.metrics.count_retried("busy", n_docs);
                shared.pause(&mut batch.backoff, wish).await;
                if batch.busy >= MAX_BUSY && batch.documents.len() > 1 {
                    let error = ItemError {
                        status: 429,
                        ..ItemError::default()
                    };
                    self.halve(batch, &error, stack);
                } else {
                    stack.push(batch);
                }
            }
            Posted::Unknown { why, is_lost, wish } => {
                shared.warn_limited("outcome unknown", &why);
                shared.metrics.count_retried("unknown", n_docs);
                for document in &mut batch.documents {
                    document.doubt.get_or_insert(now);
                    document.is_confirmed = false;
                }
                batch.lost = if is_lost { batch.lost + 1 } else { 0 };
                shared.pause(&mut batch.backoff, wish).await;
                let others_pass = shared.passed() > batch.passed_before
                    || (batch.lost >= MAX_LOST && shared.client.detect().await.is_ok());
                if batch.lost >= MAX_LOST && others_pass {
                    let error = ItemError {
                        status: 0,
                        kind: "connection_closed".to_owned(),
                        reason: why,
                    };
                    self.halve(batch, &error, stack);
                } else {
                    stack.push(batch);
                }
            }
            Posted::Unreachable(why) => {
                shared.warn_limited("unreachable", &why);
                shared.pause(&mut batch.backoff, None).await;
                stack.push(batch);
            }
            Posted::Refused(why) => {
                shared.refuses_everything(&why);
                shared.pause(&mut batch.backoff, None).await;
                stack.push(batch);
            }
        }
    }

    /// Asks until there is an answer.
    async fn check(&self, backoff: &mut Backoff, documents: &[Pending]) -> doubt::Checked {
        loop {
            match doubt::check(self.shared, documents).await {
                Ok(checked) => return checked,
                Err(error) => {
                    self.shared.warn_limited("doubt", &error.to_string());
                    self.shared.pause(backoff, None).await;
                }
            }
        }
    }

    /// Two requests of what was one; a single document goes to the dead letters.
    fn halve(&mut self, mut batch: Batch, error: &ItemError, stack: &mut Vec<Batch>) {
        if batch.documents.len() > 1 {
            self.shared
                .metrics
                .count_retried("split", batch.documents.len() as u64);
            let second = batch.documents.split_off(batch.documents.len() / 2);
            stack.push(self.batch(second));
            stack.push(self.batch(batch.documents));
            return;
        }
        for document in batch.documents {
            if document.stage == Stage::Letter {
                // A letter that cannot go waits with its data stream: it is not dropped.
                self.park(document, error.clone());
            } else {
                let letters = self.letters(document, error);
                self.push(stack, letters);
            }
        }
    }

    async fn settle(
        &mut self,
        batch: Batch,
        verdicts: Vec<Verdict>,
        checked: Option<doubt::Checked>,
        stack: &mut Vec<Batch>,
    ) {
        let shared = self.shared;
        let Batch {
            documents,
            mut backoff,
            ..
        } = batch;
        let (mut retry, mut next, mut confirm) = (Vec::new(), Vec::new(), Vec::new());
        for (mut document, verdict) in documents.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Indexed => {
                    shared.takes([document.index.as_str()]);
                    count_stored(shared, &document, Fate::Indexed);
                }
                Verdict::Duplicate => {
                    let is_replicated = checked
                        .as_ref()
                        .is_some_and(|c| c.replicated.contains(&document.index));
                    if document.doubt.is_some() && is_replicated && !document.is_confirmed {
                        document.is_confirmed = true;
                        confirm.push(document);
                    } else {
                        count_stored(shared, &document, Fate::Duplicate);
                    }
                }
                Verdict::Retry(error) => {
                    shared.metrics.count_retried(&error.kind, 1);
                    let since = *document.failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= shared.options.park_after {
                        self.park(document, *error);
                    } else {
                        retry.push(document);
                    }
                }
                Verdict::Bad(error) => next.extend(self.mended(document, *error)),
                Verdict::Park(error) => self.park(document, *error),
            }
        }
        self.push(stack, next);
        if !confirm.is_empty() {
            // The primary that answered may have been the only copy: ask again when it is settled.
            tokio::time::sleep(shared.options.confirm_after).await;
            self.push(stack, confirm);
        }
        if !retry.is_empty() {
            shared.pause(&mut backoff, None).await;
            let mut batch = self.batch(retry);
            batch.backoff = backoff;
            stack.push(batch);
        }
    }

    /// The next form of a document that the store refuses for what is in it.
    fn mended(&mut self, mut document: Pending, error: ItemError) -> Vec<Pending> {
        let round = match document.stage {
            Stage::Original => 1,
            Stage::Mended(round) => round + 1,
            Stage::Letter => {
                self.park(document, error);
                return Vec::new();
            }
        };
        let source = if round <= 2 {
            mend(&document.source, &error, round, wall_ms())
        } else {
            None
        };
        let Some(source) = source else {
            return self.letters(document, &error);
        };
        tracing::debug!(
            index = document.index,
            id = document.id,
            reason = error.reason,
            "mended"
        );
        let before = std::mem::replace(&mut document.source, source.into());
        document.original.get_or_insert(before);
        document.stage = Stage::Mended(round);
        vec![document]
    }

    fn letters(&self, document: Pending, error: &ItemError) -> Vec<Pending> {
        let source = document.original.as_ref().unwrap_or(&document.source);
        let letters = dead_letters(&document.index, &document.id, source, error, wall_ms());
        self.shared.warn_limited(
            "dead letter",
            &format!(
                "document {} of {}: {}",
                document.id, document.index, error.reason
            ),
        );
        self.shared
            .metrics
            .count(Fate::DeadLettered, &document.namespace, 1);
        letters
            .into_iter()
            .map(|(id, source)| Pending {
                index: DEAD_LETTER_STREAM.to_owned(),
                id,
                source: source.into(),
                stage: Stage::Letter,
                original: None,
                is_confirmed: false,
                failing_since: None,
                ..document.clone()
            })
            .collect()
    }

    fn park(&mut self, document: Pending, error: ItemError) {
        let refused = self.parked.entry(document.index.clone()).or_default();
        refused.error = error;
        refused.is_asked = true;
        refused.documents.push(document);
    }

    /// Parks a document for a refusal that is known already.
    pub(super) fn park_unasked(&mut self, document: Pending, error: ItemError) {
        let refused = self.parked.entry(document.index.clone()).or_default();
        refused.error = error;
        refused.documents.push(document);
    }

    /// Parks what the store refuses, and ends the entry.
    pub(super) async fn end(self, taken: Taken, may_park: bool) -> End {
        let mut refused = Vec::new();
        let mut is_held = false;
        let over_quota = self.shared.over_quota_now();
        let mut parked: Vec<(String, Refused)> = self.parked.into_iter().collect();
        // Most likely to have no room: then the entry comes again, and what is parked of it now
        // would be parked again.
        parked.sort_by_key(|(index, _)| !over_quota.contains(index));
        for (index, it) in parked {
            let documents = it.documents;
            if it.is_asked {
                self.shared.refusing(&index, &it.error);
            }
            if is_held || !may_park {
                is_held = true;
                continue;
            }
            let body = parked_body(&self.meta, &index, &documents);
            match self.queue.park(&index, body).await {
                Ok(()) => {
                    for document in &documents {
                        self.shared
                            .metrics
                            .count(Fate::Parked, &document.namespace, 1);
                    }
                    self.shared.new_parked.notify_one();
                }
                Err(PutError::NotKept) => {
                    for document in &documents {
                        self.shared
                            .metrics
                            .count(Fate::Refused, &document.namespace, 1);
                        refused.push(document.target);
                    }
                }
                Err(error) => {
                    self.shared.warn_limited(&index, &error.to_string());
                    self.shared.over_quota(&index);
                    is_held = true;
                }
            }
        }
        if !is_held {
            refused.sort_unstable();
            refused.dedup();
            taken.finish(Outcome { refused });
            End::Done
        } else {
            End::Held(taken)
        }
    }
}

fn count_stored(shared: &Shared, document: &Pending, fate: Fate) {
    match document.stage {
        // Counted when the letter was written.
        Stage::Letter => {}
        Stage::Mended(_) if fate == Fate::Indexed => {
            shared.metrics.count(Fate::Mended, &document.namespace, 1);
            shared.metrics.count(fate, &document.namespace, 1);
        }
        _ => shared.metrics.count(fate, &document.namespace, 1),
    }
}

fn parked_body(meta: &BodyMeta, index: &str, documents: &[Pending]) -> Body {
    let mut raw = Vec::new();
    let mut targets: Vec<Target> = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    for document in documents {
        append_item(&mut raw, index, &document.id, &document.source);
        let at = targets
            .iter()
            .position(|t| t.namespace == document.namespace);
        let at = at.unwrap_or_else(|| {
            targets.push(Target {
                index: index.to_owned(),
                namespace: document.namespace.clone(),
            });
            targets.len() - 1
        });
        let target = u16::try_from(at).expect("no more targets than the entry had");
        match runs.last_mut() {
            Some(run) if run.target == target => run.docs += 1,
            _ => runs.push(Run { target, docs: 1 }),
        }
    }
    let raw_len = raw.len() as u64;
    let (encoding, bytes) = compress(raw);
    let is_letter = documents.iter().all(|d| d.stage == Stage::Letter);
    Body {
        meta: BodyMeta {
            encoding,
            raw_len,
            created_ms: meta.created_ms,
            targets,
            runs,
            doubt_since_ms: documents.iter().filter_map(|d| d.doubt).min(),
            lane: if is_letter {
                Lane::DeadLetter
            } else {
                meta.lane
            },
        },
        bytes,
    }
}
