//! The bearer token of a file that is replaced as the token is renewed: those that Kubernetes projects
//! into pods, for its API server and for others.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::Instant;
use tracing::warn;

/// How often the file is read again, when something is asked. The kubelet renews tokens minutes before
/// they end.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A token's file, and what it said last. Read when a token is asked for, and not before: files may
/// come late.
///
/// The crate `kube` would read it as well, but takes it as it is: the newline that an editor or a Secret
/// made by hand leaves at its end is none of the token, and cannot stand in a header.
#[derive(Debug)]
pub struct Token {
    path: PathBuf,
    value: Option<HeaderValue>,
    read_at: Option<Instant>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the token in `{}`: {why}", .path.display())]
pub struct TokenError {
    path: PathBuf,
    why: String,
}

impl Token {
    /// The token of a file. Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            value: None,
            read_at: None,
        }
    }

    /// The value of the header `Authorization`. Once there was one there always is: while the file
    /// cannot be read the last token stands.
    ///
    /// # Errors
    /// When there is none: the file could never be read, or holds no token. The next call reads it again.
    pub fn authorization(&mut self, now: Instant) -> Result<HeaderValue, TokenError> {
        let is_fresh = self.read_at.is_some_and(|at| now < at + MAX_AGE);
        if let Some(value) = self.value.as_ref().filter(|_| is_fresh) {
            return Ok(value.clone());
        }
        let value = match (read(&self.path), &self.value) {
            (Ok(value), _) => value,
            (Err(error), Some(last)) => {
                warn!(%error, "the last token stands");
                last.clone()
            }
            (Err(error), None) => return Err(error),
        };
        self.value = Some(value.clone());
        self.read_at = Some(now);
        Ok(value)
    }

    /// The token was refused: the file is read again before the next try.
    pub fn refused(&mut self) {
        self.read_at = None;
    }
}

fn read(path: &Path) -> Result<HeaderValue, TokenError> {
    let cannot = |why: String| TokenError {
        path: path.to_owned(),
        why,
    };
    let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(cannot("the file is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| cannot("it has more than one line or control characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newline at the end of the file made every request fail.
    #[test]
    fn a_token_is_the_files_text_without_space_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let start = Instant::now();
        let first = || Token::new(path.clone()).authorization(start);
        let error = first().unwrap_err().to_string();
        assert!(error.contains("cannot use the token in"), "{error}");
        for text in ["", "\n", "a\nb", "a\u{7f}"] {
            fs::write(&path, text).unwrap();
            assert!(first().is_err(), "{text:?}");
        }
        for text in ["one", "one\n", "one\r\n", " one \n\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(first().unwrap(), "Bearer one", "{text:?}");
        }
    }

    #[test]
    fn a_renewed_token_is_taken_and_a_missing_file_survived() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let start = Instant::now();
        fs::write(&path, "one\n").unwrap();
        let mut token = Token::new(path.clone());
        let mut after = |ages: u32| token.authorization(start + ages * MAX_AGE).unwrap();
        assert_eq!(after(0), "Bearer one");
        fs::write(&path, "two\n").unwrap();
        assert_eq!(after(0), "Bearer one");
        assert_eq!(after(1), "Bearer two");
        fs::remove_file(&path).unwrap();
        assert_eq!(after(2), "Bearer two");
        fs::write(&path, "three\n").unwrap();
        assert_eq!(after(3), "Bearer three");
    }

    #[test]
    fn a_late_file_is_read_at_once_and_a_refused_token_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut token = Token::new(path.clone());
        let start = Instant::now();
        token.authorization(start).unwrap_err();
        fs::write(&path, "one\n").unwrap();
        assert_eq!(token.authorization(start).unwrap(), "Bearer one");
        fs::write(&path, "two").unwrap();
        assert_eq!(token.authorization(start).unwrap(), "Bearer one");
        token.refused();
        assert_eq!(token.authorization(start).unwrap(), "Bearer two");
        token.refused();
        fs::remove_file(&path).unwrap();
        assert_eq!(token.authorization(start).unwrap(), "Bearer two");
    }
}
