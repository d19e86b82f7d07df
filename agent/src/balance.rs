//! The aggregators a batch may go to: by least outstanding bytes among those that are not backing
//! off. Each address of a name is an aggregator of its own.

use crate::exchange::Connection;
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::MetaId;

/// First pause after a failure; doubled at each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Longest pause: how late the agent notices at most that an aggregator is back.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Metadata ids remembered for an aggregator; 16 bytes each. When there are more all are
/// forgotten, which costs sending them once more.
const MAX_KNOWN: usize = 16 * 1024;

/// Where batches are posted to, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Put before the path of each request; empty or `/…` without a slash at its end.
    pub path: String,
}

/// Names an [`Aggregator`] for as long as a batch is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AggregatorId(u64);

/// One address.
pub(crate) struct Aggregator {
    /// Its name here.
    pub(crate) id: AggregatorId,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Index of the [`Target`] that led here.
    pub(crate) target: usize,
    /// Raw bytes sent and not answered.
    pub(crate) outstanding: u64,
    /// Failures since the last success.
    pub(crate) failures: u32,
    /// Connections that nothing is sent on now.
    pub(crate) idle: Vec<Connection>,
    /// Its settings, as it gave them last; empty before that.
    pub(crate) settings: Arc<[u8]>,
    known: HashSet<MetaId>,
    not_before: Option<Instant>,
    /// The name does not lead here any more; gone when nothing is outstanding.
    is_gone: bool,
}

impl Aggregator {
    /// True when this aggregator is believed to know the metadata object, or the settings.
    pub(crate) fn knows(&self, id: MetaId) -> bool {
        self.known.contains(&id)
    }

    /// Metadata objects and settings that it has answered for.
    pub(crate) fn learn(&mut self, ids: &[MetaId]) {
        if self.known.len() + ids.len() > MAX_KNOWN {
            self.known.clear();
        }
        self.known.extend(ids.iter().take(MAX_KNOWN));
    }

    /// It asked for something that it should know: it was restarted and knows nothing.
    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
    }

    /// A try succeeded. True when tries had failed before.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.not_before = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// A try failed: pauses, at least for `at_least`, and returns for how long. Jittered, so that
    /// the agents of a cluster do not come back all at once.
    pub(crate) fn failed(&mut self, now: Instant, at_least: Duration) -> Duration {
        let doubled = FIRST_BACKOFF * 2u32.pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let jitter = 0.5 + 0.5 * fastrand::f64();
        let asked = at_least.mul_f64(1.0 + 0.1 * fastrand::f64());
        let pause = doubled.min(MAX_BACKOFF).mul_f64(jitter).max(asked);
        // Tries that failed together count once: the longest pause stands.
        self.not_before = self.not_before.max(Some(now + pause));
        pause
    }

    /// A batch was refused for what is in it. Once, that is the batch's fault, and nobody waits;
    /// again without a success in between, it is taken for the aggregator's.
    pub(crate) fn rejected(&mut self, now: Instant) -> Duration {
        if self.failures > 0 {
            return self.failed(now, Duration::ZERO);
        }
        self.failures = 1;
        Duration::ZERO
    }

    fn is_ready(&self, now: Instant) -> bool {
        !self.is_gone && self.not_before.is_none_or(|at| at <= now)
    }

    /// How long it is still left alone.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        self.not_before
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// All aggregators known now.
#[derive(Default)]
pub(crate) struct Aggregators {
    list: Vec<Aggregator>,
    next_id: u64,
}

impl Aggregators {
    /// Takes in what `target` resolves to. Those that are still there keep what they know.
    pub(crate) fn update(&mut self, target: usize, port: u16, addresses: &BTreeSet<IpAddr>) {
        for aggregator in self.list.iter_mut().filter(|a| a.target == target) {
            aggregator.is_gone = !addresses.contains(&aggregator.address.ip());
        }
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            if self
                .list
                .iter()
                .any(|a| a.target == target && a.address == address)
            {
                continue;
            }
            self.list.push(Aggregator {
                id: AggregatorId(self.next_id),
                address,
                target,
                outstanding: 0,
                failures: 0,
                idle: Vec::new(),
                settings: [].into(),
                known: HashSet::new(),
                not_before: None,
                is_gone: false,
            });
            self.next_id += 1;
        }
        self.remove_gone();
    }

    /// The one to send to next; `None` when all are backing off, or none is known.
    pub(crate) fn pick(&mut self, now: Instant) -> Option<&mut Aggregator> {
        // Among equals any, so that agents with little to send spread too.
        self.list
            .iter_mut()
            .filter(|a| a.is_ready(now))
            .min_by_key(|a| (a.outstanding, fastrand::u32(..)))
    }

    /// When the next one comes out of its pause; `None` when none is known.
    pub(crate) fn next_ready(&self, now: Instant) -> Option<Instant> {
        self.list
            .iter()
            .filter(|a| !a.is_gone)
            .map(|a| a.not_before.unwrap_or(now))
            .min()
    }

    /// The one with this id, if it is still there.
    pub(crate) fn get_mut(&mut self, id: AggregatorId) -> Option<&mut Aggregator> {
        self.list.iter_mut().find(|a| a.id == id)
    }

    /// `settings` as all aggregators that have the same hold them: once.
    pub(crate) fn share(&self, settings: Vec<u8>) -> Arc<[u8]> {
        let mut known = self.list.iter().map(|aggregator| &aggregator.settings);
        match known.find(|known| known[..] == settings[..]) {
            Some(known) => Arc::clone(known),
            None => settings.into(),
        }
    }

    /// Forgets those that have no name any more and nothing outstanding.
    pub(crate) fn remove_gone(&mut self) {
        self.list.retain(|a| !a.is_gone || a.outstanding > 0);
    }

    /// All, for `status`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Aggregator> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Aggregators {
        let mut all = Aggregators::default();
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        all.update(
            0,
            7080,
            &addresses.iter().map(|a| a.parse().unwrap()).collect(),
        );
        all
    }

    #[test]
    fn least_outstanding_bytes_come_first_and_failed_ones_pause() {
        let mut all = three();
        let now = Instant::now();
        for (idx, aggregator) in all.list.iter_mut().enumerate() {
            aggregator.outstanding = 10 * (idx as u64 + 1);
        }
        let first = all.pick(now).unwrap();
        assert_eq!(first.address.to_string(), "10.0.0.1:7080");
        let pause = first.failed(now, Duration::ZERO);
        assert!(pause <= FIRST_BACKOFF && pause >= FIRST_BACKOFF / 2);
        assert_eq!(all.pick(now).unwrap().address.to_string(), "10.0.0.2:7080");
        assert_eq!(
            all.pick(now + pause).unwrap().address.to_string(),
            "10.0.0.1:7080"
        );
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_honour_what_is_asked() {
        let mut all = three();
        let now = Instant::now();
        let first = all.pick(now).unwrap();
        for _ in 0..50 {
            assert!(first.failed(now, Duration::ZERO) <= MAX_BACKOFF);
        }
        assert!(first.failed(now, Duration::ZERO) >= MAX_BACKOFF / 2);
        assert!(first.failed(now, Duration::from_secs(60)) >= Duration::from_secs(60));
        assert!(first.succeeded());
        assert!(first.is_ready(now));
        assert!(
            !first.succeeded(),
            "only the first success after failures is news"
        );
    }

    #[test]
    fn an_aggregator_without_name_is_gone_when_its_answers_are_in() {
        let mut all = three();
        let now = Instant::now();
        let id = all.pick(now).unwrap().id;
        all.get_mut(id).unwrap().outstanding = 5;
        all.get_mut(id).unwrap().learn(&[7]);
        all.update(0, 7080, &BTreeSet::new());
        assert!(all.pick(now).is_none());
        assert!(all.next_ready(now).is_none());
        let address = all.get_mut(id).unwrap().address.ip();
        all.update(0, 7080, &BTreeSet::from([address]));
        assert!(
            all.pick(now).unwrap().knows(7),
            "back before it was forgotten"
        );
        all.get_mut(id).unwrap().outstanding = 0;
        all.update(0, 7080, &BTreeSet::new());
        assert!(all.get_mut(id).is_none());
    }

    #[test]
    fn what_is_remembered_of_metadata_is_bounded() {
        let mut all = three();
        let first = all.pick(Instant::now()).unwrap();
        for id in 0..3 * MAX_KNOWN as u64 {
            first.learn(&[id]);
        }
        assert!(first.known.len() <= MAX_KNOWN);
        assert!(first.knows(3 * MAX_KNOWN as u64 - 1));
    }
}
