//! Other software for the same work: which programs, with which configuration file of
//! `bench/peers/`, and what of the work each does.
//!
//! Files are templates, compiled in, so that an installed program needs no source folder. A peer
//! that is not on the PATH is left out; nothing here fetches one.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::ValueEnum;

/// What is done with a line before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// The runtime's framing is taken off, and the line is shipped as it is.
    S1,
    /// Access logs and JSON become fields, and traces are joined.
    S2,
}

impl Level {
    /// `S1` or `S2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
        }
    }
}

/// A peer's configuration for one level.
#[derive(Debug)]
pub struct Template {
    /// Its name, as the peer expects one.
    pub file: &'static str,
    /// Its text, with places to be filled.
    pub text: &'static str,
    /// What the row of the table says of it.
    pub does: &'static str,
    /// Loadable modules that it needs, where a program alone does not tell that they are there.
    pub modules: &'static [&'static str],
}

/// A way to compress bodies.
#[derive(Debug, PartialEq, Eq)]
pub struct Compression {
    /// `none`, `gzip` or `zstd`.
    pub name: &'static str,
    /// What stands for it in the configuration.
    pub word: &'static str,
}

/// Other software.
#[derive(Debug)]
pub struct Peer {
    /// What it is called, on the command line too.
    pub name: &'static str,
    /// What its program may be called.
    pub programs: &'static [&'static str],
    /// Arguments, with places to be filled. Without any, the lines of the template are them.
    pub args: &'static [&'static str],
    /// Environment, likewise.
    pub env: &'static [(&'static str, &'static str)],
    /// What it can compress with, the cheapest first.
    pub compressions: &'static [Compression],
    /// The line shipped as it is.
    pub s1: Template,
    /// Lines parsed, where the peer can.
    pub s2: Option<Template>,
}

const fn none(word: &'static str) -> Compression {
    let name = "none";
    Compression { name, word }
}

const fn gzip(word: &'static str) -> Compression {
    let name = "gzip";
    Compression { name, word }
}

const fn zstd(word: &'static str) -> Compression {
    let name = "zstd";
    Compression { name, word }
}

/// Where rsyslog's modules lie.
const MODULE_DIRS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/rsyslog",
    "/usr/lib/aarch64-linux-gnu/rsyslog",
    "/usr/lib/rsyslog",
    "/usr/lib64/rsyslog",
];

/// All peers, in the order of the table.
pub static PEERS: &[Peer] = &[
    Peer {
        name: "rsyslog",
        programs: &["rsyslogd"],
        args: &["-n", "-f", "@CONFIG@", "-i", "@STATE@/pid"],
        env: &[],
        compressions: &[none("")],
        s1: Template {
            file: "rsyslog.conf",
            text: include_str!("../peers/rsyslog.conf"),
            does: "partial lines not joined",
            modules: &["imfile.so", "omelasticsearch.so"],
        },
        s2: Some(Template {
            file: "rsyslog.conf",
            text: include_str!("../peers/rsyslog-s2.conf"),
            does: "nothing joined",
            modules: &["imfile.so", "mmnormalize.so", "omelasticsearch.so"],
        }),
    },
    Peer {
        name: "fluent-bit",
        programs: &["fluent-bit"],
        args: &["-c", "@CONFIG@"],
        env: &[],
        compressions: &[none(""), gzip("compress: gzip")],
        s1: Template {
            file: "fluent-bit.yaml",
            text: include_str!("../peers/fluent-bit.yaml"),
            does: "whole",
            modules: &[],
        },
        s2: Some(Template {
            file: "fluent-bit.yaml",
            text: include_str!("../peers/fluent-bit-s2.yaml"),
            does: "traces joined within a chunk",
            modules: &[],
        }),
    },
    Peer {
        name: "vector",
        programs: &["vector"],
        args: &["--config", "@CONFIG@"],
        env: &[("VECTOR_LOG", "warn")],
        compressions: &[none("none"), gzip("gzip")],
        s1: Template {
            file: "vector.yaml",
            text: include_str!("../peers/vector.yaml"),
            does: "partial lines not joined",
            modules: &[],
        },
        s2: Some(Template {
            file: "vector.yaml",
            text: include_str!("../peers/vector-s2.yaml"),
            does: "nothing joined",
            modules: &[],
        }),
    },
    Peer {
        name: "filebeat",
        programs: &["filebeat"],
        args: &[
            "-e",
            "--strict.perms=false",
            "--path.home",
            "@STATE@",
            "-c",
            "@CONFIG@",
        ],
        env: &[],
        compressions: &[none("0"), gzip("1")],
        s1: Template {
            file: "filebeat.yml",
            text: include_str!("../peers/filebeat.yml"),
            does: "whole",
            modules: &[],
        },
        s2: Some(Template {
            file: "filebeat.yml",
            text: include_str!("../peers/filebeat-s2.yml"),
            does: "nginx by dissect",
            modules: &[],
        }),
    },
    Peer {
        name: "otelcol",
        programs: &["otelcol-contrib", "otelcol"],
        args: &["--config", "@CONFIG@"],
        env: &[],
        compressions: &[none("none"), gzip("gzip")],
        s1: Template {
            file: "otelcol.yaml",
            text: include_str!("../peers/otelcol.yaml"),
            does: "whole",
            modules: &[],
        },
        s2: Some(Template {
            file: "otelcol.yaml",
            text: include_str!("../peers/otelcol-s2.yaml"),
            does: "the body kept beside the fields",
            modules: &[],
        }),
    },
    Peer {
        name: "vlagent",
        programs: &["vlagent", "vlagent-prod"],
        args: &[],
        env: &[],
        compressions: &[zstd("")],
        s1: Template {
            file: "vlagent.flags",
            text: include_str!("../peers/vlagent.flags"),
            does: "CRI not decoded; JSON lines",
            modules: &[],
        },
        s2: None,
    },
    Peer {
        name: "syslog-ng",
        programs: &["syslog-ng"],
        args: &[
            "--foreground",
            "--no-caps",
            "--cfgfile",
            "@CONFIG@",
            "--persist-file",
            "@STATE@/persist",
            "--pidfile",
            "@STATE@/pid",
            "--control",
            "@STATE@/control",
        ],
        env: &[],
        compressions: &[none("")],
        s1: Template {
            file: "syslog-ng.conf",
            text: include_str!("../peers/syslog-ng.conf"),
            does: "partial lines not joined",
            modules: &[],
        },
        s2: Some(Template {
            file: "syslog-ng.conf",
            text: include_str!("../peers/syslog-ng-s2.conf"),
            does: "nothing joined",
            modules: &[],
        }),
    },
];

impl Peer {
    /// Its configuration for `level`, if it can do that.
    pub fn template(&self, level: Level) -> Option<&Template> {
        match level {
            Level::S1 => Some(&self.s1),
            Level::S2 => self.s2.as_ref(),
        }
    }

    /// How it compresses when Tailrace does by `wanted`: for `auto` its cheapest way.
    pub fn compression(&self, wanted: &str) -> Option<&'static Compression> {
        match wanted {
            "auto" => self.compressions.first(),
            _ => self.compressions.iter().find(|one| one.name == wanted),
        }
    }

    /// Where its program is: on the PATH, or where Debian puts daemons.
    pub fn find(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
        dirs.push(PathBuf::from("/usr/sbin"));
        self.programs
            .iter()
            .flat_map(|program| dirs.iter().map(move |dir| dir.join(program)))
            .find(|file| file.is_file())
            .and_then(|file| std::path::absolute(file).ok())
    }
}

impl Template {
    /// A module that is needed and not there.
    pub fn missing_module(&self) -> Option<&'static str> {
        self.modules.iter().copied().find(|module| {
            !MODULE_DIRS
                .iter()
                .any(|dir| Path::new(dir).join(module).is_file())
        })
    }
}

/// What the places of a template stand for.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) glob: &'a str,
    pub(crate) config: &'a Path,
    pub(crate) state: &'a Path,
    pub(crate) port: u16,
    pub(crate) free_port: u16,
    pub(crate) compression: &'a str,
}

impl Places<'_> {
    /// `text` with its places filled.
    pub(crate) fn fill(&self, text: &str) -> anyhow::Result<String> {
        let dir = Path::new(self.glob)
            .parent()
            .context("the glob has no folder")?;
        Ok(text
            .replace("@GLOB@", self.glob)
            .replace("@DIR@", &dir.display().to_string())
            .replace("@CONFIG@", &self.config.display().to_string())
            .replace("@STATE@", &self.state.display().to_string())
            .replace("@PORT@", &self.port.to_string())
            .replace("@FREE_PORT@", &self.free_port.to_string())
            .replace("@COMPRESSION@", self.compression))
    }
}

/// The arguments that a file of flags holds: one a line, but for comments.
pub(crate) fn flags(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(compression: &str) -> Places<'_> {
        Places {
            glob: "/logs/containers/*.log",
            config: Path::new("/run/config"),
            state: Path::new("/run/state"),
            port: 9200,
            free_port: 1234,
            compression,
        }
    }

    /// What looks like a place that nobody filled: capitals between two `@`.
    fn unfilled(text: &str) -> Option<&str> {
        let is_name = |part: &&str| {
            let mut bytes = part.bytes();
            !part.is_empty() && bytes.all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        text.split('@').find(is_name)
    }

    #[test]
    fn every_place_of_every_template_is_filled() {
        for peer in PEERS {
            for compression in peer.compressions {
                let places = places(compression.word);
                for template in [Some(&peer.s1), peer.s2.as_ref()].into_iter().flatten() {
                    let text = places.fill(template.text).unwrap();
                    assert_eq!(unfilled(&text), None, "{} of {}", template.file, peer.name);
                    assert!(
                        text.contains("9200") && text.contains("/logs/containers"),
                        "{} of {}",
                        template.file,
                        peer.name
                    );
                }
                for arg in peer.args {
                    assert_eq!(unfilled(&places.fill(arg).unwrap()), None);
                }
            }
        }
    }

    #[test]
    fn a_peer_compresses_as_it_can() {
        let fluent_bit = PEERS.iter().find(|peer| peer.name == "fluent-bit").unwrap();
        assert_eq!(fluent_bit.compression("auto").unwrap().name, "none");
        assert_eq!(
            fluent_bit.compression("gzip").unwrap().word,
            "compress: gzip"
        );
        assert_eq!(fluent_bit.compression("zstd"), None);
    }

    #[test]
    fn a_file_of_flags_is_its_lines_without_comments() {
        assert_eq!(flags("# why\n-a=b c\n\n  -d\n"), ["-a=b c", "-d"]);
    }
}
