//! What is wrong with a rule file, and where.

use std::fmt;
use std::path::PathBuf;

/// One problem of a rule file. Loading collects all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to [`RuleSet::load`](crate::RuleSet::load).
    pub file: PathBuf,
    /// Line, from 1; 0 when the whole file is meant (it cannot be read).
    pub line: usize,
    /// Column, from 1; 0 when the whole file is meant.
    pub column: usize,
    /// What is wrong: lower case, no final period.
    pub what: String,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file.display(),
            self.line,
            self.column,
            self.what
        )?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
