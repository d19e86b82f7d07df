//! The rules in force, seen from outside: what each did, which lines none matched, and whether
//! the files say something else by now.

mod event_rule;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsers::{Parser, Problem, Redaction, RuleCounts, RuleSet, Unmatched};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

pub use event_rule::EventRule;
pub use watch::RuleWatch;

/// Latest unmatched lines that are kept, of all workers together: half a MiB at most, as a line is
/// cut after [`Unmatched::MAX_BYTES`].
const KEEP_UNMATCHED: usize = 256;

/// What is known of the rules in force.
#[derive(Debug, Default)]
pub struct RuleBook {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Names in the order of trying.
    names: Vec<String>,
    /// Figures by name: they go on when a reload keeps the rule.
    counts: BTreeMap<String, RuleCounts>,
    unmatched: VecDeque<Unmatched>,
    /// By which the lines kept were written: no other line may be among them.
    redaction: Option<Arc<Redaction>>,
    /// Why the latest files are not in force.
    problem: Option<String>,
    n_loaded: u64,
    n_refused: u64,
}

impl RuleBook {
    /// A book on `rules`, which are in force from the start.
    pub fn new(rules: &RuleSet) -> Self {
        let book = Self::default();
        book.lock().name(rules);
        book
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `rules` are in force from now on. Rules that are gone take their figures with them.
    pub fn replaced(&self, rules: &RuleSet) {
        let mut inner = self.lock();
        inner.name(rules);
        inner.problem = None;
        inner.n_loaded += 1;
    }

    /// The latest files were refused: what was in force stays.
    pub fn refused(&self, problems: &[Problem]) {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let mut inner = self.lock();
        inner.problem = Some(list.join("\n"));
        inner.n_refused += 1;
    }

    /// Why the latest files are not in force; `None` when they are.
    pub fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Takes what `parser` has counted and kept since the last time. Once a batch: a lock, and
    /// work only for rules that were tried.
    pub fn note(&self, parser: &mut Parser) {
        let rules = Arc::clone(parser.rules());
        let mut inner = self.lock();
        parser.take_counts(|rule, counts| {
            let name = rules.name(rule);
            // A worker may finish a batch by rules that were replaced meanwhile.
            if let Some(sum) = inner.counts.get_mut(name) {
                sum.tried += counts.tried;
                sum.matched += counts.matched;
                sum.dropped += counts.dropped;
                sum.failed += counts.failed;
                sum.over_budget += counts.over_budget;
                sum.cpu_ns = sum.cpu_ns.saturating_add(counts.cpu_ns);
            }
        });
        // What a worker kept before secrets were replaced, or other ones, must not come in after.
        let is_redacted = rules.redaction() == inner.redaction.as_ref();
        parser.take_unmatched(|line| {
            if !is_redacted {
                return;
            }
            if inner.unmatched.len() >= KEEP_UNMATCHED {
                inner.unmatched.pop_front();
            }
            inner.unmatched.push_back(line.clone());
        });
    }

    /// For `/status`: the rules with their figures, in the order they are tried.
    pub fn json(&self) -> Value {
        let inner = self.lock();
        let rules: Vec<Value> = inner
            .names
            .iter()
            .map(|name| {
                let counts = inner.counts.get(name).copied().unwrap_or_default();
                json!({
                    "name": name,
                    "tried": counts.tried,
                    "matched": counts.matched,
                    "dropped": counts.dropped,
                    "failed": counts.failed,
                    "over_budget": counts.over_budget,
                    "cpu_ms": counts.cpu_ns / 1_000_000,
                })
            })
            .collect();
        json!({"problem": inner.problem, "unmatched_kept": inner.unmatched.len(), "list": rules})
    }

    /// The latest lines that no rule matched, oldest first.
    pub fn unmatched(&self) -> Vec<Unmatched> {
        self.lock().unmatched.iter().cloned().collect()
    }

    /// [`RuleBook::unmatched`] as JSON.
    pub fn unmatched_json(&self) -> Value {
        let lines: Vec<Value> = self
            .unmatched()
            .iter()
            .map(|line| {
                let time = jiff::Timestamp::from_nanosecond(i128::from(line.now_ns));
                json!({
                    "time": time.unwrap_or_default().to_string(),
                    "namespace": line.namespace,
                    "origin": line.origin,
                    "container": line.container,
                    "line": String::from_utf8_lossy(&line.line),
                })
            })
            .collect();
        json!({"lines": lines})
    }

    /// Adds the figures to `registry`.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(Figures(Arc::clone(self))));
    }
}

impl Inner {
    fn name(&mut self, rules: &RuleSet) {
        self.names = rules.names().map(str::to_owned).collect();
        let mut counts = std::mem::take(&mut self.counts);
        let kept = self
            .names
            .iter()
            .map(|name| (name.clone(), counts.remove(name).unwrap_or_default()));
        self.counts = kept.collect();
        if rules.redaction() != self.redaction.as_ref() {
            self.unmatched.clear();
            self.redaction = rules.redaction().cloned();
        }
    }
}

#[derive(Debug)]
struct Figures(Arc<RuleBook>);

/// Name, help and value of one counter.
type Counter = (&'static str, &'static str, fn(&RuleCounts) -> u64);

const COUNTERS: [Counter; 5] = [
    (
        "tailrace_rule_tried",
        "Records whose `match` held, by rule",
        |counts| counts.tried,
    ),
    (
        "tailrace_rule_matched",
        "Records that a rule matched, dropped ones included, by rule",
        |counts| counts.matched,
    ),
    (
        "tailrace_rule_dropped",
        "Records that a rule dropped on purpose, by rule",
        |counts| counts.dropped,
    ),
    (
        "tailrace_rule_failed",
        "Records on which a step failed, by rule",
        |counts| counts.failed,
    ),
    (
        "tailrace_rule_over_budget",
        "Records longer than a rule's `max_bytes`, by rule",
        |counts| counts.over_budget,
    ),
];

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let inner = self.0.lock();
        for (name, help, value) in COUNTERS {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (rule, counts) in &inner.counts {
                let counter = ConstCounter::new(value(counts));
                counter.encode(family.encode_family(&[("rule", rule.as_str())])?)?;
            }
        }
        let kind = ConstCounter::new(0f64).metric_type();
        let help = "CPU time of a rule, estimated from one record in 64, by rule";
        let mut family =
            encoder.encode_descriptor("tailrace_rule_cpu_seconds", help, None, kind)?;
        for (rule, counts) in &inner.counts {
            let counter = ConstCounter::new(counts.cpu_ns as f64 / 1e9);
            counter.encode(family.encode_family(&[("rule", rule.as_str())])?)?;
        }
        for (name, help, value) in [
            (
                "tailrace_rules_loads",
                "Rule sets put in force after the start",
                inner.n_loaded,
            ),
            (
                "tailrace_rules_refused",
                "Rule sets refused while the old one stayed in force",
                inner.n_refused,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        for (name, help, value) in [
            ("tailrace_rules", "Rules in force", inner.names.len()),
            (
                "tailrace_rules_stale",
                "1 while the latest rule files are refused and an older set is in force",
                usize::from(inner.problem.is_some()),
            ),
            (
                "tailrace_rules_unmatched_kept",
                "Latest unmatched lines that are kept to write rules for",
                inner.unmatched.len(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
