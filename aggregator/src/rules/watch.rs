//! Notices that rule files have changed, and loads them.
//!
//! Looks instead of listening: inotify says nothing on network file systems and little of the
//! symlinks that Kubernetes swaps under a ConfigMap, and a look at some files each second costs
//! microseconds. A change is acted on when two looks in a row see the same, so that a folder that
//! is being copied is not loaded by halves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::build::RuleSources;
use parsers::{Problem, RuleSet};
use xxhash_rust::xxh3::xxh3_64;

/// Files of a folder that are looked at; rules are a handful.
const MAX_FILES: usize = 10_000;
/// Larger files are known by their metadata alone (an address database, say).
const MAX_HASHED: u64 = 16 << 20;

/// What a look sees of a file: where it really is, and what tells a change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    real: PathBuf,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

type Sight = BTreeMap<PathBuf, Option<Seen>>;

/// Watches the files behind some paths.
#[derive(Debug, Default)]
pub struct RuleWatch {
    /// What the rules in force were loaded from.
    loaded: Option<(Sight, u64)>,
    /// What the last look saw.
    last: Sight,
}

impl RuleWatch {
    /// Takes what is there now for what is in force.
    pub fn new(paths: &[PathBuf]) -> Self {
        let sight = look(paths);
        let content = content(&sight);
        Self {
            loaded: Some((sight.clone(), content)),
            last: sight,
        }
    }

    /// Looks; loads the rules when their files have changed and rest.
    /// `None`: nothing to do.
    ///
    /// # Errors
    /// All problems of the new rules; they are not looked at again until they change once more.
    pub fn poll(&mut self, sources: &RuleSources) -> Option<Result<Arc<RuleSet>, Vec<Problem>>> {
        let sight = look(&sources.paths);
        let rests = std::mem::replace(&mut self.last, sight.clone()) == sight;
        let (loaded, hash) = self.loaded.as_ref()?;
        if !rests || *loaded == sight {
            return None;
        }
        let content = content(&sight);
        let is_same = *hash == content && loaded.keys().eq(sight.keys());
        self.loaded = Some((sight, content));
        if is_same {
            return None;
        }
        Some(sources.load())
    }
}

/// Every file that may matter: those named, and all of the folders named, as tables that rules
/// look up stand beside them.
fn look(paths: &[PathBuf]) -> Sight {
    let mut sight = Sight::new();
    for path in paths {
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries.flatten().take(MAX_FILES) {
                    let file = entry.path();
                    if let Some(seen) = see(&file) {
                        sight.insert(file, Some(seen));
                    }
                }
            }
            Err(_) => {
                let seen = see(path);
                sight.insert(path.clone(), seen);
            }
        }
    }
    sight
}

/// `None` when there is no such file; links are followed.
fn see(file: &Path) -> Option<Seen> {
    let metadata = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    Some(Seen {
        real: fs::canonicalize(file).ok()?,
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// A hash of what the files say.
fn content(sight: &Sight) -> u64 {
    let mut hashes = Vec::new();
    for (file, seen) in sight {
        let hash = match seen {
            Some(seen) if seen.size <= MAX_HASHED => {
                fs::read(file).map_or(0, |bytes| xxh3_64(&bytes))
            }
            Some(seen) => seen.inode ^ seen.size ^ seen.modified.1.cast_unsigned(),
            None => 0,
        };
        hashes.extend_from_slice(&hash.to_le_bytes());
    }
    xxh3_64(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> String {
        format!("name: {name}\nsteps: [{{pattern: '<a> <b>'}}]\n")
    }

    /// The names after the change has rested; `None` when nothing was loaded.
    fn settled(watch: &mut RuleWatch, paths: &[PathBuf]) -> Option<Result<Vec<String>, usize>> {
        let sources = RuleSources {
            paths: paths.to_vec(),
            ..RuleSources::default()
        };
        assert!(
            watch.poll(&sources).is_none(),
            "a change must rest for a look"
        );
        let result = watch.poll(&sources)?;
        assert!(watch.poll(&sources).is_none(), "a change is told once");
        Some(match result {
            Ok(set) => Ok(set.names().map(str::to_owned).collect()),
            Err(problems) => Err(problems.len()),
        })
    }

    #[test]
    fn changes_are_loaded_when_they_rest() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().to_owned()];
        let file = dir.path().join("a.yaml");
        fs::write(&file, rule("a")).unwrap();
        let mut watch = RuleWatch::new(&paths);
        assert_eq!(settled(&mut watch, &paths), None);
        fs::write(&file, rule("b")).unwrap();
        assert_eq!(settled(&mut watch, &paths), Some(Ok(vec!["b".to_owned()])));
        // Written again as it was: nothing to do.
        fs::write(&file, rule("b")).unwrap();
        assert_eq!(settled(&mut watch, &paths), None);
        fs::write(&file, "name: c\nstpes: []\n").unwrap();
        assert_eq!(settled(&mut watch, &paths), Some(Err(2)));
        fs::write(&file, rule("c")).unwrap();
        fs::write(dir.path().join("b.yml"), rule("d")).unwrap();
        let both = vec!["c".to_owned(), "d".to_owned()];
        assert_eq!(settled(&mut watch, &paths), Some(Ok(both)));
        fs::remove_file(&file).unwrap();
        assert_eq!(settled(&mut watch, &paths), Some(Ok(vec!["d".to_owned()])));
    }

    /// As the kubelet updates a ConfigMap: files link into `..data`, itself a link that is swapped.
    #[test]
    fn a_swapped_link_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let make = |version: &str, name: &str| {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("r.yaml"), rule(name)).unwrap();
        };
        let link = |to: &str, from: &str| {
            let new = dir.path().join("..new");
            std::os::unix::fs::symlink(to, &new).unwrap();
            fs::rename(&new, dir.path().join(from)).unwrap();
        };
        make("..1", "one");
        link("..1", "..data");
        link("..data/r.yaml", "r.yaml");
        let paths = [dir.path().to_owned()];
        let mut watch = RuleWatch::new(&paths);
        make("..2", "two");
        link("..2", "..data");
        assert_eq!(
            settled(&mut watch, &paths),
            Some(Ok(vec!["two".to_owned()]))
        );
    }

    #[test]
    fn a_folder_that_comes_later_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("rules")];
        let mut watch = RuleWatch::new(&paths);
        fs::create_dir(&paths[0]).unwrap();
        fs::write(paths[0].join("a.yaml"), rule("a")).unwrap();
        assert_eq!(settled(&mut watch, &paths), Some(Ok(vec!["a".to_owned()])));
    }
}
