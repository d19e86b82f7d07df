//! Named patterns: those of Logstash, with ours in place of some, and a rule's own.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Which names the core patterns give to what they capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flavour {
    /// Those of the Elastic Common Schema: `source.address`.
    #[default]
    Ecs,
    /// Logstash's own: `clientip`.
    Legacy,
}

/// Patterns by name.
#[derive(Debug)]
pub(crate) struct Library {
    patterns: HashMap<String, String>,
    /// Where to look for what is not here.
    base: Option<&'static Library>,
}

macro_rules! files {
    ($flavour:literal: $($name:literal)*) => {
        &[$(include_str!(concat!("../../grok/", $flavour, "/", $name))),*]
    };
}

/// Ours, after the others: the last of a name stands.
const LINEAR: &str = include_str!("../../grok/linear");
const LINEAR_ECS: &str = include_str!("../../grok/linear-ecs-v1");
const LINEAR_LEGACY: &str = include_str!("../../grok/linear-legacy");
const ECS: &[&str] = files!("ecs-v1":
    "aws" "bacula" "bind" "bro" "exim" "firewalls" "grok-patterns" "haproxy" "httpd" "java"
    "junos" "linux-syslog" "maven" "mcollective" "mongodb" "nagios" "postgresql" "rails" "redis"
    "ruby" "squid" "zeek");
const LEGACY: &[&str] = files!("legacy":
    "aws" "bacula" "bind" "bro" "exim" "firewalls" "grok-patterns" "haproxy" "httpd" "java"
    "junos" "linux-syslog" "maven" "mcollective" "mongodb" "nagios" "postgresql" "rails" "redis"
    "ruby" "squid");

impl Library {
    /// The core patterns, read at first use.
    pub(crate) fn core(flavour: Flavour) -> &'static Library {
        static ECS_LIBRARY: OnceLock<Library> = OnceLock::new();
        static LEGACY_LIBRARY: OnceLock<Library> = OnceLock::new();
        let (library, files, own) = match flavour {
            Flavour::Ecs => (&ECS_LIBRARY, ECS, LINEAR_ECS),
            Flavour::Legacy => (&LEGACY_LIBRARY, LEGACY, LINEAR_LEGACY),
        };
        library.get_or_init(|| {
            let mut patterns = HashMap::new();
            for line in files
                .iter()
                .chain(&[LINEAR, own])
                .flat_map(|file| file.lines())
            {
                if let Some((name, pattern)) = definition(line) {
                    patterns.insert(name.to_owned(), pattern.to_owned());
                }
            }
            Library {
                patterns,
                base: None,
            }
        })
    }

    /// The core patterns with a rule's own, which stand in place of those of the same name.
    pub(crate) fn with<'p>(
        flavour: Flavour,
        own: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Library {
        let owned = |(name, pattern): (&str, &str)| (name.to_owned(), pattern.to_owned());
        Library {
            patterns: own.into_iter().map(owned).collect(),
            base: Some(Library::core(flavour)),
        }
    }

    /// The pattern of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let own = self.patterns.get(name).map(String::as_str);
        own.or_else(|| self.base?.get(name))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let base = self.base.map(|base| base.patterns.keys());
        let all = self.patterns.keys().chain(base.into_iter().flatten());
        all.map(String::as_str)
    }
}

/// `NAME pattern`; nothing for empty lines and comments.
fn definition(line: &str) -> Option<(&str, &str)> {
    if line.starts_with('#') {
        return None;
    }
    let (name, pattern) = line.split_once(' ')?;
    Some((name, pattern.trim_start()))
}
