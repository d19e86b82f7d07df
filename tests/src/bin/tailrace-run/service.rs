//! A program that is started again when it ends, as a service manager would.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ::tests::{http::Http, process::Process, program::binary};

use crate::LIMIT;

/// How often a program may end within [`WINDOW`]; once more ends the run.
const MOST_ENDS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// A program with its config, on a port of its own.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    config: PathBuf,
    http: Http,
    process: Process,
    ends: Ends,
}

impl Service {
    /// Starts it; its log goes beside its config.
    pub(crate) fn start(name: &'static str, config: &Path, port: u16) -> anyhow::Result<Self> {
        let http = Http::local(port);
        Ok(Self {
            name,
            config: config.to_owned(),
            process: start(name, config, &http)?,
            http,
            ends: Ends::default(),
        })
    }

    /// A client for it.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// Its process now.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// When it has ended, says so and starts it again with the same config, port and data. Tells
    /// whether it had.
    #[expect(clippy::print_stdout, reason = "tells what becomes of the program")]
    pub(crate) fn revive(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.process.ended() else {
            return Ok(false);
        };
        let name = self.name;
        println!("{name} (process {}) ended, {status}", self.pid());
        anyhow::ensure!(
            self.ends.are_few_with(Instant::now()),
            "{name} ended more than {MOST_ENDS} times within a minute, at last with {status}:\n{}",
            self.process.log_tail()
        );
        self.process = start(name, &self.config, &self.http)?;
        println!("{name} runs again, as process {}", self.pid());
        Ok(true)
    }

    /// Stops it with SIGTERM, unless it has ended.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.terminate(LIMIT).map(|_| ())
    }
}

fn start(name: &str, config: &Path, http: &Http) -> anyhow::Result<Process> {
    let mut command = Command::new(binary(name)?);
    command.arg("--config").arg(config);
    let log = config.with_file_name(format!("{name}.log"));
    let mut process = Process::start(name, &mut command, &log)?;
    process.wait_ready(LIMIT, || http.get_json("/healthz").map(|_| ()))?;
    Ok(process)
}

/// When a program has ended of late.
#[derive(Debug, Default)]
struct Ends(Vec<Instant>);

impl Ends {
    /// Notes one more. Tells whether these are few enough to go on.
    fn are_few_with(&mut self, now: Instant) -> bool {
        self.0.retain(|end| now.duration_since(*end) < WINDOW);
        self.0.push(now);
        self.0.len() <= MOST_ENDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_too_many_within_a_minute_only() {
        let (mut ends, first) = (Ends::default(), Instant::now());
        for n in 0..5 {
            assert!(ends.are_few_with(first + Duration::from_secs(n)));
        }
        assert!(!ends.are_few_with(first + Duration::from_secs(59)));
        assert!(ends.are_few_with(first + Duration::from_secs(64)));
    }
}
