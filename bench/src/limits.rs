//! Limits of this process, which those that it starts inherit.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that a program may have: far more than any workload has, and not so many that
/// daemons which close all of them at their start take long for it.
const MOST_FILES: u64 = 65_536;

/// Raises the limit of open files as a service manager would: those who keep all files of a workload
/// open need more than a shell gives.
pub fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    }
    Ok(())
}
