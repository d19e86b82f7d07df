//! What happened to a record on its way through the rules, for `rules explain`.

use std::fmt;

use super::{Placed, RuleId};
use crate::steps::Failure;

/// All rules that were looked at, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// One entry for each rule up to the one that decided.
    pub rules: Vec<Tried>,
    /// No rule matched, and the line was recognised by itself: `json`, `logfmt` or `stack trace`.
    pub recognised: Option<&'static str>,
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The rule.
    pub rule: RuleId,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A part of `match` does not hold.
    Differs {
        /// The key, `namespace` or `not.contains`.
        part: String,
    },
    /// The text is longer than the rule's budget.
    OverBudget {
        /// The rule's `max_bytes`.
        max_bytes: usize,
    },
    /// A step failed.
    Failed {
        /// The step's key: `regex`.
        step: &'static str,
        /// Line of the rule file, from 1.
        line: usize,
        /// Column of the rule file, from 1.
        column: usize,
        /// Byte of the record's text from which on it is not what it should be. Beyond the
        /// text's end when the step worked on a text that was made of it, decoded say.
        at: usize,
        /// What should be there.
        why: String,
    },
    /// It matched.
    Matched,
    /// It drops the record.
    Dropped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Differs { part } => write!(f, "`{part}` of `match` does not hold"),
            Verdict::OverBudget { max_bytes } => {
                write!(f, "the text is longer than {max_bytes} bytes")
            }
            Verdict::Failed { step, at, why, .. } => {
                write!(f, "`{step}` fails at byte {at}: {why}")
            }
            Verdict::Matched => f.write_str("matched"),
            Verdict::Dropped => f.write_str("dropped"),
        }
    }
}

/// Notes what happens. The innermost failing step says most: those around it only pass it on.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) explanation: Explanation,
    failure: Option<Verdict>,
}

impl Trace {
    pub(crate) fn failed(&mut self, placed: &Placed, failure: Failure, more: Option<String>) {
        if self.failure.is_none() {
            self.failure = Some(Verdict::Failed {
                step: placed.doc.name,
                line: placed.line,
                column: placed.column,
                at: failure.at as usize,
                why: more.unwrap_or_else(|| failure.why.to_owned()),
            });
        }
    }

    /// What the line was taken for when no rule matched.
    pub(crate) fn recognised(&mut self, known: Option<&'static str>) {
        self.explanation.recognised = known;
    }

    /// A step failed, and the rule goes on all the same.
    pub(crate) fn forgive(&mut self) {
        self.failure = None;
    }

    pub(super) fn push(&mut self, rule: RuleId, verdict: Verdict) {
        self.failure = None;
        self.explanation.rules.push(Tried { rule, verdict });
    }

    /// The rule at hand failed.
    pub(super) fn push_failure(&mut self, rule: RuleId) {
        if let Some(verdict) = self.failure.take() {
            self.push(rule, verdict);
        }
    }
}
