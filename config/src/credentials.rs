//! Passwords and tokens: given in the file, by `${ENV}`, or in a file of their own that may change.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::reader::Reader;
use crate::schema::{Kind, Shown};
use crate::setting::Setting;
use crate::tree::Node;

/// A larger secret file is a mistake in the path.
const MAX_SECRET: u64 = 64 << 10;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    fn kind() -> Kind {
        Kind::Scalar("secret")
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = reader.scalar(node, "a secret")?;
        if let Err(error) = usable(text) {
            reader.problem(node.position, error.to_owned());
            return None;
        }
        Some(Self(text.to_owned()))
    }

    fn shown(&self) -> Shown {
        Shown::Absent
    }
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    None,
    /// `Authorization: Basic`.
    Basic {
        /// Name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `Authorization: ApiKey`, the encoded form (`id:key` in base64).
    ApiKey(Secret),
    /// `Authorization: Bearer`.
    Token(Secret),
}

/// Why a secret file gives no secret.
#[derive(Debug, thiserror::Error)]
#[error("cannot read secret `{path}`: {reason}")]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// Reads a secret from its file, white space around it removed. Fails when it cannot be read, is
/// empty, longer than 64 KiB or holds control characters. Call it again when the file may have
/// changed (Kubernetes renews mounted secrets).
pub fn read_secret_file(path: &Path) -> Result<Secret, SecretError> {
    let fail = |reason: String| SecretError {
        path: path.to_owned(),
        reason,
    };
    let meta = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?;
    if !meta.is_file() {
        return Err(fail("not a file".to_owned()));
    }
    if meta.len() > MAX_SECRET {
        return Err(fail("larger than 64KiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("not UTF-8".to_owned()))?;
    let text = text.trim();
    usable(text).map_err(|e| fail(e.to_owned()))?;
    Ok(Secret(text.to_owned()))
}

/// A secret goes into a header, so it must hold nothing that ends one.
fn usable(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the secret is empty");
    }
    if text.contains(char::is_control) {
        return Err("the secret holds control characters");
    }
    Ok(())
}
