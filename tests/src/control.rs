//! Steering the fault points of a program that was built with them (`docs/faults.md`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use crate::{program::binary, wait};

/// The control file of one program.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// The control file of the program whose directory is `dir`; nothing is written yet.
    pub fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("faults"),
        }
    }

    /// Gives it to a program that is about to start.
    pub(crate) fn hand_to(&self, command: &mut Command) {
        command.env("TAILRACE_FAULTS", &self.path);
    }

    /// Puts rules in force, in place of those before; counting begins anew. Written whole or not
    /// at all.
    pub fn set(&self, rules: &[&str]) -> anyhow::Result<()> {
        let new = self.path.with_extension("new");
        // A count that makes the text another one, so that the same rules count anew.
        let text = format!("# {}\n{}\n", fastrand::u64(..), rules.join("\n"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.path))
            .with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Ends all faults.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.set(&[])
    }

    /// The points that were struck so far, one a strike.
    pub fn struck(&self) -> Vec<String> {
        let mut path = self.path.clone().into_os_string();
        path.push(".struck");
        let told = fs::read_to_string(path).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    /// Waits until points whose names hold `point` were struck so many times more than `before`.
    pub fn wait_struck(&self, point: &str, before: usize, limit: Duration) -> anyhow::Result<()> {
        wait::until_ok(limit, &format!("a fault at {point}"), || {
            let n_strikes = self.count(point);
            anyhow::ensure!(n_strikes > before, "{n_strikes} so far");
            Ok(())
        })
    }

    /// How often points whose names begin with `point` were struck so far.
    pub fn count(&self, point: &str) -> usize {
        let struck = self.struck();
        struck.iter().filter(|it| it.starts_with(point)).count()
    }
}

/// Fails with advice unless the binaries under test have fault points.
pub fn ensure_faults() -> anyhow::Result<()> {
    for name in ["tailrace-agent", "tailrace-aggregator"] {
        let version = version_of(&binary(name)?)?;
        anyhow::ensure!(
            version.ends_with("+faults"),
            "`{name}` was built without fault points ({version}): run `make faulty`, and set \
             TAILRACE_BIN_DIR to the directory that it names"
        );
    }
    Ok(())
}

/// What a binary says of its version.
pub fn version_of(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run `{}`", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
