//! Globs of file paths.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::reader::Reader;
use crate::schema::{Kind, Shown};
use crate::setting::Setting;
use crate::tree::{Node, shorten};

/// A glob that was checked when it was read; relative ones count from the configuration file.
/// `*` and `?` stay within a folder, `**` crosses folders, `{a,b}` and `[a-z]` choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathGlob(String);

impl PathGlob {
    /// Checks a glob. The error says what is wrong.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        match globset::GlobBuilder::new(&text)
            .literal_separator(true)
            .build()
        {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(error.kind().to_string()),
        }
    }

    /// One of our own defaults.
    pub(crate) fn constant(text: &str) -> Self {
        Self::new(text).expect("a default is a valid glob: the tests load all of them")
    }

    /// The glob's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder above the first part that holds a wildcard; the file's folder when none does.
    pub fn folder(&self) -> PathBuf {
        let is_wild = |part: &std::ffi::OsStr| {
            part.to_string_lossy()
                .contains(['*', '?', '[', ']', '{', '}', '\\'])
        };
        let path = Path::new(&self.0);
        let mut folder: PathBuf = path.iter().take_while(|part| !is_wild(part)).collect();
        if folder.as_os_str().len() == path.as_os_str().len() {
            folder.pop();
        }
        folder
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Setting for PathGlob {
    fn kind() -> Kind {
        Kind::Scalar("glob")
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = reader.scalar(node, "a glob like `/var/log/*.log`")?;
        let full = match text.starts_with('/') || text.is_empty() {
            true => text.to_owned(),
            false => {
                // The folder of the file is a name, not a pattern.
                let base = globset::escape(&reader.resolve("").display().to_string());
                let text = text.strip_prefix("./").unwrap_or(text);
                match base.trim_end_matches('/') {
                    "" => text.to_owned(),
                    base => format!("{base}/{text}"),
                }
            }
        };
        match Self::new(full) {
            Ok(glob) => Some(glob),
            Err(error) => {
                let message = format!("expected a glob, got `{}`: {error}", shorten(text));
                reader.problem(node.position, message);
                None
            }
        }
    }

    fn shown(&self) -> Shown {
        Shown::Scalar(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_what_stands_before_wildcards() {
        let cases = [
            ("/var/log/containers/*.log", "/var/log/containers"),
            ("/var/log/pods/*/*/*.log", "/var/log/pods"),
            ("/var/log/syslog", "/var/log"),
            ("/srv/{a,b}/x.log", "/srv"),
            ("*.log", ""),
        ];
        for (glob, folder) in cases {
            assert_eq!(
                PathGlob::new(glob).unwrap().folder(),
                Path::new(folder),
                "{glob}"
            );
        }
        assert!(PathGlob::new("/var/[z-a").is_err());
        assert!(PathGlob::new("").is_err());
    }
}
