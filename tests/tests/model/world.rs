//! Everything together: what may happen next, and the verdict.

use std::{path::Path, sync::Arc};

use agent::steps::{Answered, ExchangeError};
use bench::{
    container_log::Rotation,
    kubelet::{Container, Kubelet},
};
use bytes::Bytes;
use tail::Options;
use tests::{
    verdict::{Verdict, untiled},
    writer::write_event,
};

use crate::{
    agent::{Agent, Sent, VirtualClock},
    aggregator::{Aggregator, Death, N_VERSIONS, Out, runtime},
    store::Store,
};

/// A batch in the network.
struct Flight {
    sent: Sent,
    /// When it left. Ages of doubt count from there: the sender's margin for clocks that differ
    /// covers what the network takes, and a model with that margin would see little.
    sent_ms: u64,
    to: usize,
    /// Still to be delivered, this often.
    deliveries: u32,
    /// It is, or was, delivered more than once.
    is_doubled: bool,
    answer: Option<Bytes>,
    /// The agent has given it up.
    is_abandoned: bool,
    /// The agent is another one by now: its answer goes nowhere.
    is_orphan: bool,
}

/// What happened, over all runs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Done {
    events: u64,
    agent_restarts: u64,
    aggregator_deaths: [u64; 3],
    lost_requests: u64,
    lost_answers: u64,
    late_requests: u64,
    late_answers: u64,
    doubled_requests: u64,
    lost_bulk_answers: u64,
    rollovers: u64,
    conflicts: u64,
    found_in_older_indices: u64,
    reloads: u64,
}

impl Done {
    fn numbers(&self) -> [u64; 15] {
        let [idle, before, behind] = self.aggregator_deaths;
        [
            self.events,
            self.agent_restarts,
            idle,
            before,
            behind,
            self.lost_requests,
            self.lost_answers,
            self.late_requests,
            self.late_answers,
            self.doubled_requests,
            self.lost_bulk_answers,
            self.rollovers,
            self.conflicts,
            self.found_in_older_indices,
            self.reloads,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.agent_restarts += other.agent_restarts;
        for (sum, more) in self
            .aggregator_deaths
            .iter_mut()
            .zip(other.aggregator_deaths)
        {
            *sum += more;
        }
        self.lost_requests += other.lost_requests;
        self.lost_answers += other.lost_answers;
        self.late_requests += other.late_requests;
        self.late_answers += other.late_answers;
        self.doubled_requests += other.doubled_requests;
        self.lost_bulk_answers += other.lost_bulk_answers;
        self.rollovers += other.rollovers;
        self.conflicts += other.conflicts;
        self.found_in_older_indices += other.found_in_older_indices;
        self.reloads += other.reloads;
    }

    /// Every kind of bad luck was met.
    pub(crate) fn assert_all_met(&self) {
        assert!(!self.numbers().contains(&0), "{self:?}");
    }
}

pub(crate) struct World {
    seed: u64,
    rng: fastrand::Rng,
    clock: Arc<VirtualClock>,
    containers: Vec<Container>,
    n_events: Vec<u32>,
    agent: Option<Agent>,
    aggregators: Vec<Option<Aggregator>>,
    flights: Vec<Flight>,
    store: Store,
    pub(crate) done: Done,
    // Behind those who use it.
    _dir: tempfile::TempDir,
}

/// Memory, where there is: the model is about order, and a disk's fsync costs a hundred times the
/// rest.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let in_memory = tempfile::tempdir_in(memory);
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let dir = scratch();
        let root = dir.path().canonicalize().unwrap();
        let mut kubelet = Kubelet::new(&root.join("log"), seed).unwrap();
        let mut containers = Vec::new();
        for (pod, is_docker) in [("a", false), ("b", false), ("c", true)] {
            let mut made = match is_docker {
                true => kubelet.docker("model", pod, "c").unwrap(),
                false => kubelet.container("model", pod, "c").unwrap(),
            };
            let rotation = match is_docker {
                true => Rotation::NumberedGz,
                false => Rotation::Kubelet,
            };
            made.log.set_rotation(rotation, 1_000);
            containers.push(made);
        }
        let clock = VirtualClock::new();
        let mut options = Options::new(root.join("agent"), "node");
        options.include = vec![kubelet.glob()];
        // Chunks smaller than what is written at once, so that events are cut by their ends.
        options.max_chunk = 64 << 10;
        options.max_line = 32 << 10;
        let runtime = runtime();
        let aggregators =
            ["x", "y"].map(|name| Some(Aggregator::start(&root.join(name), &runtime, 0)));
        Self {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            agent: Some(Agent::start(options, &clock)),
            clock,
            n_events: vec![0; containers.len()],
            containers,
            aggregators: aggregators.into(),
            flights: Vec::new(),
            store: Store::new(seed),
            done: Done::default(),
            _dir: dir,
        }
    }

    fn agent(&mut self) -> &mut Agent {
        self.agent
            .as_mut()
            .expect("it is only away while it is started again")
    }

    /// One thing that may happen.
    pub(crate) fn step(&mut self) {
        match self.rng.u32(..100) {
            0..18 => self.write(),
            18..22 => {
                let idx = self.rng.usize(..self.containers.len());
                self.containers[idx].log.rotate().unwrap();
            }
            22..34 => {
                let ms = self.rng.u64(1..800);
                self.clock.advance(ms);
            }
            34..52 => self.send(),
            52..64 => self.deliver(),
            64..74 => self.answer(),
            74..78 => self.give_up(),
            78..80 => self.double(),
            80..82 => self.restart_agent(),
            82..84 => {
                let idx = self.rng.usize(..self.aggregators.len());
                self.done.aggregator_deaths[0] += 1;
                self.restart_aggregator(idx);
            }
            84..96 => self.post(),
            96..98 => self.reload(),
            _ => self.rollover(),
        }
    }

    fn write(&mut self) {
        let idx = self.rng.usize(..self.containers.len());
        for _ in 0..self.rng.u32(1..40) {
            let n = &mut self.n_events[idx];
            write_event(&mut self.containers[idx], *n).unwrap();
            *n += 1;
            self.done.events += 1;
        }
    }

    fn send(&mut self) {
        let max_groups = self.rng.usize(1..4);
        let knows = self.rng.bool();
        let to = self.rng.usize(..self.aggregators.len());
        let sent_ms = self.clock.wall_ms();
        if let Some(sent) = self.agent().pack(max_groups, knows, to) {
            self.flights.push(Flight {
                sent,
                sent_ms,
                to,
                deliveries: 1,
                is_doubled: false,
                answer: None,
                is_abandoned: false,
                is_orphan: false,
            });
        }
    }

    fn pick(&mut self, is_right: impl Fn(&Flight) -> bool) -> Option<usize> {
        let right: Vec<usize> = (0..self.flights.len())
            .filter(|idx| self.flights.get(*idx).is_some_and(&is_right))
            .collect();
        (!right.is_empty()).then(|| right[self.rng.usize(..right.len())])
    }

    /// A request reaches its aggregator, perhaps long after the agent has given it up.
    fn deliver(&mut self) {
        let Some(idx) = self.pick(|it| it.deliveries > 0) else {
            return;
        };
        let death = match self.rng.u32(..20) {
            0 => Some(Death::BeforeAppend),
            1 => Some(Death::BeforeAnswer),
            _ => None,
        };
        let flight = &mut self.flights[idx];
        flight.deliveries -= 1;
        self.done.late_requests += u64::from(flight.is_abandoned);
        let to = flight.to;
        let aggregator = self.aggregators[to].as_ref().expect("running");
        let (store, is_excused) = (&mut self.store, flight.is_doubled || flight.is_abandoned);
        let answer = aggregator.take(flight.sent.body.clone(), flight.sent_ms, death, |raw| {
            if is_excused {
                store.excuse(raw);
            }
        });
        if answer.is_some() {
            flight.answer = flight.answer.take().or(answer);
            return;
        }
        match death {
            Some(Death::BeforeAppend) => self.done.aggregator_deaths[1] += 1,
            _ => self.done.aggregator_deaths[2] += 1,
        }
        // All its connections go with it.
        self.restart_aggregator(to);
    }

    /// An answer reaches the agent.
    fn answer(&mut self) {
        let Some(idx) = self.pick(|it| it.answer.is_some() && it.deliveries == 0) else {
            return;
        };
        let flight = self.flights.swap_remove(idx);
        if flight.is_orphan {
            return;
        }
        let body = flight.answer.unwrap_or_default();
        self.done.late_answers += u64::from(flight.is_abandoned);
        let answered = Answered {
            status: hyper::StatusCode::OK,
            headers: hyper::HeaderMap::new(),
            body,
        };
        // Late ones too: the product must not heed them.
        let is_late = flight.is_abandoned;
        self.agent().take(&flight.sent, Ok(answered), is_late);
    }

    /// The agent waits no longer, or its connection breaks: what is under way may still arrive.
    fn give_up(&mut self) {
        let Some(idx) = self.pick(|it| !it.is_abandoned) else {
            return;
        };
        let is_broken = self.rng.bool();
        let agent = self.agent.as_mut().expect("running");
        let flight = &mut self.flights[idx];
        flight.is_abandoned = true;
        let address = ([127, 0, 0, 1], 1).into();
        let error = if is_broken && agent.may_lose(&flight.sent) {
            ExchangeError::Lost {
                address,
                reason: String::new(),
            }
        } else {
            ExchangeError::TimedOut {
                address,
                limit: std::time::Duration::ZERO,
            }
        };
        agent.take(&flight.sent, Err(error), false);
        // Gone, or only late.
        if self.rng.bool() {
            let flight = self.flights.swap_remove(idx);
            match flight.answer {
                Some(_) => self.done.lost_answers += 1,
                None => self.done.lost_requests += 1,
            }
        }
    }

    fn double(&mut self) {
        // A copy that comes behind the answer "nothing stored, seal it otherwise", when the
        // aggregator has gone back to the first settings, cannot be told from a first try.
        if self.has_reloads() {
            return;
        }
        if let Some(idx) = self.pick(|it| it.deliveries > 0) {
            self.flights[idx].deliveries += 1;
            self.flights[idx].is_doubled = true;
            self.done.doubled_requests += 1;
        }
    }

    fn restart_agent(&mut self) {
        self.done.agent_restarts += 1;
        let is_told = self.rng.bool();
        for flight in &mut self.flights {
            flight.is_abandoned = true;
            flight.is_orphan = true;
        }
        // Answers to another process go nowhere.
        self.flights.retain(|it| it.deliveries > 0);
        self.agent = self.agent.take().map(|agent| agent.restart(is_told));
    }

    /// An aggregator dies; its connections break, also those with requests it has not read.
    fn restart_aggregator(&mut self, idx: usize) {
        let (broken, kept) = std::mem::take(&mut self.flights)
            .into_iter()
            .partition(|it| it.to == idx);
        self.flights = kept;
        self.aggregators[idx] = self.aggregators[idx].take().map(Aggregator::restart);
        for flight in Vec::from_iter::<Vec<Flight>>(broken) {
            if flight.is_abandoned {
                continue;
            }
            let address = ([127, 0, 0, 1], 1).into();
            let reason = String::new();
            let error = match self.agent().may_lose(&flight.sent) {
                true => ExchangeError::Lost { address, reason },
                false => ExchangeError::TimedOut {
                    address,
                    limit: std::time::Duration::ZERO,
                },
            };
            self.agent().take(&flight.sent, Err(error), false);
        }
    }

    /// One aggregator goes by other settings: rules are rolled out, one after the other, or back.
    /// Half of the runs have none, so that their events can be compared with what was written.
    fn reload(&mut self) {
        if !self.has_reloads() {
            return;
        }
        let idx = self.rng.usize(..self.aggregators.len());
        let version = self.rng.usize(..N_VERSIONS);
        self.aggregators[idx]
            .as_mut()
            .expect("running")
            .reload(version);
        self.done.reloads += 1;
    }

    fn has_reloads(&self) -> bool {
        self.seed % 2 == 1
    }

    /// A body goes to the store, whose answer may be lost.
    fn post(&mut self) {
        let idx = self.rng.usize(..self.aggregators.len());
        let fate = self.rng.u32(..10);
        self.post_from(idx, fate);
    }

    fn post_from(&mut self, idx: usize, fate: u32) {
        let now_ms = self.clock.wall_ms();
        let aggregator = self.aggregators[idx].as_ref().expect("running");
        let Some(out) = aggregator.next(now_ms) else {
            return;
        };
        let Out {
            raw,
            doubt_since_ms,
            ..
        } = &out;
        let is_applied = fate != 0;
        if is_applied {
            self.store.bulk(raw, *doubt_since_ms, now_ms, idx);
        }
        match fate {
            0 => aggregator.give_back(&out),
            1 => {
                self.done.lost_bulk_answers += 1;
                aggregator.give_back(&out);
            }
            2 => {
                self.done.lost_bulk_answers += 1;
                self.done.aggregator_deaths[0] += 1;
                self.restart_aggregator(idx);
            }
            _ => aggregator.done(&out),
        }
    }

    /// The data stream gets another index. What the agent has given up long ago does not arrive
    /// any more: connections do not outlive that.
    fn rollover(&mut self) {
        self.flights.retain(|it| !it.is_abandoned);
        self.clock.advance(1);
        self.store.rollover();
        self.done.rollovers += 1;
        self.clock.advance(1);
    }

    /// Nothing goes wrong any more; everything that is under way arrives. Then the verdict.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2_000 {
            for flight in &mut self.flights {
                let aggregator = self.aggregators[flight.to].as_ref().expect("running");
                for _ in 0..std::mem::take(&mut flight.deliveries) {
                    let answer =
                        aggregator.take(flight.sent.body.clone(), flight.sent_ms, None, |_| ());
                    flight.answer = flight.answer.take().or(answer);
                }
            }
            while !self.flights.is_empty() {
                self.answer();
            }
            for idx in 0..self.aggregators.len() {
                while !self.aggregators[idx].as_ref().expect("running").is_empty() {
                    self.post_from(idx, 9);
                }
            }
            self.clock.advance(200);
            self.send();
            if self.flights.is_empty() && self.agent().is_idle() {
                break;
            }
        }
        let seed = self.seed;
        let left = self.agent().left();
        assert!(
            self.agent().is_idle(),
            "seed {seed}: bytes are left: {left:#?}"
        );
        if self.has_reloads() {
            // Rules have cut events otherwise than they were written: each byte must be in one.
            let amiss = untiled(self.store.hits(), &self.containers);
            assert!(amiss.is_empty(), "seed {seed}: {amiss:#?}");
        } else {
            let verdict = Verdict::of_containers(self.store.hits(), &self.containers);
            assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        }
        assert_eq!(self.agent().losses(), [], "seed {seed}");
        self.done.conflicts += self.store.n_conflicts;
        self.done.found_in_older_indices += self.store.n_found;
    }
}
