//! `tailrace-agent`: parses arguments and hands over to the library.

use agent::{Arguments, Command};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(&arguments) {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            // A closed pipe (`status | head`) is no failure.
            writeln!(std::io::stdout(), "{text}").ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(std::io::stderr(), "{error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> anyhow::Result<String> {
    match arguments.command {
        Some(Command::Status {
            address,
            json,
            files,
        }) => agent::show_status(&arguments.config, address, json, files),
        None if arguments.check => {
            agent::check(&arguments.config)?;
            Ok(format!("{}: ok", arguments.config.display()))
        }
        None => {
            // Reading, sending and watching are on this thread; what blocks (a name's look-up in files,
            // the cache of pods, the node's journal) is on others.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(agent::run(&arguments.config))?;
            Ok(String::new())
        }
    }
}
