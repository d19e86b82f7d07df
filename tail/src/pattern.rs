//! Include globs, taken apart at their slashes so that only folders that can match are listed.
//!
//! Symlinks are followed, also to folders. `**` stands for any number of folders, at most
//! [`MAX_DEPTH`] deep, so that a link in a circle ends.

use crate::Error;
use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Folders below a `**`; deeper ones are not looked at.
const MAX_DEPTH: u16 = 32;

#[derive(Debug, Clone)]
enum Part {
    Literal(OsString),
    Name(GlobMatcher),
    AnyFolders,
}

/// One include glob.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

/// A folder that is to be looked at for a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) pattern: u16,
    part: u16,
    depth: u16,
}

/// What a name in a folder means to a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A path that the whole glob matches.
    File(PathBuf),
    /// Perhaps a folder, to be looked at in turn.
    Folder(Place),
}

impl Pattern {
    pub(crate) fn new(glob: &str) -> Result<Self, Error> {
        let fail = |reason: &str| Error::Glob {
            glob: glob.to_owned(),
            reason: reason.to_owned(),
        };
        let rest = glob
            .strip_prefix('/')
            .ok_or_else(|| fail("it must be an absolute path"))?;
        let mut parts = Vec::new();
        for part in split_outside_braces(rest) {
            if part.is_empty() {
                continue;
            }
            parts.push(if part == "**" {
                Part::AnyFolders
            } else if part.contains(['*', '?', '[', '{', '\\']) {
                if part.contains('/') {
                    return Err(fail("braces must not span a `/`: write two globs"));
                }
                let glob = GlobBuilder::new(part).literal_separator(true).build();
                Part::Name(
                    glob.map_err(|error| fail(&error.kind().to_string()))?
                        .compile_matcher(),
                )
            } else {
                Part::Literal(part.into())
            });
        }
        match parts.last() {
            None => return Err(fail("it names no file")),
            Some(Part::AnyFolders) => {
                let all = Glob::new("*").map_err(|error| fail(&error.kind().to_string()))?;
                parts.push(Part::Name(all.compile_matcher()));
            }
            Some(_) => {}
        }
        if parts.len() > 64 {
            return Err(fail("it has too many folders"));
        }
        Ok(Self { parts })
    }

    /// Where looking begins: the folder of the first part that is not literal.
    pub(crate) fn start(&self, pattern: u16) -> Place {
        let mut place = Place {
            dir: PathBuf::from("/"),
            pattern,
            part: 0,
            depth: 0,
        };
        for part in self.parts.iter().take(self.parts.len() - 1) {
            let Part::Literal(name) = part else { break };
            place.dir.push(name);
            place.part += 1;
        }
        place
    }

    /// The place whose folder is the parent of a starting place, to wait for the latter there.
    pub(crate) fn before(&self, place: &Place) -> Option<Place> {
        let part = place.part.checked_sub(1)?;
        let is_literal = matches!(self.parts.get(usize::from(part)), Some(Part::Literal(_)));
        let dir = place.dir.parent()?.to_path_buf();
        (is_literal && place.depth == 0).then_some(Place {
            dir,
            part,
            ..*place
        })
    }

    /// What `name` in `place` means. Several answers: `**` also stands for no folder.
    pub(crate) fn look(&self, place: &Place, name: &OsStr, found: &mut Vec<Found>) {
        self.look_at(place, usize::from(place.part), name, found);
    }

    fn look_at(&self, place: &Place, part: usize, name: &OsStr, found: &mut Vec<Found>) {
        let is_last = part + 1 == self.parts.len();
        let child = |part: usize, depth: u16| {
            let part = u16::try_from(part).unwrap_or(u16::MAX);
            Found::Folder(Place {
                dir: place.dir.join(name),
                pattern: place.pattern,
                part,
                depth,
            })
        };
        let matches = match self.parts.get(part) {
            None => return,
            Some(Part::AnyFolders) => {
                if place.depth < MAX_DEPTH {
                    found.push(child(part, place.depth + 1));
                }
                return self.look_at(place, part + 1, name, found);
            }
            Some(Part::Literal(literal)) => literal == name,
            Some(Part::Name(glob)) => glob.is_match(Path::new(name)),
        };
        if matches && is_last {
            found.push(Found::File(place.dir.join(name)));
        } else if matches {
            found.push(child(part + 1, place.depth));
        }
    }

    /// Whether the whole glob matches `path`.
    pub(crate) fn is_match(&self, path: &Path) -> bool {
        let names: Vec<&OsStr> = path.iter().skip(1).collect();
        matches(&self.parts, &names)
    }
}

fn matches(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Part::AnyFolders, rest)), name) => {
            matches(rest, names) || name.is_some_and(|(_, names)| matches(parts, names))
        }
        (Some((Part::Literal(literal), rest)), Some((name, names))) => {
            literal == name && matches(rest, names)
        }
        (Some((Part::Name(glob), rest)), Some((name, names))) => {
            glob.is_match(Path::new(name)) && matches(rest, names)
        }
        _ => false,
    }
}

fn split_outside_braces(glob: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    glob.split(move |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    })
}

/// Compiles the exclude globs.
pub(crate) fn excludes(globs: &[String]) -> Result<GlobSet, Error> {
    let mut set = GlobSetBuilder::new();
    let fail = |glob: &str, error: globset::Error| Error::Glob {
        glob: glob.to_owned(),
        reason: error.kind().to_string(),
    };
    for glob in globs {
        let built = GlobBuilder::new(glob).literal_separator(true).build();
        set.add(built.map_err(|error| fail(glob, error))?);
    }
    set.build().map_err(|error| fail("exclude", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, path: &str, expected: bool) {
        let pattern = Pattern::new(glob).unwrap();
        assert_eq!(pattern.is_match(Path::new(path)), expected, "{glob} {path}");
        // Walking from the start finds the same.
        let path = Path::new(path);
        let mut places = vec![pattern.start(0)];
        let mut reached = false;
        while let Some(place) = places.pop() {
            let Ok(rest) = path.strip_prefix(&place.dir) else {
                continue;
            };
            let Some(name) = rest.iter().next() else {
                continue;
            };
            let mut found = Vec::new();
            pattern.look(&place, name, &mut found);
            for found in found {
                match found {
                    Found::File(file) => reached |= file == path,
                    Found::Folder(place) => places.push(place),
                }
            }
        }
        assert_eq!(reached, expected, "walk: {glob} {}", path.display());
    }

    #[test]
    fn a_walk_finds_what_the_glob_matches() {
        check(
            "/var/log/containers/*.log",
            "/var/log/containers/a.log",
            true,
        );
        check(
            "/var/log/containers/*.log",
            "/var/log/containers/a.log.1",
            false,
        );
        check(
            "/var/log/containers/*.log",
            "/var/log/containers/b/a.log",
            false,
        );
        check("/var/log/pods/*/*/*.log", "/var/log/pods/p/c/0.log", true);
        check("/srv/**/*.log", "/srv/a.log", true);
        check("/srv/**/*.log", "/srv/a/b/c.log", true);
        check("/srv/**/x/*.log", "/srv/x/x/c.log", true);
        check("/srv/**", "/srv/a/b", true);
        check("/srv/{a,b}/*.{log,txt}", "/srv/b/x.txt", true);
        check("/srv/syslog", "/srv/syslog", true);
        check("/srv/syslog", "/srv/syslog2", false);
    }

    #[test]
    fn wrong_globs_are_named() {
        for (glob, reason) in [
            ("relative/*.log", "absolute"),
            ("/", "no file"),
            ("/a/[x", "unclosed"),
            ("/{a/b,c}/d", "two globs"),
        ] {
            let error = Pattern::new(glob).unwrap_err().to_string();
            assert!(error.contains(reason), "{glob}: {error}");
        }
    }
}
