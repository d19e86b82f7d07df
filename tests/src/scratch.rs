//! Temporary directories that stay when a test fails.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A directory for one test. Removed when dropped, unless the thread is panicking or
/// `TAILRACE_KEEP` is set: then it stays, and its path is printed.
#[derive(Debug)]
pub struct Scratch {
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
    is_wanted: bool,
}

impl Scratch {
    /// A fresh directory whose name holds `name`.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("tailrace-{name}-"))
            .tempdir()
            .context("cannot create a temporary directory")?;
        let path = dir.path().to_owned();
        Ok(Self {
            dir: Some(dir),
            path,
            is_wanted: false,
        })
    }

    /// Keeps the directory whatever happens, and tells where it is.
    pub fn keep(&mut self) -> &Path {
        self.is_wanted = true;
        &self.path
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    #[expect(
        clippy::print_stderr,
        reason = "tells whoever reads the failed test where to look"
    )]
    fn drop(&mut self) {
        let wanted = self.is_wanted
            || std::thread::panicking()
            || std::env::var_os("TAILRACE_KEEP").is_some();
        if let Some(dir) = self.dir.take().filter(|_| wanted) {
            eprintln!("kept for inspection: {}", dir.keep().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_when_its_test_fails() {
        let gone = Scratch::new("gone").unwrap().path().to_owned();
        assert!(!gone.exists());
        let (sender, receiver) = std::sync::mpsc::channel();
        let failing = std::thread::spawn(move || {
            let scratch = Scratch::new("kept").unwrap();
            sender.send(scratch.path().to_owned()).unwrap();
            panic!("on purpose: the directory of a failing test stays");
        });
        assert!(failing.join().is_err());
        let kept = receiver.recv().unwrap();
        assert!(kept.exists());
        std::fs::remove_dir(kept).unwrap();
    }
}
