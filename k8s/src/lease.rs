//! Who of several does something that one alone shall do: the holder of a Lease.
//!
//! The rules are those of client-go's leader election. Nobody compares clocks: a Lease is over when
//! its record did not change for its duration, by the own monotonic clock of whoever looks. Its
//! holder stops earlier: when it could not renew it within the deadline, counted from before the
//! last renewal that succeeded was sent. Every write names the version that it was made from, so
//! the server refuses whoever lost the Lease.
//!
//! What the holder has to hand over stands in an annotation, written with each renewal.

use std::{sync::Mutex, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Tries of a release, where somebody else changes the Lease at the same time.
const RELEASES: usize = 3;

/// How a Lease is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What its holder calls itself: unlike any other, over restarts too.
    pub identity: String,
    /// Annotation for what is handed over.
    pub annotation: &'static str,
    /// How long nobody else takes it after its holder was last heard of; whole seconds.
    pub duration: Duration,
    /// How long a holder goes on that cannot renew it.
    pub renew_deadline: Duration,
    /// How often it is renewed or looked at.
    pub retry_period: Duration,
}

/// Until when the Lease is held for certain. Shared by who renews it and who works under it.
#[derive(Debug)]
pub struct Tenure {
    until: Mutex<Instant>,
}

impl Tenure {
    fn new(until: Instant) -> Self {
        Self {
            until: Mutex::new(until),
        }
    }

    /// Whether it is held at this moment. Asked right before anything is done that its holder
    /// alone may do: a process may have been stopped between any two steps.
    pub fn is_valid(&self) -> bool {
        Instant::now() < self.until()
    }

    fn until(&self) -> Instant {
        *self
            .until
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self
            .until
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = until;
    }
}

/// What came of one try to get the Lease.
#[derive(Debug)]
pub enum Candidacy {
    /// It is held now, with what the holder before left in the annotation, and the Lease's uid.
    Held {
        /// Until when.
        tenure: Tenure,
        /// The annotation.
        note: Option<String>,
        /// The uid of the Lease.
        uid: String,
    },
    /// Another one has it, or had it just now.
    Other(String),
}

/// Takes part in an election.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    options: LeaseOptions,
    /// The record as it was last seen, and since when it has been like that.
    observed: Option<(LeaseSpec, Instant)>,
    /// The Lease as this one wrote it last.
    own: Option<Lease>,
}

impl Election {
    /// One that holds nothing yet.
    pub fn new(client: Client, options: LeaseOptions) -> Self {
        Self {
            api: Api::namespaced(client, &options.namespace),
            options,
            observed: None,
            own: None,
        }
    }

    /// How it takes part.
    pub fn options(&self) -> &LeaseOptions {
        &self.options
    }

    /// Tries once to get the Lease.
    ///
    /// # Errors
    /// What the server said, or that it said nothing.
    pub async fn try_acquire(&mut self) -> Result<Candidacy, LeaseError> {
        let limit = self.request_limit();
        let found = timeout(limit, self.api.get_opt(&self.options.name)).await??;
        let sent = Instant::now();
        let written = match found {
            None => {
                let made = self.record(None, &self.options.identity, None);
                timeout(limit, self.api.create(&PostParams::default(), &made)).await?
            }
            Some(lease) => {
                if let Some(holder) = self.other_holder(&lease) {
                    return Ok(Candidacy::Other(holder));
                }
                let note = self.note_of(&lease);
                let taken = self.record(Some(&lease), &self.options.identity, note);
                timeout(limit, self.replace(&taken)).await?
            }
        };
        match written {
            Ok(lease) => {
                let note = self.note_of(&lease);
                let uid = lease.metadata.uid.clone().unwrap_or_default();
                self.own = Some(lease);
                Ok(Candidacy::Held {
                    tenure: Tenure::new(sent + self.options.renew_deadline),
                    note,
                    uid,
                })
            }
            // Somebody else was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Ok(Candidacy::Other("somebody else".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Renews the Lease until it is lost, with what `note` tells each time. Returns why: nobody may
    /// act as its holder from then on.
    pub async fn hold(&mut self, tenure: &Tenure, note: impl Fn() -> Option<String>) -> Lost {
        let mut last_problem = None;
        let mut next = Instant::now() + self.options.retry_period;
        loop {
            let until = tenure.until();
            sleep_until(next.min(until)).await;
            next = Instant::now() + self.options.retry_period;
            let limit = until.min(Instant::now() + self.request_limit());
            let sent = Instant::now();
            let renewed = match sent < until {
                true => timeout_at(limit, self.renew(note())).await,
                false => return Lost::Deadline(last_problem),
            };
            match renewed {
                Ok(Ok(true)) => {
                    last_problem = None;
                    tenure.extend(sent + self.options.renew_deadline);
                }
                Ok(Ok(false)) => return Lost::Taken,
                Ok(Err(error)) => last_problem = Some(error),
                Err(_) => last_problem = Some(LeaseError::Silence),
            }
        }
    }

    /// Gives the Lease to whoever wants it, with a last note.
    ///
    /// # Errors
    /// When the server does not take it: then it is free when its duration is over.
    pub async fn release(&mut self, note: Option<String>) -> Result<(), LeaseError> {
        let limit = self.request_limit();
        for _ in 0..RELEASES {
            let Some(own) = self.own.clone() else {
                return Ok(());
            };
            // As client-go does: nobody has to wait for the rest of its time.
            let mut free = self.record(Some(&own), "", note.clone());
            if let Some(spec) = &mut free.spec {
                spec.lease_duration_seconds = Some(1);
            }
            match timeout(limit, self.replace(&free)).await? {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    if !timeout(limit, self.look()).await?? {
                        break;
                    }
                }
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.own = None;
        Ok(())
    }

    /// One renewal; false when the Lease is another's.
    async fn renew(&mut self, note: Option<String>) -> Result<bool, LeaseError> {
        let Some(own) = &self.own else {
            return Ok(false);
        };
        let renewed = self.record(Some(own), &self.options.identity, note.clone());
        let error = match self.replace(&renewed).await {
            Ok(lease) => {
                self.own = Some(lease);
                return Ok(true);
            }
            Err(error) => error,
        };
        match &error {
            // Somebody changed the Lease: perhaps a person its labels, perhaps this one itself in a
            // request that got no answer. The next try writes over that.
            kube::Error::Api(status) if status.code == 409 => match self.look().await? {
                true => Err(error.into()),
                false => Ok(false),
            },
            // Somebody deleted it. What it told is known here.
            kube::Error::Api(status) if status.code == 404 => {
                let made = self.record(None, &self.options.identity, note);
                match self.api.create(&PostParams::default(), &made).await {
                    Ok(lease) => {
                        self.own = Some(lease);
                        Ok(true)
                    }
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(self.look().await?),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Err(error.into()),
        }
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        let params = PostParams::default();
        self.api.replace(&self.options.name, &params, lease).await
    }

    /// Looks at the Lease as it is; false when it is not this one's.
    async fn look(&mut self) -> Result<bool, LeaseError> {
        let lease = self.api.get_opt(&self.options.name).await?;
        let lease = lease.filter(|it| holder(it) == Some(&self.options.identity));
        self.own = lease;
        Ok(self.own.is_some())
    }

    /// The holder that has to be waited for.
    fn other_holder(&mut self, lease: &Lease) -> Option<String> {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
        let now = Instant::now();
        let since = match &self.observed {
            Some((known, since)) if *known == spec => *since,
            _ => {
                self.observed = Some((spec, now));
                now
            }
        };
        let holder = holder(lease)?;
        let is_over = now >= since + Duration::from_secs(seconds);
        (holder != self.options.identity && !is_over).then(|| holder.to_owned())
    }

    /// The Lease with `identity` as its holder; made from `from`, whose version it names.
    fn record(&self, from: Option<&Lease>, identity: &str, note: Option<String>) -> Lease {
        let mut lease = from.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.options.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        // Not ours to send back.
        lease.metadata.managed_fields = None;
        if let Some(note) = note {
            let annotations = lease.metadata.annotations.get_or_insert_default();
            annotations.insert(self.options.annotation.to_owned(), note);
        }
        let now = Some(MicroTime(Timestamp::now()));
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(identity) && !identity.is_empty() {
            spec.acquire_time.clone_from(&now);
            let transitions = spec.lease_transitions.unwrap_or(0);
            // The first holder is no transition.
            let is_first = from.is_none();
            spec.lease_transitions = Some(transitions.saturating_add(i32::from(!is_first)));
        }
        spec.holder_identity = Some(identity.to_owned());
        spec.renew_time = now;
        let seconds = self.options.duration.as_secs().max(1);
        spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        lease
    }

    fn note_of(&self, lease: &Lease) -> Option<String> {
        let annotations = lease.metadata.annotations.as_ref()?;
        annotations.get(self.options.annotation).cloned()
    }

    /// How long one request may take: two fit before a holder has to stop.
    fn request_limit(&self) -> Duration {
        self.options.renew_deadline / 2
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

/// Why a Lease is not held any more.
#[derive(Debug)]
pub enum Lost {
    /// Another one has it.
    Taken,
    /// It could not be renewed in time, and why.
    Deadline(Option<LeaseError>),
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The server refused, or could not be reached.
    #[error(transparent)]
    Server(#[from] kube::Error),
    /// The server did not answer in time.
    #[error("the API server does not answer")]
    Silence,
}

impl From<tokio::time::error::Elapsed> for LeaseError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LeaseOptions = LeaseOptions {
        namespace: String::new(),
        name: String::new(),
        identity: String::new(),
        annotation: "tailrace.io/x",
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };

    fn election() -> Election {
        let config = kube::Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        let client = Client::try_from(config).unwrap();
        let options = LeaseOptions {
            name: "l".to_owned(),
            identity: "me".to_owned(),
            ..OPTIONS
        };
        Election::new(client, options)
    }

    fn lease(holder: &str, renewed: i64) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    /// Whatever its times say: clocks of nodes differ by hours.
    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_when_it_did_not_change_for_its_duration() {
        let mut election = election();
        let other = Some("other".to_owned());
        assert_eq!(election.other_holder(&lease("other", 1)), other);
        tokio::time::advance(Duration::from_secs(14)).await;
        assert_eq!(election.other_holder(&lease("other", 1)), other);
        // It was renewed: the time counts from now on.
        assert_eq!(election.other_holder(&lease("other", 9_999)), other);
        tokio::time::advance(Duration::from_secs(14)).await;
        assert_eq!(election.other_holder(&lease("other", 9_999)), other);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(election.other_holder(&lease("other", 9_999)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_without_holder_and_an_own_one_are_not_waited_for() {
        let mut election = election();
        assert_eq!(election.other_holder(&lease("", 1)), None);
        assert_eq!(election.other_holder(&lease("me", 2)), None);
        assert_eq!(election.other_holder(&Lease::default()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn records_keep_what_is_not_theirs() {
        let election = election();
        let first = election.record(None, "me", Some("n1".to_owned()));
        let spec = first.spec.clone().unwrap();
        assert_eq!(spec.lease_transitions, Some(0));
        assert_eq!(spec.lease_duration_seconds, Some(15));
        assert_eq!(election.note_of(&first).as_deref(), Some("n1"));

        let mut changed = first.clone();
        let labels = [("team".to_owned(), "x".to_owned())].into();
        changed.metadata.labels = Some(labels);
        changed.metadata.resource_version = Some("7".to_owned());
        let next = election.record(Some(&changed), "you", None);
        let spec = next.spec.clone().unwrap();
        assert_eq!(spec.lease_transitions, Some(1));
        assert_eq!(spec.holder_identity.as_deref(), Some("you"));
        assert_eq!(election.note_of(&next).as_deref(), Some("n1"));
        assert_eq!(next.metadata.labels.unwrap()["team"], "x");
        assert_eq!(next.metadata.resource_version.as_deref(), Some("7"));

        // A release counts as no transition.
        let free = election.record(Some(&changed), "", None).spec.unwrap();
        assert_eq!(free.lease_transitions, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenure_ends_by_the_own_clock() {
        let tenure = Tenure::new(Instant::now() + Duration::from_secs(10));
        assert!(tenure.is_valid());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!tenure.is_valid());
    }
}
