//! Finding and reading rule files.

use std::path::{Path, PathBuf};

use crate::Problem;

/// Largest rule file.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The texts of the files that paths stand for: a folder stands for its `*.yaml` and `*.yml` in
/// the order of their names.
pub(super) fn read(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    for path in paths {
        for file in files(path, problems) {
            match read_file(&file) {
                Ok(text) => texts.push((file, text)),
                Err(what) => problems.push(of_file(&file, what)),
            }
        }
    }
    texts
}

/// Texts as they are lent to who reads them.
pub(super) fn lent(texts: &[(PathBuf, String)]) -> Vec<(&Path, &str)> {
    texts
        .iter()
        .map(|(path, text)| (path.as_path(), text.as_str()))
        .collect()
}

/// The rule files that a path stands for.
fn files(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(of_file(path, format!("cannot list the folder: {error}")));
            return Vec::new();
        }
    };
    let is_rules = |file: &PathBuf| file.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files: Vec<_> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(is_rules)
        .collect();
    files.sort();
    files
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|e| format!("cannot read the file: {e}"))?
        .len();
    if size > MAX_FILE {
        return Err(format!(
            "the file is larger than {} MiB",
            MAX_FILE / 1024 / 1024
        ));
    }
    std::fs::read_to_string(path).map_err(|e| format!("cannot read the file: {e}"))
}

fn of_file(path: &Path, what: String) -> Problem {
    Problem {
        file: path.to_owned(),
        line: 0,
        column: 0,
        what,
        hint: None,
    }
}
