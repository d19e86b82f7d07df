//! Runs, and the table that they are shown in.

use std::{fmt::Write as _, time::Duration};

/// What is loaded, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Ready-made bodies, as they were made.
    AsMade,
    /// The same documents in bodies of 5 MB.
    CutAnew,
    /// The log files, by both programs.
    Tailrace,
}

/// What a run took. CPU is user and system time of all threads and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// What was loaded, and by whom.
    pub what: What,
    /// Bytes of log that the documents are of.
    pub log_bytes: u64,
    /// Documents that the store has now.
    pub documents: u64,
    /// `_bulk` requests.
    pub requests: u64,
    /// Bytes of their bodies before compression.
    pub raw_bytes: u64,
    /// From the first request, or the start of the agent, to the last answer.
    pub wall: Duration,
    /// CPU of the client that posts ready-made bodies; zero where it posts none.
    pub client: Duration,
    /// CPU of the agent, its start included; zero for ready-made bodies.
    pub agent: Duration,
    /// CPU of the aggregator; zero for ready-made bodies.
    pub aggregator: Duration,
    /// CPU of the store up to the last answer.
    pub store_meanwhile: Duration,
    /// CPU of the store until it had merged all that it wanted to.
    pub store: Duration,
}

impl What {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsMade => "ready-made bodies, as Tailrace made them",
            Self::CutAnew => "ready-made bodies, cut at 5 MB",
            Self::Tailrace => "Tailrace",
        }
    }
}

impl Run {
    /// Documents a second.
    pub fn docs_per_second(&self) -> f64 {
        self.documents as f64 / self.wall.as_secs_f64().max(0.001)
    }

    /// CPU of whoever sent.
    fn sender(&self) -> Duration {
        self.client + self.agent + self.aggregator
    }

    /// Microseconds a document.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / (self.documents as f64).max(1.0)
    }

    /// Share of whoever sent in all CPU that was used up to the last answer.
    fn share(&self) -> f64 {
        let sender = self.sender().as_secs_f64();
        sender / (sender + self.store_meanwhile.as_secs_f64()).max(0.001)
    }

    /// Both runs as one.
    fn and(self, other: Self) -> Self {
        Self {
            what: self.what,
            log_bytes: self.log_bytes + other.log_bytes,
            documents: self.documents + other.documents,
            requests: self.requests + other.requests,
            raw_bytes: self.raw_bytes + other.raw_bytes,
            wall: self.wall + other.wall,
            client: self.client + other.client,
            agent: self.agent + other.agent,
            aggregator: self.aggregator + other.aggregator,
            store_meanwhile: self.store_meanwhile + other.store_meanwhile,
            store: self.store + other.store,
        }
    }

    fn row(&self, round: &str, ceiling: Option<&Self>) -> String {
        let mut sender = format!("{:.1}", self.each(self.sender()));
        if self.what == What::Tailrace {
            let (agent, aggregator) = (self.each(self.agent), self.each(self.aggregator));
            write!(sender, " ({agent:.1} + {aggregator:.1})").ok();
        }
        let of_ceiling = ceiling.map_or("–".to_owned(), |ceiling| {
            percent(self.docs_per_second() / ceiling.docs_per_second())
        });
        format!(
            "| {round} | {} | {:.0} | {:.1} | {:.1} | {sender} | {} | {:.1} | {of_ceiling} |\n",
            self.what.name(),
            self.docs_per_second(),
            self.log_bytes as f64 / 1e6 / self.wall.as_secs_f64().max(0.001),
            self.each(self.store),
            percent(self.share()),
            self.raw_bytes as f64 / 1e6 / (self.requests as f64).max(1.0),
        )
    }
}

/// The quickest run of ready-made bodies.
fn ceiling(runs: &[Run]) -> Option<&Run> {
    runs.iter()
        .filter(|run| run.what != What::Tailrace)
        .max_by(|a, b| a.docs_per_second().total_cmp(&b.docs_per_second()))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The runs of all rounds by kind, each kind as one.
fn together(rounds: &[Vec<Run>]) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for run in rounds.iter().flatten() {
        match all.iter_mut().find(|of| of.what == run.what) {
            Some(of) => *of = of.and(*run),
            None => all.push(*run),
        }
    }
    all.sort_by_key(|run| run.what);
    all
}

/// The rounds as a Markdown table, and in words what they come to.
pub fn markdown(rounds: &[Vec<Run>]) -> String {
    let mut out = String::from(
        "| round | what | docs/s | MB of log/s | store µs/doc | sender µs/doc (agent + aggregator) | \
         sender's share of CPU | MB a request | of the ceiling |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (number, runs) in rounds.iter().enumerate() {
        let round = (number + 1).to_string();
        for run in runs {
            out.push_str(&run.row(&round, ceiling(runs)));
        }
    }
    let all = together(rounds);
    if rounds.len() > 1 {
        for run in &all {
            out.push_str(&run.row("all", ceiling(&all)));
        }
    }
    let tailrace = all.iter().find(|run| run.what == What::Tailrace);
    if let (Some(ceiling), Some(tailrace)) = (ceiling(&all), tailrace) {
        writeln!(
            out,
            "\nTailrace reaches {} of the ceiling ({}), ids included. A document costs the store {:.2} \
             times what it costs there; {} of the CPU was Tailrace's.",
            percent(tailrace.docs_per_second() / ceiling.docs_per_second()),
            ceiling.what.name(),
            tailrace.each(tailrace.store) / ceiling.each(ceiling.store).max(0.001),
            percent(tailrace.share())
        )
        .ok();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(what: What, wall_s: u64) -> Run {
        let is_ours = what == What::Tailrace;
        let ms = |ms: u64, is: bool| Duration::from_millis(if is { ms } else { 0 });
        Run {
            what,
            log_bytes: 200_000_000,
            documents: 1_000_000,
            requests: 100,
            raw_bytes: 500_000_000,
            wall: Duration::from_secs(wall_s),
            client: ms(300, !is_ours),
            agent: ms(500, is_ours),
            aggregator: ms(3_500, is_ours),
            store_meanwhile: Duration::from_secs(16),
            store: Duration::from_secs(if is_ours { 21 } else { 20 }),
        }
    }

    #[test]
    fn the_ceiling_is_the_quickest_of_the_ready_made() {
        let round = vec![
            run(What::AsMade, 11),
            run(What::CutAnew, 10),
            run(What::Tailrace, 16),
        ];
        let table = markdown(std::slice::from_ref(&round));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 7, "{table}");
        assert_eq!(
            lines[3],
            "| 1 | ready-made bodies, cut at 5 MB | 100000 | 20.0 | 20.0 | 0.3 | 1.8 % | 5.0 | 100.0 % |"
        );
        assert_eq!(
            lines[4],
            "| 1 | Tailrace | 62500 | 12.5 | 21.0 | 4.0 (0.5 + 3.5) | 20.0 % | 5.0 | 62.5 % |"
        );
        assert_eq!(
            lines[6],
            "Tailrace reaches 62.5 % of the ceiling (ready-made bodies, cut at 5 MB), ids included. \
             A document costs the store 1.05 times what it costs there; 20.0 % of the CPU was \
             Tailrace's."
        );
        let twice = markdown(&[round.clone(), round]);
        assert_eq!(twice.matches("| all |").count(), 3, "{twice}");
        assert_eq!(
            twice.matches("| 62500 | 12.5 | 21.0 |").count(),
            3,
            "{twice}"
        );
    }

    #[test]
    fn a_round_that_was_cut_short_has_no_verdict() {
        let table = markdown(&[vec![run(What::Tailrace, 16)], Vec::new()]);
        assert!(table.ends_with("| 20.0 % | 5.0 | – |\n"), "{table}");
    }
}
