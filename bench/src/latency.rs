//! How late a line comes: from the `write` that made it to the `_bulk` request that holds its
//! document, both programs between; at a rate that leaves them idle most of the time, so that what
//! is measured is waiting, not work.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::{
    container_log::Iostream,
    kubelet::Kubelet,
    marker,
    null_store::{NullStore, Options},
    peers::Level,
    runs::{Bench, Reader, free_port, pause_until},
};

/// How often and how long lines are written.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Lines a second, in one file.
    pub lines_per_second: u32,
    /// Lines in all.
    pub lines: u32,
}

/// How late the lines came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Half of them came within this time.
    pub p50: Duration,
    /// 99 of 100 did.
    pub p99: Duration,
    /// The last one did.
    pub max: Duration,
    /// Lines that did not come at all.
    pub lost: u64,
}

/// What is missing after this time is lost.
const STUCK: Duration = Duration::from_secs(20);

impl Latency {
    /// From the lateness of each line that came.
    pub fn of(mut late: Vec<Duration>, lines: u32) -> Self {
        late.sort_unstable();
        let at = |share: f64| {
            let idx = (late.len() as f64 * share).ceil() as usize;
            late.get(idx.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
            lost: u64::from(lines) - late.len() as u64,
        }
    }

    /// As a Markdown table.
    pub fn markdown(&self, name: &str, pace: Pace) -> String {
        let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
        format!(
            "| system | lines/s | p50 ms | p99 ms | max ms | lost |\n|---|---:|---:|---:|---:|---:|\n\
             | {name} | {} | {} | {} | {} | {} |\n",
            pace.lines_per_second,
            ms(self.p50),
            ms(self.p99),
            ms(self.max),
            self.lost
        )
    }
}

impl Bench<'_> {
    /// Both programs at their default settings, one file, one write a line.
    pub fn latency(&self, kubelet: &mut Kubelet, pace: Pace) -> anyhow::Result<Latency> {
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(pace.lines),
        })?;
        far_end.keep_times();
        let dir = self.fresh_dir("latency")?;
        let mut container = kubelet
            .container("shop", "late-0", "web")
            .context("cannot create the log file")?;
        let port = free_port()?;
        let mut aggregator = self.start_aggregator(
            &dir,
            port,
            &far_end.url(),
            Level::S2,
            "auto",
            Reader::Agents,
        )?;
        self.wait_listening(&mut aggregator, port)?;
        let mut agent = self.start_agent(&dir, &format!("http://127.0.0.1:{port}"))?;
        let mut written = Vec::with_capacity(pace.lines as usize);
        let begin = Instant::now();
        let mut line = Vec::new();
        for number in 0..pace.lines {
            pause_until(begin + Duration::from_secs(1) * number / pace.lines_per_second);
            line.clear();
            line.extend_from_slice(b"GET /cart ");
            marker::append(&mut line, number);
            // Before the write: nothing that happens in it is left out.
            written.push(Instant::now());
            container
                .log
                .line(Iostream::Stdout, &line)
                .context("cannot write the log file")?;
        }
        let end = Instant::now() + STUCK;
        while far_end.arrived() < Some(u64::from(pace.lines)) && Instant::now() < end {
            agent.check_alive()?;
            aggregator.check_alive()?;
            pause_until(Instant::now() + Duration::from_millis(20));
        }
        let arrivals = far_end.arrivals();
        ensure!(
            arrivals.len() == written.len(),
            "the null store keeps no times"
        );
        let late = written
            .iter()
            .zip(arrivals)
            .filter_map(|(written, arrived)| Some(arrived?.saturating_duration_since(*written)))
            .collect();
        drop((agent, aggregator));
        Ok(Latency::of(late, pace.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_lines_that_came() {
        let late = (1..=100).rev().map(Duration::from_millis).collect();
        let latency = Latency::of(late, 102);
        let ms = |time: Duration| time.as_millis();
        assert_eq!(
            (ms(latency.p50), ms(latency.p99), ms(latency.max)),
            (50, 99, 100)
        );
        assert_eq!(latency.lost, 2);
        let pace = Pace {
            lines_per_second: 1000,
            lines: 102,
        };
        let table = latency.markdown("both", pace);
        assert!(table.ends_with("| both | 1000 | 50 | 99 | 100 | 2 |\n"));
        assert_eq!(Latency::of(Vec::new(), 1).lost, 1);
    }
}
