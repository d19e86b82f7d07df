//! What the API asks of the program around it: the way of new lines, and figures.

use serde_json::{Map, Value};
use store::BoxFuture;

/// One line that came over the API.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Service that wrote it.
    pub service: String,
    /// One of the six levels of documents.
    pub level: &'static str,
    /// The text.
    pub message: String,
    /// Further fields.
    pub meta: Map<String, Value>,
    /// When it was written, nanoseconds since the epoch.
    pub time_ns: i64,
    /// Whether its sender says so; else it is when the line came.
    pub is_timed: bool,
}

/// Why lines were not taken. Nothing of them is certain to be kept then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// No room at the moment.
    #[error("{0}")]
    Busy(String),
    /// Not durable within the time-out.
    #[error("the lines were not durable in time: send them again with the same `Idempotency-Key`")]
    Timeout,
    /// The program stops.
    #[error("the aggregator is stopping")]
    Stopping,
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleFigures {
    /// Its name.
    pub name: String,
    /// Counters since the start, where they are kept: lines tried, matched, failed.
    pub counts: Option<[u64; 3]>,
    /// CPU time in seconds, where it is measured.
    pub cpu_seconds: Option<f64>,
}

/// Lines to run through rules.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trial {
    /// A rule file; `None`: the rules in force.
    pub rules: Option<String>,
    /// Lines, without framing.
    pub lines: Vec<String>,
    /// Metadata of the stream.
    pub metadata: Map<String, Value>,
}

/// What became of one line.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialResult {
    /// The rule that matched or dropped it.
    pub rule: Option<String>,
    /// The document; `None` when a rule dropped the line.
    pub document: Option<Value>,
}

/// What is wrong with a rule text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Line from 1; 0 when it is none of a line.
    pub line: u32,
    /// Column from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// The program around the API.
pub trait Pipeline: Send + Sync {
    /// Takes lines the way of every line; resolves when they are durable. The same `key` and lines
    /// make the same documents.
    fn ingest<'a>(
        &'a self,
        lines: Vec<LogLine>,
        key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), IngestError>>;

    /// Whether this `Authorization` header is of an agent's token, which may send lines. False
    /// when agents need none.
    fn is_agent(&self, authorization: Option<&str>) -> bool;

    /// Figures of the program: an object.
    fn status(&self) -> Value;

    /// The rules in force, in the order they are tried.
    fn rules(&self) -> Vec<RuleFigures>;

    /// Why the last reload was refused.
    fn reload_problem(&self) -> Option<String>;

    /// Runs lines through rules and keeps nothing. Takes CPU time: called on a thread for it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the rule text.
    fn try_rules(&self, trial: &Trial) -> Result<Vec<TrialResult>, Vec<RuleProblem>>;
}
