//! The bearer token: read from its file, and again when the file changes, as Kubernetes renews
//! the tokens that it projects into pods.

use hyper::header::HeaderValue;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How often the file is read again. Tokens are renewed long before they end.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A token file and what it said last.
pub(crate) struct Token {
    path: PathBuf,
    value: Option<HeaderValue>,
    read_at: Option<Instant>,
}

impl Token {
    /// Reads nothing yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            value: None,
            read_at: None,
        }
    }

    /// The value of the `Authorization` header. When the file cannot be read the last token
    /// stands.
    ///
    /// # Errors
    /// When there is none: the file has never been readable, or holds no token.
    pub(crate) fn authorization(&mut self, now: Instant) -> io::Result<HeaderValue> {
        if self.read_at.is_none_or(|at| now - at >= MAX_AGE) {
            match self.read() {
                Ok(value) => {
                    self.value = Some(value);
                    self.read_at = Some(now);
                }
                Err(error) if self.value.is_none() => return Err(error),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "cannot read the token file again, the last token stands");
                    self.read_at = Some(now);
                }
            }
        }
        self.value
            .clone()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The token was refused: it is read again before the next try.
    pub(crate) fn refused(&mut self) {
        self.read_at = None;
    }

    fn read(&self) -> io::Result<HeaderValue> {
        let text = fs::read_to_string(&self.path)?;
        let token = text.trim();
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if token.is_empty() {
            return Err(invalid("the file is empty"));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| invalid("the file holds more than one line or control characters"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_noticed_and_a_missing_one_survived() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut token = Token::new(path.clone());
        let start = Instant::now();
        token.authorization(start).unwrap_err();
        fs::write(&path, "one\n").unwrap();
        assert_eq!(token.authorization(start).unwrap(), "Bearer one");
        fs::write(&path, "two\n").unwrap();
        assert_eq!(token.authorization(start).unwrap(), "Bearer one");
        assert_eq!(token.authorization(start + MAX_AGE).unwrap(), "Bearer two");
        fs::write(&path, "three").unwrap();
        token.refused();
        assert_eq!(
            token.authorization(start + MAX_AGE).unwrap(),
            "Bearer three"
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(
            token.authorization(start + 3 * MAX_AGE).unwrap(),
            "Bearer three"
        );
        fs::write(&path, "a\nb").unwrap();
        Token::new(path).authorization(start).unwrap_err();
    }
}
