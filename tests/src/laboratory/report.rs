//! What came of a run.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use super::Options;
use crate::verdict::Verdict;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    options: Options,
    started: SystemTime,
    /// How long faults were made, in the rounds that are over.
    pub(super) struck: Duration,
    n_rounds: usize,
    /// Pods that `audit` read, and their events.
    audited: (usize, usize),
    /// Faults by kind, in order, with when they struck.
    history: Vec<(&'static str, Duration)>,
    /// Events that were written.
    pub written: usize,
    /// Events that did not come.
    pub lost: usize,
    /// Events that came more than once.
    pub doubled: usize,
    /// Documents with other content, at other places, or whose intervals do not fit.
    pub wrong: usize,
    /// Events that came unparsed, since their chunk was suspect (DELIVERY rule 12).
    pub suspects: usize,
    /// How long the slowest return of throughput took, and after what.
    slowest: (Duration, &'static str),
    /// The most memory, descriptors and disk that were seen.
    pub(super) resources: String,
    problems: Vec<String>,
}

impl Report {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            started: SystemTime::now(),
            struck: Duration::ZERO,
            n_rounds: 0,
            audited: (0, 0),
            history: Vec::new(),
            written: 0,
            lost: 0,
            doubled: 0,
            wrong: 0,
            suspects: 0,
            slowest: (Duration::ZERO, "nothing"),
            resources: String::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, strike: &'static str) {
        let at = self.started.elapsed().unwrap_or_default();
        self.history.push((strike, at));
    }

    /// Faults so far.
    pub(super) fn n_faults(&self) -> usize {
        self.history.len()
    }

    /// Rounds that are over.
    pub(super) fn n_rounds(&self) -> usize {
        self.n_rounds
    }

    pub(super) fn audited(&mut self, n_events: usize) {
        self.audited.0 += 1;
        self.audited.1 += n_events;
    }

    pub(super) fn recovered(&mut self, took: Duration) {
        let after = self.history.last().map_or("nothing", |(name, _)| *name);
        self.slowest = self.slowest.max((took, after));
    }

    pub(super) fn judged(&mut self, verdict: &Verdict) {
        self.written += verdict.written;
        self.lost += verdict.lost.len();
        self.doubled += verdict.doubled.len();
        self.wrong += verdict.wrong.len() + verdict.strangers.len() + verdict.untiled.len();
        self.suspects += verdict.suspects;
        if !verdict.is_clean() {
            self.problem(verdict.to_string());
        }
    }

    /// A line for whoever waits, after a round that made faults for so long.
    #[expect(clippy::print_stderr, reason = "a long command shows how far it is")]
    pub(super) fn show_progress(&mut self, struck: Duration) {
        self.struck += struck;
        self.n_rounds += 1;
        let minutes = self.struck.as_secs() / 60;
        let of = self.options.length.as_secs() / 60;
        eprintln!(
            "{minutes} of {of} min: {} faults, {} events written, {} lost, {} doubled, {} wrong, {} problems",
            self.history.len(),
            self.written,
            self.lost,
            self.doubled,
            self.wrong,
            self.problems.len(),
        );
    }

    #[expect(
        clippy::print_stderr,
        reason = "whoever waits for an hour wants to know at once"
    )]
    pub(super) fn problem(&mut self, problem: String) {
        let after = self.history.last().map_or("nothing", |(name, _)| *name);
        let problem = format!("after `{after}`: {problem}");
        eprintln!("PROBLEM {problem}");
        self.problems.push(problem);
    }

    /// Whether nothing was lost, doubled or wrong, and nothing else was amiss.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.written > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for (name, _) in &self.history {
            *kinds.entry(name).or_default() += 1;
        }
        writeln!(
            out,
            "seed {}, {} s of faults ({} s with reading back), {} events a second: {} faults of {} kinds",
            self.options.seed,
            self.struck.as_secs(),
            self.started.elapsed().unwrap_or_default().as_secs(),
            self.options.events_per_second,
            self.history.len(),
            kinds.len()
        )?;
        writeln!(
            out,
            "events: {} written, {} lost, {} doubled, {} wrong, {} unparsed as suspects",
            self.written, self.lost, self.doubled, self.wrong, self.suspects
        )?;
        writeln!(
            out,
            "`audit` read {} pods with {} events",
            self.audited.0, self.audited.1
        )?;
        writeln!(
            out,
            "slowest return of throughput: {:.1} s, after `{}`",
            self.slowest.0.as_secs_f64(),
            self.slowest.1
        )?;
        writeln!(out, "{}", self.resources)?;
        for (name, n_times) in kinds {
            writeln!(out, "    {n_times:4} {name}")?;
        }
        for problem in &self.problems {
            writeln!(out, "PROBLEM {problem}")?;
        }
        if !self.problems.is_empty() {
            writeln!(out, "faults in order:")?;
            for (name, at) in &self.history {
                writeln!(out, "    {:7.1} s {name}", at.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
