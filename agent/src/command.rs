//! The command line.

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tailrace-agent --config /etc/tailrace/agent.yaml           run in the foreground
  tailrace-agent --config /etc/tailrace/agent.yaml --check   list all problems of the file
  tailrace-agent --config /etc/tailrace/agent.yaml status    what the running agent does
  tailrace-agent status --address 127.0.0.1:7081 --json      the same for programs

Signals: SIGTERM and SIGINT stop after the answers under way, SIGHUP reads the configuration again.
Logs go to stderr. Exit status: 0 stopped or all well, 1 something failed, 2 wrong usage.";

/// Carries log files to Tailrace aggregators, each line once.
#[derive(Debug, Parser)]
#[command(name = "tailrace-agent", version = faults::version!(), after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "/etc/tailrace/agent.yaml"
    )]
    pub config: PathBuf,

    /// Only check the configuration file.
    #[arg(long)]
    pub check: bool,

    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the agent can do besides running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what the running agent does: files, lag, losses, aggregators.
    Status {
        /// Address of the running agent; by default `listen` of the configuration file, or
        /// 127.0.0.1:7081 where there is none.
        #[arg(long, value_name = "ADDRESS")]
        address: Option<SocketAddr>,
        /// Print the JSON as it is.
        #[arg(long)]
        json: bool,
        /// Most files listed, those with the largest lag first.
        #[arg(long, value_name = "N", default_value_t = 50)]
        files: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        let arguments =
            Arguments::try_parse_from(["tailrace-agent", "status", "--config", "a.yaml"]).unwrap();
        assert_eq!(arguments.config, PathBuf::from("a.yaml"));
        assert!(matches!(
            arguments.command,
            Some(Command::Status { json: false, .. })
        ));
    }
}
