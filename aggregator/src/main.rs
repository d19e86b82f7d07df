//! `tailrace-aggregator`: reads arguments and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    aggregator::command::main()
}
