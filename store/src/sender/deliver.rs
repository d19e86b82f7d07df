//! Delivers one entry, document by document where it must: what fails is judged, mended, filed,
//! parked, split or tried again, until nothing of the entry is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Shared;
use super::doubt;
use crate::backoff::Backoff;
use crate::items::{append_item, compress, open};
use crate::judge::{ItemError, Verdict, judge_answer};
use crate::mend::{dead_letters, mend};
use crate::metrics::Fate;
use crate::{
    Body, BodyMeta, DEAD_LETTER_STREAM, Encoding, Flavour, Lane, Outcome, PutError, Queue, Queued,
    RequestError, Run, Target, wall_ms,
};

/// Lost connections in a row on one request, while others pass, before it is halved: a server
/// closes the connection without a word when it cannot decode a body.
const MAX_LOST: u32 = 3;

/// 429 in a row on one request, while others pass, before it is halved: it may be larger than the
/// server's limit of memory.
const MAX_BUSY: u32 = 3;

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

    fn finish(mut self, outcome: Outcome) {
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

/// What one request came to.
enum Posted {
    Judged(Vec<Verdict>),
    /// Too large, or refused as a whole for what is in it: halve it.
    Split(ItemError),
    /// 429: nothing was done.
    Busy(Option<Duration>),
    /// Nobody knows what was done.
    Unknown {
        why: String,
        is_lost: bool,
        wish: Option<Duration>,
    },
    /// Nothing was sent.
    Unreachable(String),
    /// Nothing goes through at all (no rights, wrong path).
    Refused(String),
}

async fn post(
    shared: &Shared,
    bytes: Bytes,
    encoding: Encoding,
    raw_len: u64,
    n_docs: usize,
) -> Posted {
    if let Err(error) = shared.look_again().await {
        shared.failed(&error.to_string());
        return Posted::Unreachable(error.to_string());
    }
    let started = Instant::now();
    let wire_len = bytes.len() as u64;
    faults::point("store.post.before");
    let result = shared.client.bulk(bytes, encoding).await;
    // The store has it, and nobody here knows it yet.
    faults::point("store.post.after");
    let metrics = &shared.metrics;
    metrics
        .request_ms
        .inc_by(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            metrics.count_request(match error {
                RequestError::Unreachable { .. } => "unreachable",
                RequestError::Lost { .. } => "lost",
                RequestError::Timeout { .. } => "timeout",
            });
            shared.failed(&error.to_string());
            shared.got_no_answer(!error.is_outcome_unknown());
            if !error.is_outcome_unknown() {
                return Posted::Unreachable(error.to_string());
            }
            shared.limit.overloaded();
            let is_lost = matches!(error, RequestError::Lost { .. });
            return Posted::Unknown {
                why: error.to_string(),
                is_lost,
                wish: None,
            };
        }
    };
    metrics.raw_bytes.inc_by(raw_len);
    metrics.wire_bytes.inc_by(wire_len);
    metrics.count_request(&answer.status.to_string());
    let said = || crate::elasticsearch::status_error(&answer).to_string();
    let unknown = |why: String| Posted::Unknown {
        why,
        is_lost: false,
        wish: answer.retry_after,
    };
    match answer.status {
        200..=299 => {
            // Whoever names itself lists its items.
            let lists_items = shared
                .client
                .server()
                .is_none_or(|s| s.flavour != Flavour::Other);
            match judge_answer(&answer.body, n_docs, lists_items) {
                Ok(verdicts) => {
                    if verdicts.iter().any(|v| matches!(v, Verdict::Retry(_))) {
                        shared.limit.overloaded();
                    } else {
                        shared.limit.succeeded();
                    }
                    shared.succeeded();
                    Posted::Judged(verdicts)
                }
                Err(error) => {
                    shared.failed(&error.to_string());
                    unknown(error.to_string())
                }
            }
        }
        429 => {
            shared.limit.overloaded();
            shared.failed(&said());
            Posted::Busy(answer.retry_after)
        }
        413 | 400 => Posted::Split(ItemError {
            status: answer.status,
            kind: if answer.status == 413 {
                "too_large"
            } else {
                "bad_request"
            }
            .to_owned(),
            reason: said(),
        }),
        408 | 425 | 500.. => {
            shared.limit.overloaded();
            shared.failed(&said());
            unknown(said())
        }
        _ => {
            shared.failed(&said());
            Posted::Refused(said())
        }
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
struct Entry<'a> {
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
    fn new(shared: &'a Shared, queue: &'a Arc<dyn Queue>, meta: &BodyMeta) -> Self {
        Self {
            shared,
            queue,
            parked: BTreeMap::new(),
            meta: meta.clone(),
        }
    }

    /// The documents of an entry's body; where it cannot be opened, the letters that keep it.
    fn open(&self, part: &Queued, doubt: Option<u64>) -> Result<Vec<Pending>, Vec<Pending>> {
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
    async fn deliver(&mut self, documents: Vec<Pending>, first: Option<Vec<Verdict>>) {
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
    fn park_unasked(&mut self, document: Pending, error: ItemError) {
        let refused = self.parked.entry(document.index.clone()).or_default();
        refused.error = error;
        refused.documents.push(document);
    }

    /// Parks what the store refuses, and ends the entry.
    async fn end(self, taken: Taken, may_park: bool) -> End {
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
