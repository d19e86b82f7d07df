//! Java homes of this machine: `JAVA_HOME`, everything under `/usr/lib/jvm`, and `java` on the
//! path. A home counts when it has a compiler, for the rig compiles a class or two.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::bail;

/// A JDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jdk {
    /// Its home.
    pub home: PathBuf,
    /// Its feature version: 17, 21, 25.
    pub version: u32,
}

impl Jdk {
    /// A program of this JDK.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    /// The lowest JDK that is at least `version`; the error names what was found and the way out.
    pub fn at_least(version: u32) -> anyhow::Result<Self> {
        let found = all();
        let fits = found.iter().filter(|jdk| jdk.version >= version);
        match fits.min_by_key(|jdk| jdk.version) {
            Some(jdk) => Ok(jdk.clone()),
            None => bail!(
                "cannot find a JDK {version} or newer: found {}; install one (Debian: \
                 openjdk-{version}-jdk-headless; or any JDK, named by JAVA_HOME)",
                describe(&found)
            ),
        }
    }
}

/// Every JDK found, lowest version first.
pub fn all() -> Vec<Jdk> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Ok(entries) = fs::read_dir("/usr/lib/jvm") {
        homes.extend(entries.flatten().map(|entry| entry.path()));
    }
    for dir in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        let java = fs::canonicalize(dir.join("java")).ok();
        homes.extend(java.and_then(|java| Some(java.parent()?.parent()?.to_owned())));
    }
    let mut found: Vec<Jdk> = homes
        .iter()
        .filter_map(|home| fs::canonicalize(home).ok())
        .filter(|home| home.join("bin/javac").exists())
        .filter_map(|home| {
            Some(Jdk {
                version: version_of(&home)?,
                home,
            })
        })
        .collect();
    found.sort_by(|a, b| (a.version, &a.home).cmp(&(b.version, &b.home)));
    found.dedup();
    found
}

/// The versions in one line.
pub fn describe(found: &[Jdk]) -> String {
    if found.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = found
        .iter()
        .map(|jdk| format!("{} ({})", jdk.version, jdk.home.display()))
        .collect();
    each.join(", ")
}

fn version_of(home: &Path) -> Option<u32> {
    let release = fs::read_to_string(home.join("release")).ok()?;
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    feature_version(line)
}

/// `"17.0.15"` is 17, `"1.8.0_412"` is 8.
fn feature_version(text: &str) -> Option<u32> {
    let mut parts = text.trim_matches('"').split(['.', '_', '-', '+']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_old_and_new() {
        for (text, wanted) in [
            ("\"17.0.15\"", Some(17)),
            ("\"25\"", Some(25)),
            ("\"1.8.0_412\"", Some(8)),
            ("x", None),
        ] {
            assert_eq!(feature_version(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let error = Jdk::at_least(999).unwrap_err().to_string();
        assert!(
            error.contains("JDK 999") && error.contains("install"),
            "{error}"
        );
    }
}
