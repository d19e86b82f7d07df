//! What flows, as it is printed: each second, and in all.

use std::{mem, time::Instant};

use ::tests::{http::Http, metrics::Metrics};

/// What has flowed since the start, whichever program was started again in between.
#[derive(Debug)]
pub(crate) struct Figures {
    agent: Http,
    aggregator: Http,
    /// Whether the aggregator keeps the documents, and so knows their number.
    has_own_store: bool,
    lines: Total,
    documents: Total,
    lag_bytes: u64,
    lag_seconds: f64,
    /// Lines, and the time, of the live line before.
    before: (u64, Instant),
}

impl Figures {
    /// Nothing yet.
    pub(crate) fn new(agent: &Http, aggregator: &Http, has_own_store: bool) -> Self {
        Self {
            agent: agent.clone(),
            aggregator: aggregator.clone(),
            has_own_store,
            lines: Total::default(),
            documents: Total::default(),
            lag_bytes: 0,
            lag_seconds: 0.0,
            before: (0, Instant::now()),
        }
    }

    /// The agent was started again.
    pub(crate) fn agent_began_again(&mut self) {
        self.lines.begin_again();
    }

    /// The aggregator was started again.
    pub(crate) fn aggregator_began_again(&mut self) {
        // What its own store holds is no counter of the process.
        if !self.has_own_store {
            self.documents.begin_again();
        }
    }

    /// Asks both programs. What one that does not answer said last stays.
    pub(crate) fn update(&mut self) {
        if let Some(agent) = scrape(&self.agent) {
            self.lines.now = agent.count("tail_lines_read_total", &[]);
            self.lag_bytes = agent.count("agent_lag_bytes", &[]);
            self.lag_seconds = agent.sum("agent_lag_seconds", &[]);
        }
        let documents = match self.has_own_store {
            true => held(&self.aggregator),
            false => scrape(&self.aggregator)
                .map(|aggregator| aggregator.count("store_docs_indexed_total", &[])),
        };
        if let Some(documents) = documents {
            self.documents.now = documents;
        }
    }

    /// The line of this second.
    pub(crate) fn live_line(&mut self) -> String {
        self.update();
        let (lines, now) = (self.lines.all(), Instant::now());
        let (lines_before, then) = mem::replace(&mut self.before, (lines, now));
        let seconds = now.duration_since(then).as_secs_f64().max(0.001);
        let per_second = lines.saturating_sub(lines_before) as f64 / seconds;
        format!(
            "{lines:>9} lines read, {per_second:>6.0} a second, lag {:>8} B {:>5.1} s | {:>9} documents {}",
            self.lag_bytes,
            self.lag_seconds,
            self.documents.all(),
            self.fate(),
        )
    }

    /// What it came to.
    pub(crate) fn summary(&self) -> String {
        format!(
            "in all: {} lines read, {} documents {} (a stack trace is one)",
            self.lines.text(),
            self.documents.text(),
            self.fate(),
        )
    }

    /// What became of documents.
    fn fate(&self) -> &'static str {
        match self.has_own_store {
            true => "held",
            false => "indexed",
        }
    }
}

fn scrape(http: &Http) -> Option<Metrics> {
    let reply = http.get("/metrics").ok()?;
    (reply.status == 200).then(|| Metrics::parse(&reply.text()))
}

/// How many documents the aggregator's own store holds.
fn held(aggregator: &Http) -> Option<u64> {
    let answer = aggregator.get_json("/api/v1/count?from=20y").ok()?;
    answer["count"].as_u64()
}

/// A counter of a program, over its starts: each process counts from 0.
#[derive(Debug, Default)]
struct Total {
    /// Of processes that have ended, as they last said.
    before: u64,
    now: u64,
    is_estimate: bool,
}

impl Total {
    fn all(&self) -> u64 {
        self.before + self.now
    }

    /// What the process did after it was asked last is not known, and may be done again.
    fn begin_again(&mut self) {
        self.before += mem::take(&mut self.now);
        self.is_estimate = true;
    }

    fn text(&self) -> String {
        let about = if self.is_estimate { "about " } else { "" };
        format!("{about}{}", self.all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_goes_on_when_its_program_begins_again() {
        let mut total = Total {
            now: 70,
            ..Total::default()
        };
        assert_eq!(total.text(), "70");
        total.begin_again();
        assert_eq!(total.all(), 70);
        total.now = 5;
        assert_eq!(total.text(), "about 75");
    }
}
