//! Trying the rules on a record: in their order, the first whose steps all succeed is the one.
//!
//! A rule that fails leaves nothing behind: what its steps set is forgotten.

use std::time::{Duration, Instant};

use super::explain::Verdict;
use super::{Rule, RuleId, RuleSet, Trace};
use crate::deadline::Deadline;
use crate::fields::Fields;
use crate::parser::Ran;
use crate::steps::Flow;
use crate::work::{Memory, Text, Work};
use crate::{RecordView, StreamContext, Tag};

/// What a rule did, counted by one thread since [`Parser::take_counts`](crate::Parser::take_counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCounts {
    /// Records whose `match` held.
    pub tried: u64,
    /// Records that it matched, dropped ones included.
    pub matched: u64,
    /// Records that it dropped.
    pub dropped: u64,
    /// Records on which a step failed.
    pub failed: u64,
    /// Records longer than its budget, or that took longer.
    pub over_budget: u64,
    /// CPU time in nanoseconds, estimated from one record in 64.
    pub cpu_ns: u64,
}

/// A record that no rule matched although there was one to try for its stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unmatched {
    /// The text, cut after [`Unmatched::MAX_BYTES`]. Valid UTF-8 but for the cut.
    pub line: Vec<u8>,
    /// When it was processed, nanoseconds since the epoch.
    pub now_ns: i64,
    /// The pod's namespace, or nothing.
    pub namespace: String,
    /// The pod, or the file's path.
    pub origin: String,
    /// The container, or nothing.
    pub container: String,
}

impl Unmatched {
    /// Longest text that is kept.
    pub const MAX_BYTES: usize = 2048;
}

/// Latest unmatched records that a thread keeps.
const KEEP_UNMATCHED: usize = 32;

/// One record in so many is timed: reading the clock costs as much as a short rule.
const TIMED_ONE_IN: u64 = 64;

/// Texts up to this need no look at the clock where all steps are linear and nothing takes many
/// turns: that costs as much as a short rule.
const WATCHED_BYTES: usize = 32 << 10;

/// Metadata that names the rule for a stream, the first that is there.
const ANNOTATIONS: [&str; 2] = [
    "kubernetes.annotations.tailrace.io/parser",
    "kubernetes.annotations.fluentbit.io/parser",
];

/// Memory for trying rules, of one thread.
#[derive(Debug)]
pub(crate) struct Runner {
    /// The stream that `candidates` are for: records of a stream come together.
    stream: u64,
    /// Rules whose `match` holds for the stream.
    candidates: Vec<u32>,
    /// The metadata names the rule: its `match` is not asked.
    is_named: bool,
    /// The metadata names a rule that there is not.
    is_unknown: bool,
    /// Try this rule alone, whatever its `match` says of the stream.
    pub(crate) only: Option<RuleId>,
    /// What `match` asks of the stream is taken to fit.
    pub(crate) any_stream: bool,
    found: Vec<(u32, u32)>,
    memory: Memory,
    /// Fields as rules that `continue` left them.
    kept: Option<Box<Fields>>,
    pub(crate) counts: Vec<RuleCounts>,
    n_records: u64,
    /// A ring: the latest is at `(first + n - 1) % KEEP_UNMATCHED`.
    unmatched: Vec<Unmatched>,
    first_unmatched: usize,
    n_unmatched: usize,
}

impl Runner {
    pub(crate) fn new(rules: &RuleSet) -> Self {
        let memory = rules.steps.iter().map(|placed| placed.step.memory());
        Self {
            stream: 0,
            candidates: Vec::new(),
            is_named: false,
            is_unknown: false,
            only: None,
            any_stream: false,
            found: Vec::new(),
            memory: memory.collect(),
            kept: None,
            counts: vec![RuleCounts::default(); rules.len()],
            n_records: 0,
            unmatched: Vec::new(),
            first_unmatched: 0,
            n_unmatched: 0,
        }
    }

    /// Forgets which rules are for the latest stream.
    pub(crate) fn forget_stream(&mut self) {
        self.stream = 0;
    }

    /// Tries the rules on the head of a text.
    #[inline]
    pub(crate) fn run<'w>(
        &'w mut self,
        rules: &'w RuleSet,
        stream: &'w StreamContext,
        record: &'w RecordView<'w>,
        text: Text<'w>,
        fields: &'w mut Fields,
        trace: Option<&'w mut Trace>,
    ) -> Ran {
        let head = text.n_head;
        if rules.is_empty() {
            return Ran::NoMatch { tried: false };
        }
        if self.stream != stream.id {
            self.choose(rules, stream);
        }
        self.n_records = self.n_records.wrapping_add(1);
        let is_timed = self.n_records.is_multiple_of(TIMED_ONE_IN);
        if self.is_unknown {
            fields.tags.insert(Tag::RuleUnknown);
        }
        let mut work = Work {
            text,
            span: (0, head),
            fields,
            record,
            stream,
            rules,
            found: &mut self.found,
            memory: &mut self.memory,
            step: 0,
            // Each rule has its own.
            deadline: Deadline::still(Duration::ZERO),
            is_late: false,
            trace,
        };
        let mut ran = Ran::NoMatch {
            tried: !self.candidates.is_empty(),
        };
        let all = 0..rules.len() as u32;
        // Explaining says of each rule why it is not for this record.
        let is_explained = work.trace.is_some() && !self.is_named && self.only.is_none();
        let n = if is_explained {
            all.len()
        } else {
            self.candidates.len()
        };
        for candidate in 0..n {
            let id = match is_explained {
                true => RuleId(candidate as u32),
                false => RuleId(self.candidates[candidate]),
            };
            let (Some(rule), Some(counts)) =
                (rules.rules.get(id.index()), self.counts.get_mut(id.index()))
            else {
                continue;
            };
            if rule.is_for_framing {
                continue;
            }
            if is_explained
                && !self.any_stream
                && let Some((is_not, part)) = rule.condition.stream_differs(stream)
                && let Some(trace) = &mut work.trace
            {
                let not = if is_not { "not." } else { "" };
                let part = format!("{not}{part}");
                trace.push(id, Verdict::Differs { part });
                continue;
            }
            if !self.is_named
                && let Some(part) =
                    rule.condition
                        .record_differs(record, work.current(), &work.fields.marks)
            {
                if let Some(trace) = &mut work.trace {
                    let part = part.to_owned();
                    trace.push(id, Verdict::Differs { part });
                }
                continue;
            }
            counts.tried += 1;
            if head > rule.max_bytes {
                counts.over_budget += 1;
                work.fields.tags.insert(Tag::OverBudget);
                if let Some(trace) = &mut work.trace {
                    let max_bytes = rule.max_bytes;
                    trace.push(id, Verdict::OverBudget { max_bytes });
                }
                continue;
            }
            let start = is_timed.then(Instant::now);
            work.deadline = match rule.is_slow || head > WATCHED_BYTES {
                true => Deadline::running(rule.max_time),
                false => Deadline::still(rule.max_time),
            };
            let is_kept = matches!(ran, Ran::Matched(_));
            let flow = try_rule(
                rule,
                id,
                &mut work,
                self.kept.as_deref().filter(|_| is_kept),
            );
            if let Some(start) = start {
                let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                counts.cpu_ns = counts
                    .cpu_ns
                    .saturating_add(ns.saturating_mul(TIMED_ONE_IN));
            }
            match flow {
                None if work.is_late => {
                    // The rules after it would only take more.
                    counts.over_budget += 1;
                    work.fields.tags.insert(Tag::OverBudget);
                    ran = Ran::NoMatch { tried: true };
                    break;
                }
                None => counts.failed += 1,
                Some(Flow::Drop) => {
                    counts.matched += 1;
                    counts.dropped += 1;
                    ran = Ran::Dropped(id);
                    break;
                }
                Some(_) => {
                    counts.matched += 1;
                    ran = Ran::Matched(id);
                    if !rule.goes_on {
                        break;
                    }
                    let kept = self.kept.get_or_insert_with(|| Box::new(Fields::new()));
                    kept.copy_from(work.fields);
                    work.span = (0, head);
                }
            }
        }
        ran
    }

    /// Finds the rules for a stream.
    fn choose(&mut self, rules: &RuleSet, stream: &StreamContext) {
        self.stream = stream.id;
        self.candidates.clear();
        self.is_named = false;
        self.is_unknown = false;
        let is_for_framing = |rule: RuleId| {
            let rule = rules.rules.get(rule.index());
            rule.is_some_and(|rule| rule.is_for_framing)
        };
        if let Some(only) = self.only {
            if !is_for_framing(only) {
                self.candidates.push(only.0);
            }
            return;
        }
        if let Some(name) = ANNOTATIONS.iter().find_map(|key| stream.get(key)) {
            if let Some(rule) = rules.find(name) {
                self.candidates.push(rule.0);
                self.is_named = true;
                return;
            }
            // These two need no rule: they are recognised.
            self.is_unknown = !matches!(name, "json" | "logfmt");
        }
        let any = self.any_stream;
        let fits = |(_, rule): &(usize, &Rule)| {
            !rule.is_for_framing && (any || rule.condition.stream_differs(stream).is_none())
        };
        let fitting = rules.rules.iter().enumerate().filter(fits);
        self.candidates
            .extend(fitting.map(|(index, _)| index as u32));
    }

    /// Keeps a record that no rule matched, in place of the oldest one.
    pub(crate) fn note_unmatched(
        &mut self,
        record: &RecordView<'_>,
        line: &[u8],
        stream: &StreamContext,
    ) {
        let at = (self.first_unmatched + self.n_unmatched) % KEEP_UNMATCHED;
        if self.n_unmatched == KEEP_UNMATCHED {
            self.first_unmatched = (self.first_unmatched + 1) % KEEP_UNMATCHED;
        } else {
            self.n_unmatched += 1;
        }
        if self.unmatched.len() <= at {
            self.unmatched.resize_with(at + 1, Unmatched::default);
        }
        let Some(slot) = self.unmatched.get_mut(at) else {
            return;
        };
        slot.line.clear();
        slot.line
            .extend_from_slice(&line[..line.len().min(Unmatched::MAX_BYTES)]);
        slot.now_ns = record.now_ns;
        let origin = match stream.get("kubernetes.pod.name") {
            Some(_) => "kubernetes.pod.name",
            None => "log.file.path",
        };
        for (to, key) in [
            (&mut slot.namespace, "kubernetes.namespace"),
            (&mut slot.origin, origin),
            (&mut slot.container, "kubernetes.container.name"),
        ] {
            to.clear();
            to.push_str(stream.get(key).unwrap_or_default());
        }
    }

    /// The records kept, oldest first; they are forgotten, their memory is not.
    pub(crate) fn take_unmatched(&mut self, mut take: impl FnMut(&Unmatched)) {
        for i in 0..self.n_unmatched {
            let at = (self.first_unmatched + i) % KEEP_UNMATCHED;
            self.unmatched.get(at).into_iter().for_each(&mut take);
        }
        (self.first_unmatched, self.n_unmatched) = (0, 0);
    }
}

/// Runs the steps of a rule. On failure fields are as before: as `kept` says, or fresh.
#[inline]
fn try_rule(rule: &Rule, id: RuleId, work: &mut Work<'_>, kept: Option<&Fields>) -> Option<Flow> {
    let (tags, span) = (work.fields.tags, work.span);
    match work.run(&rule.steps) {
        Ok(flow) => {
            if let Some(trace) = &mut work.trace {
                let verdict = match flow {
                    Flow::Drop => Verdict::Dropped,
                    _ => Verdict::Matched,
                };
                trace.push(id, verdict);
            }
            Some(flow)
        }
        Err(_) => {
            match kept {
                Some(kept) => work.fields.copy_from(kept),
                None => {
                    work.fields.start(&work.stream.owned);
                    work.fields.tags = tags;
                }
            }
            work.span = span;
            if let Some(trace) = &mut work.trace {
                trace.push_failure(id);
            }
            None
        }
    }
}
