//! Makes secrets for the users file.

use std::io::{Read as _, Write};

use anyhow::Context as _;
use clap::Subcommand;

/// Longest password that is read, in bytes.
const MAX_PASSWORD: u64 = 1024;

/// What can be made.
#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Read a password from standard input and print its hash: the last part of a user's line.
    #[command(after_help = "Example:\n  printf %s \"$PASSWORD\" | tailrace-aggregator users hash")]
    Hash,
    /// Make a bearer token: print it, and the secret of its line.
    Token,
}

/// Runs the command.
///
/// # Errors
/// When there is no password, or the output is closed.
pub(super) fn run(command: &UsersCommand, out: &mut impl Write) -> anyhow::Result<bool> {
    match command {
        UsersCommand::Hash => {
            let mut password = String::new();
            std::io::stdin()
                .take(MAX_PASSWORD)
                .read_to_string(&mut password)
                .context("cannot read the password from standard input")?;
            let password = password.trim_end_matches(['\r', '\n']);
            anyhow::ensure!(
                !password.is_empty(),
                "there is no password on standard input"
            );
            let hash = web::hash_password(password).map_err(|error| anyhow::anyhow!("{error}"))?;
            writeln!(out, "{hash}")?;
        }
        UsersCommand::Token => {
            let token = web::new_token();
            writeln!(out, "token:  {token}\nsecret: {}", web::hash_token(&token))?;
        }
    }
    Ok(true)
}
