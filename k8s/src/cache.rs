//! Pods on disk, so that after a restart files of pods that are gone meanwhile keep their fields,
//! and none has to wait for the API server.
//!
//! One JSON file, replaced as a whole: a crash leaves the old one or the new one. It is a cache: what
//! cannot be read is told and left out.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::pod::Pod;

const FILE: &str = "pods.json";
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    pods: Vec<&'a Pod>,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    #[serde(default)]
    pods: Vec<serde_json::Value>,
}

/// Reads the pods of an earlier run from the folder `dir`; empty where there are none.
///
/// # Errors
/// When the file is there and cannot be used; the agent goes on without it.
pub fn load(dir: &Path) -> io::Result<Vec<Pod>> {
    let text = match fs::read(dir.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let read: Read = serde_json::from_slice(&text).map_err(io::Error::other)?;
    if read.version != VERSION {
        return Err(io::Error::other(format!(
            "its version is {}, known is {VERSION}",
            read.version
        )));
    }
    // One that another version wrote otherwise is learnt again from the server.
    let pods = read.pods.into_iter();
    Ok(pods
        .filter_map(|pod| serde_json::from_value(pod).ok())
        .collect())
}

/// Replaces the file in the folder `dir`.
///
/// # Errors
/// When it cannot be written; the file of before stays.
pub fn store(dir: &Path, pods: &[Arc<Pod>]) -> io::Result<()> {
    let temporary = dir.join(format!("{FILE}.new"));
    let text = serde_json::to_vec(&Written {
        version: VERSION,
        pods: pods.iter().map(Arc::as_ref).collect(),
    })?;
    let mut file = File::create(&temporary)?;
    file.write_all(&text)?;
    // Without it a power cut can leave an empty file behind the rename.
    file.sync_data()?;
    fs::rename(&temporary, dir.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), []);
        let pod = Pod {
            uid: "u".to_owned(),
            name: "web-0".to_owned(),
            labels: [("app".to_owned(), "web \"x\"".to_owned())].into(),
            ..Pod::default()
        };
        store(dir.path(), &[Arc::new(pod.clone())]).unwrap();
        assert_eq!(load(dir.path()).unwrap(), [pod]);
        store(dir.path(), &[]).unwrap();
        assert_eq!(load(dir.path()).unwrap(), []);
    }

    #[test]
    fn damage_is_told_and_costs_the_cache_alone() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", r#"{"version":2,"pods":[]}"#] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert!(load(dir.path()).is_err(), "{text}");
        }
        let text = r#"{"version":1,"pods":[{"uid":7},null]}"#;
        fs::write(dir.path().join(FILE), text).unwrap();
        assert_eq!(load(dir.path()).unwrap(), []);
    }
}
