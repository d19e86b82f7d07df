//! The cache of server files: `TAILRACE_CACHE`, default `~/.cache/tailrace`, below it `servers/`.
//!
//! A thing is made in a temporary directory beside its place and renamed into it when complete,
//! under a lock, so that parallel tests make it once and an interrupted one leaves nothing half.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// The root of the cache.
pub fn root() -> PathBuf {
    match env::var_os("TAILRACE_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into()))
            .join(".cache/tailrace"),
    }
}

/// Returns `servers/<name>`, made by `make` (which fills the directory it is given) when absent.
pub fn get_or_make(
    name: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let servers = root().join("servers");
    fs::create_dir_all(&servers)
        .with_context(|| format!("cannot create the cache `{}`", servers.display()))?;
    let place = servers.join(name);
    if place.exists() {
        return Ok(place);
    }
    let lock = File::create(servers.join(format!("{name}.lock")))
        .context("cannot create a lock in the cache")?;
    flock(&lock, FlockOperation::LockExclusive).context("cannot lock the cache")?;
    if place.exists() {
        return Ok(place);
    }
    let fresh = tempfile::tempdir_in(&servers).context("cannot create a directory in the cache")?;
    make(fresh.path())?;
    fs::rename(fresh.keep(), &place)
        .with_context(|| format!("cannot rename into the cache: `{}`", place.display()))?;
    Ok(place)
}

/// Runs a tool to its end; its output is the error when it fails.
pub fn run_tool(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot {what}: is `{:?}` installed?", command.get_program()))?;
    if !output.status.success() {
        bail!(
            "cannot {what}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_tool_shows_its_output() {
        let mut shell = Command::new("sh");
        let error = run_tool("try", shell.args(["-c", "echo out; echo err >&2; exit 3"]));
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("out") && text.contains("err") && text.contains('3'),
            "{text}"
        );
    }
}
