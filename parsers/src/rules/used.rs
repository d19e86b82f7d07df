//! Steps that rules take from others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::RuleSet;
use super::yaml::{self, Node};

/// Steps of rules by their names, for `use`: those of the files at hand, then those that ship.
#[derive(Debug, Default)]
pub(super) struct Library {
    steps: HashMap<String, (PathBuf, Node)>,
}

impl Library {
    pub(super) fn add(&mut self, path: &Path, documents: &[Node]) {
        for node in documents {
            let name = node.member("name").and_then(Node::text);
            if let (Some(name), Some(steps)) = (name, node.member("steps")) {
                self.steps
                    .entry(name.to_owned())
                    .or_insert_with(|| (path.to_owned(), steps.clone()));
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<(PathBuf, Node)> {
        if let Some(found) = self.steps.get(name) {
            return Some(found.clone());
        }
        static SHIPPED: OnceLock<Library> = OnceLock::new();
        let shipped = SHIPPED.get_or_init(|| {
            let mut shipped = Library::default();
            for (file, text) in RuleSet::shipped() {
                shipped.add(Path::new(file), &yaml::documents(text).unwrap_or_default());
            }
            shipped
        });
        shipped.steps.get(name).cloned()
    }
}
