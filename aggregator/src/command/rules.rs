//! `tailrace-aggregator rules`: what authors of rules work with.

use std::io::{IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use parsers::{ExampleReport, Problem, RuleId, RuleSet};

mod bench;
mod check;
mod convert;
mod explain;
mod lines;
mod list;
mod new;
mod paint;
mod test;
mod try_lines;
mod unmatched;

use paint::Paint;

/// Work with rule files.
#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// List everything that is wrong with rule files, examples included. Exit code 1 when something is.
    #[command(after_help = check::EXAMPLES)]
    Check {
        /// Files, or folders of `*.yaml`.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Run the examples of rules and show what differs. Exit code 1 when one fails.
    #[command(after_help = test::EXAMPLES)]
    Test(test::TestArgs),
    /// Show what becomes of lines from standard input.
    #[command(after_help = try_lines::EXAMPLES)]
    Try(try_lines::TryArgs),
    /// Tell for each line which rules were tried, and which step failed where and why.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Propose a rule for sample lines from standard input.
    #[command(after_help = new::EXAMPLES)]
    New(new::NewArgs),
    /// Measure rules on their own examples, or on lines from standard input.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
    /// Turn parser definitions of Fluent Bit, Fluentd or Logstash into rules.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::ConvertArgs),
    /// List the rules that ship and the steps there are.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of rule files, for editors.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Show the latest lines that no rule matched, of a running aggregator.
    #[command(after_help = unmatched::EXAMPLES)]
    Unmatched(unmatched::UnmatchedArgs),
}

const SCHEMA_EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules schema > rules.schema.json
  # then, at the top of a rule file, for editors with a YAML language server:
  # yaml-language-server: $schema=./rules.schema.json";

/// Which rules a command works with.
#[derive(Debug, Args)]
struct RuleArgs {
    /// File or folder of rules; may stand several times. Without any, the rules that ship.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// This rule alone. One that ships needs no `--rules`; the name of a format is taken, too.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputChoice {
    /// For people.
    Text,
    /// JSON.
    Json,
}

/// Runs the command; gives whether all is well.
///
/// # Errors
/// When it cannot be carried out.
pub(super) fn run(command: RulesCommand, out: &mut dyn Write) -> anyhow::Result<bool> {
    let paint = Paint::for_stdout();
    match command {
        RulesCommand::Check { paths } => check::run(&paths, paint, out),
        RulesCommand::Test(args) => test::run(&args, paint, out),
        RulesCommand::Try(args) => try_lines::run(&args, paint, out),
        RulesCommand::Explain(args) => explain::run(&args, paint, out),
        RulesCommand::New(args) => new::run(&args, out),
        RulesCommand::Bench(args) => bench::run(&args, paint, out),
        RulesCommand::Convert(args) => convert::run(&args, out),
        RulesCommand::List { json } => list::run(json, out).map(|()| true),
        RulesCommand::Schema => {
            out.write_all(parsers::author::schema().as_bytes())?;
            Ok(true)
        }
        RulesCommand::Unmatched(args) => unmatched::run(&args, out).map(|()| true),
    }
}

impl RuleArgs {
    /// The rules, and the one that is asked for.
    fn load(&self) -> anyhow::Result<(RuleSet, Option<RuleId>)> {
        let set = match self.rules.as_slice() {
            [] => shipped()?,
            paths => {
                there(paths)?;
                RuleSet::load(paths).map_err(|problems| refused(&problems))?
            }
        };
        let Some(name) = &self.rule else {
            return Ok((set, None));
        };
        if let Some(rule) = set.find(name) {
            return Ok((set, Some(rule)));
        }
        // The name of a shipped rule beside `--rules`, or of a format.
        for step in [format!("use: '{name}'"), format!("{name}: {{}}")] {
            let text = format!("name: '{name}'\nsteps:\n  - {step}\n");
            if let Ok(set) = RuleSet::from_texts(&[(Path::new(name), &text)]) {
                let rule = set.find(name);
                return Ok((set, rule));
            }
        }
        let names: Vec<&str> = set.names().collect();
        anyhow::bail!("there is no rule `{name}`; there are: {}", names.join(", "))
    }
}

/// The rules that ship.
fn shipped() -> anyhow::Result<RuleSet> {
    RuleSet::from_texts(&shipped_texts()).map_err(|problems| refused(&problems))
}

fn shipped_texts() -> Vec<(&'static Path, &'static str)> {
    let files = RuleSet::shipped().iter();
    files
        .map(|(name, text)| (Path::new(*name), *text))
        .collect()
}

/// The rules of `paths` (without any: those that ship) with what their examples gave, also when
/// some fail.
fn load_with_examples(paths: &[PathBuf]) -> Result<(RuleSet, Vec<ExampleReport>), Vec<Problem>> {
    match paths {
        [] => RuleSet::from_texts_with_examples(&shipped_texts()),
        paths => RuleSet::load_with_examples(paths),
    }
}

fn refused(problems: &[Problem]) -> anyhow::Error {
    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("cannot use the rules\n{}", list.join("\n"))
}

/// A path that is not there is the caller's mistake, not a rule's.
fn there(paths: &[PathBuf]) -> anyhow::Result<()> {
    for path in paths {
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(())
}

/// Standard input as a whole, for commands that compare lines.
fn standard_input() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    hint_at_terminal();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tells whether standard input is a person, who is told then what is waited for.
#[expect(clippy::print_stderr, reason = "for the person at the terminal")]
fn hint_at_terminal() -> bool {
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        eprintln!("reading log lines; end with Ctrl-D");
    }
    interactive
}
