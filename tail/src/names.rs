//! What file names tell: rotation suffixes, and the container in a Kubernetes or Docker path.

use crate::group::ContainerPath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Age order of the files of one sequence: smaller is older, the unrotated file is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Rotated under a date or time; its digits, filled up on the right.
    Dated(u128),
    /// Rotated under a number; the larger the older, so this is its complement.
    Numbered(u64),
    /// The base name itself.
    Live,
}

/// A file name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogName<'a> {
    /// The name without rotation suffix.
    pub(crate) base: &'a [u8],
    pub(crate) rank: Rank,
    /// Compressed; offsets count in the uncompressed content.
    pub(crate) gz: bool,
}

/// Takes a file name apart. `None` for files that are never read: the compressor's unfinished
/// `.tmp`, and compressed forms that we cannot read.
///
/// Known suffixes: the kubelet's `.20240102-030405`, a number (`.1`), logrotate's `dateext`
/// (`-20240102`, `-2024010203`, `-2024-01-02`, `-1704164645`), each with or without `.gz`.
pub(crate) fn split(name: &OsStr) -> Option<LogName<'_>> {
    let name = name.as_bytes();
    if [&b".tmp"[..], b".bz2", b".xz", b".zst", b".lz4"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        return None;
    }
    let (stem, gz) = match name.strip_suffix(b".gz") {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let (base, rank) = strip_rotation(stem).unwrap_or((stem, Rank::Live));
    Some(LogName { base, rank, gz })
}

fn strip_rotation(name: &[u8]) -> Option<(&[u8], Rank)> {
    // The longest run of digits and separators at the end, from its first separator on.
    let run = name
        .iter()
        .rposition(|byte| !(byte.is_ascii_digit() || b".-_T".contains(byte)))?
        + 1;
    let tail = name.get(run..)?;
    for (at, byte) in tail.iter().enumerate() {
        if !b".-_".contains(byte) {
            continue;
        }
        let suffix = tail.get(at + 1..)?;
        let base = name.get(..run + at)?;
        if let Some(rank) = rank_of(*byte, suffix)
            && !base.is_empty()
        {
            return Some((base, rank));
        }
    }
    None
}

fn rank_of(separator: u8, suffix: &[u8]) -> Option<Rank> {
    let digits: Vec<u8> = suffix.iter().copied().filter(u8::is_ascii_digit).collect();
    if !suffix.first()?.is_ascii_digit() || !suffix.last()?.is_ascii_digit() {
        return None;
    }
    let only_digits = digits.len() == suffix.len();
    let text = std::str::from_utf8(&digits).ok()?;
    match digits.len() {
        1..=5 if separator == b'.' && only_digits => {
            Some(Rank::Numbered(u64::MAX - text.parse::<u64>().ok()?))
        }
        8..=23 if is_date(&digits) || (only_digits && digits.len() == 10) => {
            // 23 digits: a date with nanoseconds. 10^23 fits u128.
            let padding = u32::try_from(23 - digits.len()).ok()?;
            Some(Rank::Dated(
                text.parse::<u128>().ok()? * 10_u128.pow(padding),
            ))
        }
        _ => None,
    }
}

fn is_date(digits: &[u8]) -> bool {
    let number = |range: std::ops::Range<usize>| {
        digits
            .get(range)
            .and_then(|part| std::str::from_utf8(part).ok())
            .and_then(|part| part.parse::<u32>().ok())
            .unwrap_or(0)
    };
    (1970..2200).contains(&number(0..4))
        && (1..=12).contains(&number(4..6))
        && (1..=31).contains(&number(6..8))
}

/// Reads the container out of the path as found and the real path.
///
/// Knows `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`,
/// `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log` and Docker's
/// `…/containers/<id>/<id>-json.log`.
pub(crate) fn container(path: &Path, real: &Path) -> Option<ContainerPath> {
    let mut found = [path, real]
        .into_iter()
        .find_map(from_pods)
        .unwrap_or_default();
    if let Some(link) = from_link(path) {
        if found.container.is_empty() {
            (found.namespace, found.pod, found.container) =
                (link.namespace, link.pod, link.container);
        }
        found.container_id = link.container_id;
    }
    if found.container_id.is_none() {
        found.container_id = docker_id(real).or_else(|| docker_id(path));
    }
    (!found.container.is_empty() || found.container_id.is_some()).then_some(found)
}

fn text(part: Option<&OsStr>) -> Option<&str> {
    part.and_then(OsStr::to_str)
}

fn from_pods(path: &Path) -> Option<ContainerPath> {
    let file = text(path.file_name())?;
    let container = path.parent()?;
    let pod_dir = container.parent()?;
    if text(pod_dir.parent()?.file_name())? != "pods" {
        return None;
    }
    let mut parts = text(pod_dir.file_name())?.splitn(3, '_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    Some(ContainerPath {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        pod_uid: Some(uid.to_owned()),
        container: text(container.file_name())?.to_owned(),
        container_id: None,
        restart: file
            .split('.')
            .next()
            .and_then(|number| number.parse().ok()),
    })
}

fn from_link(path: &Path) -> Option<ContainerPath> {
    let stem = text(path.file_name())?.strip_suffix(".log")?;
    let mut parts = stem.splitn(3, '_');
    let (pod, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, id) = rest.rsplit_once('-')?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && !container.is_empty()).then(|| ContainerPath {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        container_id: Some(id.to_owned()),
        ..ContainerPath::default()
    })
}

fn docker_id(path: &Path) -> Option<String> {
    let id = text(path.parent()?.file_name())?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && text(path.file_name())?.starts_with(id)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, base: &str, rotated: bool, gz: bool) {
        let found = split(OsStr::new(name)).unwrap();
        assert_eq!(String::from_utf8_lossy(found.base), base, "{name}");
        assert_eq!(found.rank != Rank::Live, rotated, "{name}");
        assert_eq!(found.gz, gz, "{name}");
    }

    #[test]
    fn rotation_suffixes_of_kubelet_docker_and_logrotate_are_known() {
        check("0.log", "0.log", false, false);
        check("0.log.20240102-030405", "0.log", true, false);
        check("0.log.20240102-030405.gz", "0.log", true, true);
        check("abc-json.log", "abc-json.log", false, false);
        check("abc-json.log.1", "abc-json.log", true, false);
        check("abc-json.log.2.gz", "abc-json.log", true, true);
        check("syslog-20240102", "syslog", true, false);
        check("syslog-20240102.gz", "syslog", true, true);
        check("syslog-2024-01-02", "syslog", true, false);
        check("app.log-1704164645", "app.log", true, false);
        check("app.log.2024-01-02_03", "app.log", true, false);
        check("app-v2.log", "app-v2.log", false, false);
        check("build-42.log", "build-42.log", false, false);
        check("20240102", "20240102", false, false);
        check("x-99999999", "x-99999999", false, false);
        for ignored in [
            "0.log.20240102-030405.tmp",
            "0.log.20240102-030405.gz.tmp",
            "a.log.1.xz",
        ] {
            assert_eq!(split(OsStr::new(ignored)), None, "{ignored}");
        }
    }

    #[test]
    fn older_files_rank_lower() {
        let rank = |name: &'static str| split(OsStr::new(name)).unwrap().rank;
        assert!(rank("a.2.gz") < rank("a.1"));
        assert!(rank("a.10") < rank("a.9"));
        assert!(rank("a.1") < rank("a"));
        assert!(rank("0.log.20240102-030405") < rank("0.log.20240102-030406.gz"));
        assert!(rank("a-20240102") < rank("a-20240103"));
    }

    #[test]
    fn containers_are_read_from_links_pods_and_docker() {
        let id = "0123456789abcdef".repeat(4);
        let link = format!("/var/log/containers/web-1_shop_nginx-{id}.log");
        let real = "/var/log/pods/shop_web-1_uid-7/nginx/3.log";
        let both = container(Path::new(&link), Path::new(real)).unwrap();
        assert_eq!(
            (both.namespace.as_str(), both.pod.as_str()),
            ("shop", "web-1")
        );
        assert_eq!(both.container, "nginx");
        assert_eq!(both.pod_uid.as_deref(), Some("uid-7"));
        assert_eq!(
            (both.container_id.as_deref(), both.restart),
            (Some(id.as_str()), Some(3))
        );
        let docker = format!("/var/lib/docker/containers/{id}/{id}-json.log");
        let found = container(Path::new(&docker), Path::new(&docker)).unwrap();
        assert_eq!(found.container_id, Some(id));
        assert_eq!(
            container(Path::new("/var/log/syslog"), Path::new("/var/log/syslog")),
            None
        );
    }
}
