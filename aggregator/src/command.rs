//! The commands of `tailrace-aggregator`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use config::aggregator::{AggregatorConfig, OutputConfig};

use crate::build::Access;

mod audit;
pub mod buffer;
mod dead_letters;
mod rules;
mod run;
mod status;
mod users;

const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator --config aggregator.yaml           run, until SIGTERM
  tailrace-aggregator --config aggregator.yaml --check   list all that is wrong with the file
  tailrace-aggregator status                             what comes in, what is kept, what the store says
  tailrace-aggregator audit --config aggregator.yaml     prove that no stream has a gap or an overlap
  tailrace-aggregator buffer ls ./aggregator-data/outputs/main/main

SIGHUP reloads the configuration and the rules; SIGTERM stops taking batches, answers those in work
and exits.";

/// Takes container logs from agents, joins and parses them, keeps them on disk and loads them into
/// Elasticsearch or OpenSearch.
#[derive(Debug, Parser)]
#[command(name = "tailrace-aggregator", version = faults::version!(), after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the configuration and the rules, list what is wrong with them, and exit.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a running aggregator does.
    Status {
        /// Its address.
        #[arg(long, default_value = "127.0.0.1:7080")]
        address: SocketAddr,
        /// Print the JSON as it comes.
        #[arg(long)]
        json: bool,
    },
    /// Prove from the store that streams have no gap and no overlap. Exit code 1 when they have.
    Audit {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        args: audit::AuditArgs,
    },
    /// Documents that the store refused in every form.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Inspect a disk buffer, of a running aggregator too.
    #[command(subcommand)]
    Buffer(buffer::BufferCommand),
    /// Make the secrets of the users file (`web.users_file`).
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Write rules: check, test and try them, see why a line matched or did not.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
}

#[derive(Debug, Subcommand)]
enum DeadLetters {
    /// Index dead letters again, for instance after a template was mended.
    Replay {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        args: dead_letters::ReplayArgs,
    },
}

/// Which store a command talks to.
#[derive(Debug, Args)]
struct StoreArgs {
    /// The aggregator's configuration file: its outputs say how the store is reached.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the output; the first one by default.
    #[arg(long)]
    output: Option<String>,
}

/// What a shell says of a program that SIGPIPE ended.
const PIPE_CLOSED: u8 = 141;

/// Standard output, and whether its reader has gone: `rules list | head` is no failure to tell of.
#[derive(Debug)]
struct Output<W> {
    inner: W,
    is_closed: bool,
}

impl<W: Write> Output<W> {
    fn note<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        let is_broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        self.is_closed |= result.as_ref().err().is_some_and(is_broken);
        result
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write_all(bytes);
        self.note(written).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.inner.flush();
        self.note(flushed)
    }
}

/// Runs the program: the exit code is 0 when all is well, 1 when a check found something wrong, 2
/// when the command could not be carried out, 141 when nobody reads its output any more.
pub fn main() -> ExitCode {
    let out = &mut Output {
        inner: std::io::stdout().lock(),
        is_closed: false,
    };
    match dispatch(Cli::parse(), out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(_) if out.is_closed => ExitCode::from(PIPE_CLOSED),
        Err(error) => {
            // The log may not be set up, and this is for the person at the terminal.
            drop(writeln!(
                std::io::stderr(),
                "tailrace-aggregator: {error:#}"
            ));
            ExitCode::from(2)
        }
    }
}

fn dispatch(cli: Cli, mut out: &mut dyn Write) -> anyhow::Result<bool> {
    match cli.command {
        None => {
            let path = cli
                .config
                .context("`--config FILE` is missing; `--help` has examples")?;
            let config = load(&path)?;
            if cli.check {
                problems_of(
                    crate::build::RuleSources::of(&config)
                        .load()
                        .map(|rules| rules.len()),
                )?;
                writeln!(out, "{}: ok", path.display())?;
                return Ok(true);
            }
            telemetry::logging::init(log_level(&config.log), log_format(&config.log));
            run::run(&path, config).map(|()| true)
        }
        Some(Command::Status { address, json }) => status::run(address, json, out).map(|()| true),
        Some(Command::Audit { store, args }) => runtime()?
            .block_on(async { audit::run(&*store.connect(Access::Read).await?, &args, out).await }),
        Some(Command::DeadLetters(DeadLetters::Replay { store, args })) => {
            runtime()?.block_on(async {
                dead_letters::replay(&*store.connect(Access::Write).await?, &args, out).await
            })
        }
        Some(Command::Buffer(command)) => buffer::run(command, out),
        Some(Command::Users(command)) => users::run(&command, &mut out),
        Some(Command::Rules(command)) => rules::run(command, out),
    }
}

fn load(path: &Path) -> anyhow::Result<AggregatorConfig> {
    config::load(path, &config::Environment::process())
        .map_err(|problems| anyhow::anyhow!("cannot use the configuration\n{problems}"))
}

fn problems_of<T>(rules: Result<T, Vec<parsers::Problem>>) -> anyhow::Result<T> {
    rules.map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("cannot use the rules\n{}", list.join("\n"))
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

impl StoreArgs {
    /// The chosen output's store.
    async fn connect(&self, access: Access) -> anyhow::Result<std::sync::Arc<dyn store::Store>> {
        let config = load(&self.config)?;
        let output = self.find(&config.outputs)?;
        crate::build::store(&config.data_dir, output, access)
            .await
            .with_context(|| format!("cannot set up the store of output `{}`", output.name))
    }

    fn find<'a>(&self, outputs: &'a [OutputConfig]) -> anyhow::Result<&'a OutputConfig> {
        match &self.output {
            None => outputs.first().context("the configuration has no output"),
            Some(name) => outputs
                .iter()
                .find(|output| output.name == *name)
                .with_context(|| {
                    let names: Vec<&str> =
                        outputs.iter().map(|output| output.name.as_str()).collect();
                    format!(
                        "there is no output `{name}`; there are: {}",
                        names.join(", ")
                    )
                }),
        }
    }
}

fn log_level(log: &config::LogConfig) -> &'static str {
    match log.level {
        config::LogLevel::Error => "error",
        config::LogLevel::Warn => "warn",
        config::LogLevel::Info => "info",
        config::LogLevel::Debug => "debug",
        config::LogLevel::Trace => "trace",
    }
}

fn log_format(log: &config::LogConfig) -> telemetry::logging::Format {
    match log.format {
        config::LogFormat::Text => telemetry::logging::Format::Text,
        config::LogFormat::Json => telemetry::logging::Format::Json,
    }
}
