//! What the holder of the Lease does: watch, hand on, move the position; list where it has to.
//!
//! One batch is under way at a time. While it waits, nobody reads from the watch: the pressure goes
//! back to the server, which ends a watch that is too slow; then it is begun again from the position.

use std::{future::Future, time::Duration};

use futures_util::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{error, info, warn};

use super::{
    EventBatch, EventDocument, EventObject, EventSink, EventSource, Pauses, Position, SinkError,
    doubt::Doubt, position::Progress, stopped,
};
use crate::{client::chain, lease::Tenure};

/// Most states of one batch, and Events of one answer to a list.
const MAX_STATES: usize = 250;
/// Bytes above which a batch is full.
const MAX_BYTES: usize = 1 << 20;
/// How long a state waits for others to be made durable with it. Servers send each one by itself, and a
/// batch of one costs as much as a full one.
const LINGER: Duration = Duration::from_millis(20);
/// After so long the server ends a watch, which is then begun again.
const WATCH: Duration = Duration::from_secs(290);
/// How long the server may take for the head of an answer, or for a page.
const ANSWER: Duration = Duration::from_secs(30);

/// Why reading does not go on.
#[derive(Debug)]
enum End {
    /// It is to stop.
    Stopped,
    /// The Lease is not held for certain any more.
    Over,
    /// The server has forgotten what comes after this version (410).
    Forgotten,
    /// Something fails.
    Failed(String),
}

impl From<kube::Error> for End {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 410 => Self::Forgotten,
            _ => Self::Failed(chain(&error)),
        }
    }
}

/// States read and not handed on yet.
#[derive(Debug, Default)]
struct Batch {
    documents: Vec<EventDocument>,
    bytes: usize,
    /// Everything up to this version is among them, or was before.
    version: Option<u64>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.documents.len() >= MAX_STATES || self.bytes >= MAX_BYTES
    }
}

/// The holder at work.
pub(super) struct Reader<'a, S> {
    source: &'a EventSource<S>,
    api: Api<EventObject>,
    tenure: &'a Tenure,
    progress: &'a Progress,
    lease_uid: &'a str,
    stop: watch::Receiver<bool>,
    /// `None` until the server has told its version.
    doubt: Option<Doubt>,
    /// A watch was begun since the last failure.
    is_watching: bool,
    /// The position behind which a gap was told last: a list that fails is begun again behind it.
    gap_behind: Option<u64>,
}

impl<'a, S: EventSink> Reader<'a, S> {
    pub(super) fn new(
        source: &'a EventSource<S>,
        tenure: &'a Tenure,
        progress: &'a Progress,
        lease_uid: &'a str,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            source,
            api: Api::all(source.client.clone()),
            tenure,
            progress,
            lease_uid,
            stop,
            doubt: None,
            is_watching: false,
            gap_behind: None,
        }
    }

    /// Reads until it is to stop, or the Lease is over; what is at hand when it is to stop is made
    /// durable, if that works at once.
    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::default();
        loop {
            let end = self.round().await;
            if std::mem::take(&mut self.is_watching) {
                pauses.reset();
            }
            match end {
                Ok(()) | Err(End::Forgotten) => {}
                Err(End::Stopped | End::Over) => return,
                Err(End::Failed(problem)) => {
                    self.source.metrics.error("read");
                    self.source.state.fail("read", &problem);
                }
            }
            // A watch that ended as it should is begun again soon, but not in a circle.
            if self.rest(pauses.next()).await.is_err() {
                return;
            }
        }
    }

    /// From the position to the end of one watch.
    async fn round(&mut self) -> Result<(), End> {
        let page = ListParams::default().limit(1);
        let first = self.ask(self.api.list(&page)).await?;
        let now = version_of(first.metadata.resource_version.as_deref())?;
        let position = self.progress.position();
        let doubt = self.doubt.get_or_insert(match position {
            Some(position) => Doubt::Since {
                until: now,
                since_ms: position.doubt_since_ms(),
            },
            None => Doubt::Always { until: now },
        });
        let from = match position {
            Some(position) if position.version <= now => position.version,
            Some(position) => {
                warn!(
                    position = position.version,
                    version = now,
                    "the API server's store is older than what was read of it: it was restored. \
                     Kubernetes Events are read from the beginning"
                );
                *doubt = Doubt::Always { until: now };
                self.progress.set(None);
                self.list(0).await?
            }
            None if self.source.events.from_beginning => self.list(0).await?,
            None => {
                self.move_to(now);
                now
            }
        };
        match self.watch(from).await {
            Err(End::Forgotten) => {
                self.tell_gap();
                self.list(self.position_version()).await.map(drop)
            }
            other => other,
        }
    }

    /// Hands on all states above a version that the server has. Returns the version of the list.
    async fn list(&mut self, above: u64) -> Result<u64, End> {
        let mut params = ListParams::default().limit(MAX_STATES as u32);
        let mut version = None;
        let mut is_begun = false;
        loop {
            let page = match self.ask(self.api.list(&params)).await {
                Ok(page) => page,
                Err(end) => {
                    // What was handed on of it comes once more with the next list.
                    if let (Some(until), true) = (version, is_begun) {
                        self.doubt = Some(Doubt::Always { until });
                    }
                    return Err(end);
                }
            };
            // Pages are of one version; later ones may not say so.
            let at = match version {
                Some(at) => at,
                None => version_of(page.metadata.resource_version.as_deref())?,
            };
            version = Some(at);
            let mut batch = Batch::default();
            for event in page.items {
                if event.version().is_none_or(|it| it > above) {
                    self.take(&event, &mut batch);
                }
            }
            batch.documents.sort_by_key(|it| it.version);
            is_begun |= !batch.documents.is_empty();
            self.hand_on(batch).await?;
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => {
                    self.source.metrics.lists.inc();
                    self.move_to(at);
                    return Ok(at);
                }
            }
        }
    }

    /// Hands on what a watch tells, until the server ends it.
    async fn watch(&mut self, from: u64) -> Result<(), End> {
        let params = WatchParams::default().timeout(WATCH.as_secs() as u32);
        let from = from.to_string();
        let watched = self.api.watch(&params, &from);
        let mut events = std::pin::pin!(self.ask(watched).await?);
        self.source.state.recover();
        self.is_watching = true;
        loop {
            let mut stop = self.stop.clone();
            let next = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::Stopped),
                next = timeout(self.source.events.quiet, events.next()) => next,
            };
            let Ok(mut next) = next else {
                if self.settle().await? {
                    continue;
                }
                info!("a watch of Kubernetes Events has fallen silent: it is begun again");
                return Ok(());
            };
            let mut batch = Batch::default();
            let mut end = None;
            let linger_until = Instant::now() + LINGER;
            while end.is_none() {
                match next.take() {
                    Some(Ok(event)) => end = self.take_told(event, &mut batch).err().map(Err),
                    Some(Err(error)) => end = Some(Err(error.into())),
                    None => end = Some(Ok(())),
                }
                if batch.is_full() || end.is_some() {
                    break;
                }
                match timeout_at(linger_until, events.next()).await {
                    Ok(more) => next = more,
                    Err(_) => break,
                }
            }
            self.hand_on(batch).await?;
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Looks whether a quiet watch has missed something; false when it has. Where it has not, the
    /// position goes on, so that the server still knows it when the watch is begun again: not all
    /// servers tell by themselves (bookmarks) how far a watch is.
    async fn settle(&mut self) -> Result<bool, End> {
        let above = self.position_version();
        let mut params = ListParams::default().limit(MAX_STATES as u32);
        let mut version = None;
        loop {
            let page = self.ask(self.api.list(&params)).await?;
            let at = match version {
                Some(at) => at,
                None => version_of(page.metadata.resource_version.as_deref())?,
            };
            version = Some(at);
            if page.items.iter().any(|it| it.version() > Some(above)) {
                return Ok(false);
            }
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => {
                    self.move_to(at);
                    return Ok(true);
                }
            }
        }
    }

    fn take_told(&self, told: WatchEvent<EventObject>, batch: &mut Batch) -> Result<(), End> {
        match told {
            WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                self.take(&event, batch);
                batch.version = event.version().or(batch.version);
            }
            // It expired.
            WatchEvent::Deleted(event) => batch.version = event.version().or(batch.version),
            WatchEvent::Bookmark(mark) => {
                batch.version = mark
                    .metadata
                    .resource_version
                    .parse()
                    .ok()
                    .or(batch.version);
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
        Ok(())
    }

    fn take(&self, event: &EventObject, batch: &mut Batch) {
        if !self.source.events.choice.takes(event) {
            self.source.metrics.excluded.inc();
            return;
        }
        match EventDocument::of(event, Timestamp::now()) {
            Some(document) => {
                batch.bytes += document.bytes();
                batch.documents.push(document);
            }
            None => {
                self.source.metrics.lost.inc();
                let version = event.metadata.resource_version.as_deref();
                error!(
                    version,
                    "an Event has no version that is a number, or no uid"
                );
            }
        }
    }

    /// Makes a batch durable, then moves the position.
    async fn hand_on(&mut self, batch: Batch) -> Result<(), End> {
        let metrics = &self.source.metrics;
        if !batch.documents.is_empty() {
            metrics.read.inc_by(batch.documents.len() as u64);
            let result = self.keep(&batch.documents).await;
            metrics.lag.set(0.0);
            result?;
            self.source.state.recover();
        }
        if let Some(version) = batch.version.filter(|it| *it > self.position_version()) {
            self.move_to(version);
        }
        Ok(())
    }

    async fn keep(&self, documents: &[EventDocument]) -> Result<(), End> {
        let (metrics, state) = (&self.source.metrics, &self.source.state);
        let began = Instant::now();
        let mut doubt_since_ms = self.doubt.and_then(|doubt| doubt.of(documents));
        let mut pauses = Pauses::default();
        let mut parts = vec![(documents, false)];
        while let Some((documents, suspect)) = parts.pop() {
            if !self.tenure.is_valid() {
                // Whoever renews it may not have noticed yet, or be about to get it renewed.
                return Err(End::Over);
            }
            let tried_ms = wall_ms();
            let batch = EventBatch {
                documents,
                lease_uid: self.lease_uid,
                doubt_since_ms,
                suspect,
            };
            let is_one = documents.len() == 1;
            let problem = match self.source.sink.keep(batch).await {
                Ok(()) => {
                    metrics.indexed.inc_by(documents.len() as u64);
                    continue;
                }
                Err(SinkError::Refused(problem)) => problem,
                Err(SinkError::Unknown(problem)) => {
                    doubt_since_ms.get_or_insert(tried_ms);
                    problem
                }
                Err(SinkError::TooLarge(_) | SinkError::Poison(_)) if !is_one => {
                    let (first, rest) = documents.split_at(documents.len() / 2);
                    parts.extend([(rest, suspect), (first, suspect)]);
                    continue;
                }
                Err(SinkError::Poison(_)) if !suspect => {
                    parts.push((documents, true));
                    continue;
                }
                Err(SinkError::TooLarge(problem) | SinkError::Poison(problem)) => {
                    metrics.lost.inc();
                    let version = documents.first().map(|it| it.version);
                    error!(version, problem, "an Event cannot be kept");
                    continue;
                }
            };
            metrics.error("write");
            metrics.lag.set(began.elapsed().as_secs_f64());
            state.fail("write", &problem);
            parts.push((documents, suspect));
            self.rest(pauses.next()).await?;
        }
        Ok(())
    }

    fn tell_gap(&mut self) {
        let Some(position) = self.progress.position() else {
            return;
        };
        if self.gap_behind.replace(position.version) == Some(position.version) {
            return;
        }
        let span = Duration::from_millis(wall_ms().saturating_sub(position.since_ms));
        self.source.metrics.gap(span);
        warn!(
            position = position.version,
            seconds = span.as_secs(),
            "the API server has forgotten what came after the position. All Kubernetes Events that \
             it still has are taken; of this time, states between are missing, and Events that \
             expired"
        );
    }

    fn position_version(&self) -> u64 {
        self.progress.position().map_or(0, |it| it.version)
    }

    /// Everything up to a version is durable.
    fn move_to(&self, version: u64) {
        self.progress.set(Some(Position {
            version,
            since_ms: wall_ms(),
        }));
        self.source
            .state
            .change(|view| view.position = Some(version));
    }

    /// A pause, which ends early when it is to stop.
    async fn rest(&self, pause: Duration) -> Result<(), End> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(End::Stopped),
            () = sleep(pause) => Ok(()),
        }
    }

    /// An answer of the server, within a time.
    async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, End> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(End::Stopped),
            answer = timeout(ANSWER, request) => match answer {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(End::Failed("the API server does not answer".to_owned())),
            },
        }
    }
}

fn version_of(text: Option<&str>) -> Result<u64, End> {
    let version = text.and_then(|text| text.parse().ok());
    version.ok_or_else(|| {
        End::Failed(format!(
            "cannot order versions of the API server: `{}` is no number",
            text.unwrap_or_default()
        ))
    })
}

fn wall_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_no_numbers_are_told() {
        assert!(matches!(version_of(Some("12")), Ok(12)));
        for text in [None, Some(""), Some("a1")] {
            assert!(matches!(version_of(text), Err(End::Failed(_))), "{text:?}");
        }
    }
}
