//! The table of a node's pods: as the server tells them, and those it has deleted for as long as
//! their files are read.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::pod::Pod;

/// Most pods that are kept after their deletion; the oldest go first. A node has 110 at a time, and
/// files of a deleted pod are gone within minutes unless aggregators are away.
const MAX_DELETED: usize = 2_000;

/// What a log file's path says of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name of the pod.
    pub pod: &'a str,
    /// Uid of the pod's log folder, where the path has it.
    pub uid: Option<&'a str>,
}

/// The pods of a node. Clones share one table.
#[derive(Debug, Clone, Default)]
pub struct Pods(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    by_uid: HashMap<String, Entry>,
    /// Of each namespace and name, the uid that was told last.
    by_name: HashMap<(String, String), String>,
    /// Uid of the log folder to uid in the API, where they differ.
    by_folder: HashMap<String, String>,
    /// Uids of the list that is being told.
    listed: Option<HashSet<String>>,
    /// A list was told as a whole.
    is_synced: bool,
    /// Differs from what the cache on disk has.
    is_changed: bool,
    n_deletions: u64,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    /// When it was deleted, as a running number.
    deleted: Option<u64>,
}

impl Pods {
    /// A table with pods of an earlier run, which are there until a list says otherwise.
    pub fn restored(pods: Vec<Pod>) -> Self {
        let this = Self::default();
        let mut table = this.lock();
        for pod in pods {
            table.put(pod);
        }
        table.is_changed = false;
        drop(table);
        this
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change since the last call: of a pod, or of which are there.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// A pod is there, or changed.
    pub fn apply(&self, pod: Pod) {
        let mut table = self.lock();
        if let Some(listed) = &mut table.listed {
            listed.insert(pod.uid.clone());
        }
        table.put(pod);
        drop(table);
        self.0.changed.notify_one();
    }

    /// A pod was deleted. It stays for as long as its files are read.
    pub fn delete(&self, uid: &str) {
        self.lock().mark_deleted(uid);
        self.0.changed.notify_one();
    }

    /// A list begins: [`Pods::apply`] tells its pods.
    pub fn begin_list(&self) {
        self.lock().listed = Some(HashSet::new());
    }

    /// The list is whole: what it lacks was deleted.
    pub fn end_list(&self) {
        let mut table = self.lock();
        let listed = table.listed.take().unwrap_or_default();
        let gone: Vec<String> = table
            .by_uid
            .iter()
            .filter(|(uid, entry)| entry.deleted.is_none() && !listed.contains(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            table.mark_deleted(&uid);
        }
        table.is_synced = true;
        drop(table);
        self.0.changed.notify_one();
    }

    /// Whether a list was told as a whole since the start.
    pub fn is_synced(&self) -> bool {
        self.lock().is_synced
    }

    /// The pod of a log file. By the uid where the path has one: a pod of a StatefulSet has the
    /// name of the one before it.
    pub fn find(&self, place: Place<'_>) -> Option<Arc<Pod>> {
        let table = self.lock();
        let entry = match place.uid {
            Some(uid) => {
                let uid = table.by_folder.get(uid).map_or(uid, String::as_str);
                table.by_uid.get(uid)?
            }
            None => {
                let name = (place.namespace.to_owned(), place.pod.to_owned());
                table.by_uid.get(table.by_name.get(&name)?)?
            }
        };
        Some(Arc::clone(&entry.pod))
    }

    /// Number of pods that are there, and of those that are kept after their deletion.
    pub fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        let n_deleted = table
            .by_uid
            .values()
            .filter(|it| it.deleted.is_some())
            .count();
        (table.by_uid.len() - n_deleted, n_deleted)
    }

    /// Forgets deleted pods that `is_read` does not know any more.
    pub fn prune(&self, is_read: impl Fn(&Pod) -> bool) {
        let mut table = self.lock();
        let gone: Vec<String> = table
            .by_uid
            .iter()
            .filter(|(_, entry)| entry.deleted.is_some() && !is_read(&entry.pod))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            table.forget(&uid);
        }
        drop(table);
        self.0.changed.notify_one();
    }

    /// All pods for the cache on disk, when something changed since the last call.
    pub fn take_changed(&self) -> Option<Vec<Arc<Pod>>> {
        let mut table = self.lock();
        if !std::mem::take(&mut table.is_changed) {
            return None;
        }
        let mut pods: Vec<Arc<Pod>> = table
            .by_uid
            .values()
            .map(|entry| Arc::clone(&entry.pod))
            .collect();
        pods.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
        Some(pods)
    }

    /// The cache could not be written: it has to be tried again.
    pub fn set_changed(&self) {
        self.lock().is_changed = true;
        self.0.changed.notify_one();
    }
}

impl Table {
    fn put(&mut self, pod: Pod) {
        let known = self.by_uid.get(&pod.uid);
        if known.is_some_and(|entry| entry.deleted.is_none() && *entry.pod == pod) {
            return;
        }
        self.is_changed = true;
        let name = (pod.namespace.clone(), pod.name.clone());
        self.by_name.insert(name, pod.uid.clone());
        if let Some(folder) = &pod.folder_uid {
            self.by_folder.insert(folder.clone(), pod.uid.clone());
        }
        let entry = Entry {
            pod: Arc::new(pod),
            deleted: None,
        };
        self.by_uid.insert(entry.pod.uid.clone(), entry);
    }

    fn mark_deleted(&mut self, uid: &str) {
        self.n_deletions += 1;
        let n_deletions = self.n_deletions;
        let Some(entry) = self.by_uid.get_mut(uid) else {
            return;
        };
        entry.deleted.get_or_insert(n_deletions);
        let deleted = self
            .by_uid
            .iter()
            .filter_map(|(uid, it)| Some((it.deleted?, uid)));
        let (n_deleted, oldest) = deleted.fold((0, None), |(n, oldest), (at, uid)| match oldest {
            Some((before, _)) if before < at => (n + 1, oldest),
            _ => (n + 1, Some((at, uid))),
        });
        if n_deleted > MAX_DELETED
            && let Some((_, uid)) = oldest
        {
            let uid = uid.clone();
            self.forget(&uid);
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(entry) = self.by_uid.remove(uid) else {
            return;
        };
        self.is_changed = true;
        let pod = &entry.pod;
        let name = (pod.namespace.clone(), pod.name.clone());
        if self.by_name.get(&name).is_some_and(|of| of == uid) {
            self.by_name.remove(&name);
        }
        if let Some(folder) = &pod.folder_uid {
            self.by_folder.remove(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, uid: &str) -> Pod {
        Pod {
            uid: uid.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            ..Pod::default()
        }
    }

    fn find(pods: &Pods, pod: &str, uid: Option<&str>) -> Option<String> {
        let place = Place {
            namespace: "shop",
            pod,
            uid,
        };
        pods.find(place).map(|pod| pod.uid.clone())
    }

    #[test]
    fn a_pod_with_the_name_of_an_earlier_one_is_another() {
        let pods = Pods::default();
        pods.apply(pod("db-0", "u1"));
        pods.delete("u1");
        assert_eq!(find(&pods, "db-0", Some("u2")), None);
        pods.apply(pod("db-0", "u2"));
        assert_eq!(find(&pods, "db-0", Some("u1")).as_deref(), Some("u1"));
        assert_eq!(find(&pods, "db-0", Some("u2")).as_deref(), Some("u2"));
        assert_eq!(find(&pods, "db-0", None).as_deref(), Some("u2"));
        assert_eq!(pods.counts(), (1, 1));
    }

    #[test]
    fn a_static_pod_is_found_by_its_folder() {
        let pods = Pods::default();
        pods.apply(Pod {
            folder_uid: Some("hash".to_owned()),
            ..pod("etcd-n1", "u1")
        });
        assert_eq!(find(&pods, "etcd-n1", Some("hash")).as_deref(), Some("u1"));
        pods.delete("u1");
        pods.prune(|_| false);
        assert_eq!(find(&pods, "etcd-n1", Some("hash")), None);
    }

    #[test]
    fn what_a_list_lacks_is_deleted_and_stays_until_its_files_are_read() {
        let pods = Pods::restored(vec![pod("a", "ua"), pod("b", "ub")]);
        assert!(!pods.is_synced());
        assert_eq!(pods.take_changed(), None);
        pods.begin_list();
        pods.apply(pod("b", "ub"));
        pods.apply(pod("c", "uc"));
        pods.end_list();
        assert!(pods.is_synced());
        assert_eq!(pods.counts(), (2, 1));
        pods.prune(|pod| pod.name == "a");
        assert_eq!(find(&pods, "a", Some("ua")).as_deref(), Some("ua"));
        pods.prune(|_| false);
        assert_eq!(find(&pods, "a", Some("ua")), None);
        assert_eq!(find(&pods, "a", None), None);
        let left = pods.take_changed().unwrap();
        assert_eq!(left.len(), 2);
        assert_eq!(pods.take_changed(), None);
    }

    #[tokio::test]
    async fn a_change_before_anyone_waits_is_not_missed() {
        let pods = Pods::default();
        let copy = pods.clone();
        pods.apply(pod("a", "ua"));
        copy.changed().await;
        pods.delete("ua");
        copy.changed().await;
    }

    #[test]
    fn deleted_pods_are_bounded() {
        let pods = Pods::default();
        for n in 0..MAX_DELETED + 10 {
            let uid = format!("u{n}");
            pods.apply(pod(&uid, &uid));
            pods.delete(&uid);
        }
        assert_eq!(pods.counts(), (0, MAX_DELETED));
        assert_eq!(find(&pods, "u0", Some("u0")), None);
    }
}
