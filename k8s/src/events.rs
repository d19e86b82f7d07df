//! Kubernetes Events, each state of each once: whoever holds the Lease reads them.
//!
//! A *state* is an Event at one version: a repetition that is counted makes another one. The holder
//! watches from the position that the Lease tells, hands states to its [`EventSink`], and moves the
//! position when they are durable. So a state that a holder had tried, and whose outcome its
//! successor does not know, is tried again: then with a doubt, which the sink hands on.
//!
//! What the server has forgotten (410) is made good by a list, as far as the server still has the
//! Events: states between are lost, and counted as a gap.

mod document;
mod doubt;
mod figures;
mod object;
mod position;
mod reader;

pub use document::{DATASET, EventDocument};
pub use figures::{EventMetrics, EventState, EventView, StageLabel};
pub use object::{EventObject, ObjectReference, Series, Source};
pub use position::{ANNOTATION, Position};

use std::{future::Future, time::Duration};

use kube::Client;
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use crate::{
    client::{Access, ClientError, chain},
    lease::{Candidacy, Election, LeaseOptions, Lost, Tenure},
    pod::fits,
};
use position::Progress;
use reader::Reader;

/// What the source runs with.
#[derive(Debug, Clone)]
pub struct Events {
    /// The API server.
    pub access: Access,
    /// The Lease.
    pub lease: LeaseOptions,
    /// Which Events are taken.
    pub choice: EventChoice,
    /// Without a position: from what the server has now, or only what comes.
    pub from_beginning: bool,
    /// A watch that told nothing for so long is looked after; [`QUIET`].
    pub quiet: Duration,
}

/// A watch that told nothing for so long is looked after: whether it missed something, and else how
/// far it is. Servers forget versions after some five minutes.
pub const QUIET: Duration = Duration::from_secs(100);

/// Which Events are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventChoice {
    /// Namespaces: names, or beginnings of names that end with `*`.
    pub include: Vec<String>,
    /// Namespaces to leave out.
    pub exclude: Vec<String>,
    /// Types to leave out.
    pub exclude_types: Vec<String>,
}

impl EventChoice {
    /// Whether an Event is taken.
    pub fn takes(&self, event: &EventObject) -> bool {
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let kind = event.kind.as_deref().unwrap_or_default();
        fits(namespace, &self.include)
            && !fits(namespace, &self.exclude)
            && !self.exclude_types.iter().any(|other| other == kind)
    }
}

/// States of Events on their way, of one Lease.
#[derive(Debug)]
pub struct EventBatch<'a> {
    /// The states, in the order of their versions where they come from a watch.
    pub documents: &'a [EventDocument],
    /// The uid of the Lease: one cluster's Events.
    pub lease_uid: &'a str,
    /// When the oldest try was whose outcome is unknown, milliseconds since the epoch.
    pub doubt_since_ms: Option<u64>,
    /// Working on it failed before: it shall not be parsed.
    pub suspect: bool,
}

/// Why states are not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Nothing of them was written.
    #[error("{0}")]
    Refused(String),
    /// Some of them may have been written.
    #[error("{0}")]
    Unknown(String),
    /// So many of them will never be taken at once.
    #[error("{0}")]
    TooLarge(String),
    /// Working on them fails, and would again.
    #[error("{0}")]
    Poison(String),
}

/// Where states go.
pub trait EventSink: Send + Sync {
    /// One try to make states durable; it takes a limited time.
    fn keep(&self, batch: EventBatch<'_>) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Reads Events, or waits for its turn, until `stop` turns true; then what is at hand is made durable
/// and the Lease released.
pub async fn run<S: EventSink>(
    events: Events,
    sink: S,
    metrics: EventMetrics,
    state: EventState,
    mut stop: watch::Receiver<bool>,
) {
    let failed = |error: &ClientError| {
        metrics.error("lease");
        state.fail("client", &error.to_string());
    };
    let client = tokio::select! {
        client = events.access.patient_client(failed) => client,
        () = stopped(&mut stop) => return,
    };
    let mut election = Election::new(client.clone(), events.lease.clone());
    let source = EventSource {
        client,
        events,
        sink,
        metrics,
        state,
    };
    loop {
        let held = tokio::select! {
            held = source.acquire(&mut election) => held,
            () = stopped(&mut stop) => return,
        };
        let is_stopped = source.hold(&mut election, held, &stop).await;
        source.metrics.holder.set(0);
        source.metrics.lag.set(0.0);
        source.state.change(|view| {
            view.is_holder = false;
            view.holder = None;
            view.position = None;
        });
        if is_stopped {
            return;
        }
    }
}

/// Waits until it is to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is the end, too.
    stop.wait_for(|stop| *stop).await.ok();
}

struct EventSource<S> {
    client: Client,
    events: Events,
    sink: S,
    metrics: EventMetrics,
    state: EventState,
}

/// The Lease in hand.
struct Held {
    tenure: Tenure,
    position: Option<Position>,
    uid: String,
}

impl<S: EventSink> EventSource<S> {
    /// Waits for the Lease.
    async fn acquire(&self, election: &mut Election) -> Held {
        let retry = self.events.lease.retry_period;
        loop {
            match election.try_acquire().await {
                Ok(Candidacy::Held { tenure, note, uid }) => {
                    let position = note.as_deref().and_then(Position::parse);
                    if let (Some(note), None) = (&note, position) {
                        warn!(note, "the Lease tells no position of Kubernetes Events");
                    }
                    return Held {
                        tenure,
                        position,
                        uid,
                    };
                }
                Ok(Candidacy::Other(holder)) => {
                    self.state.recover();
                    self.state.change(|view| view.holder = Some(holder));
                }
                Err(error) => {
                    self.metrics.error("lease");
                    self.state.fail("lease", &chain(&error));
                }
            }
            // Those that start together shall not ask together for ever.
            sleep(retry.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Reads for as long as the Lease is held; true when it is to stop.
    async fn hold(
        &self,
        election: &mut Election,
        held: Held,
        stop: &watch::Receiver<bool>,
    ) -> bool {
        let Held {
            tenure,
            position,
            uid,
        } = held;
        let identity = &self.events.lease.identity;
        info!(
            identity,
            position = position.map(|it| it.version),
            "reading Kubernetes Events"
        );
        self.metrics.holder.set(1);
        self.metrics.acquired.inc();
        self.state.change(|view| {
            view.is_holder = true;
            view.holder = Some(identity.clone());
            view.position = position.map(|it| it.version);
        });
        let progress = Progress::new(position);
        let reader = Reader::new(self, &tenure, &progress, &uid, stop.clone());
        let note = || progress.position().map(|it| it.to_string());
        let lost = tokio::select! {
            // First: whoever lost the Lease takes no further step.
            biased;
            lost = election.hold(&tenure, note) => Some(lost),
            () = reader.run() => None,
        };
        match lost {
            Some(Lost::Taken) => {
                warn!("another one has the Lease of Kubernetes Events: it reads on");
                return *stop.borrow();
            }
            Some(Lost::Deadline(problem)) => {
                let problem = problem.map_or_else(
                    || "it was not renewed in time".to_owned(),
                    |error| chain(&error),
                );
                self.metrics.error("lease");
                self.state.fail("lease", &problem);
                return *stop.borrow();
            }
            None if !*stop.borrow() => {
                self.metrics.error("lease");
                self.state.fail("lease", "it was not renewed in time");
                return false;
            }
            None => {}
        }
        match election.release(note()).await {
            Ok(()) => info!(
                position = progress.position().map(|it| it.version),
                "the Lease of Kubernetes Events is free"
            ),
            Err(error) => warn!(
                problem = chain(&error),
                "cannot release the Lease of Kubernetes Events: another one waits for its end"
            ),
        }
        true
    }
}

/// Pauses between tries that fail: growing, and each a bit different.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    n_failed: u32,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    pub(crate) fn reset(&mut self) {
        self.n_failed = 0;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.n_failed.min(6));
        self.n_failed = self.n_failed.saturating_add(1);
        pause
            .min(Self::LONGEST)
            .mul_f64(0.75 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::{object::tests::event, *};

    #[test]
    fn namespaces_and_types_choose() {
        let choice = EventChoice {
            include: vec!["shop".to_owned(), "team-*".to_owned()],
            exclude: vec!["team-x".to_owned()],
            exclude_types: vec!["Normal".to_owned()],
        };
        let takes = |namespace: &str, kind: &str| {
            choice.takes(&event(&format!(
                r#"{{"metadata":{{"namespace":"{namespace}"}},"type":"{kind}"}}"#
            )))
        };
        assert!(takes("shop", "Warning") && takes("team-a", "Warning") && takes("shop", "Odd"));
        assert!(!takes("shop", "Normal") && !takes("team-x", "Warning") && !takes("x", "Warning"));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut pauses = Pauses::default();
        let first = pauses.next();
        assert!(first <= Pauses::FIRST.mul_f64(1.25) && first >= Pauses::FIRST.mul_f64(0.75));
        let last = (0..20).map(|_| pauses.next()).last().unwrap();
        assert!(last >= Pauses::LONGEST.mul_f64(0.75) && last <= Pauses::LONGEST.mul_f64(1.25));
        pauses.reset();
        assert!(pauses.next() <= Pauses::FIRST.mul_f64(1.25));
    }
}
