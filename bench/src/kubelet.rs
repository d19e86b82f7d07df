//! The kubelet's directories: `pods/<ns>_<pod>_<uid>/<container>/0.log` with the real files, and
//! `containers/<pod>_<ns>_<container>-<id>.log` with links to them. With Docker the link leads on
//! to `docker/<id>/<id>-json.log`.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::container_log::{ContainerLog, Format};

/// A simulated node's log directory.
#[derive(Debug)]
pub struct Kubelet {
    root: PathBuf,
    rng: fastrand::Rng,
}

/// A container's log with the names that the kubelet gave it.
#[derive(Debug)]
pub struct Container {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the container.
    pub container: String,
    /// The runtime's id of the container: 64 hexadecimal digits.
    pub container_id: String,
    /// The link under `containers/`: what an agent's glob finds.
    pub link: PathBuf,
    /// The log.
    pub log: ContainerLog,
}

impl Kubelet {
    /// A node whose logs lie under `root`. Ids follow from `seed`.
    pub fn new(root: &Path, seed: u64) -> io::Result<Self> {
        fs::create_dir_all(root.join("containers"))?;
        fs::create_dir_all(root.join("pods"))?;
        Ok(Self {
            // The target of a link counts from the link's folder.
            root: std::path::absolute(root)?,
            rng: fastrand::Rng::with_seed(seed),
        })
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The glob for an agent's `files.include`.
    pub fn glob(&self) -> String {
        format!("{}/containers/*.log", self.root.display())
    }

    /// Starts a container under containerd: an empty CRI log.
    pub fn container(&mut self, ns: &str, pod: &str, container: &str) -> io::Result<Container> {
        self.start(ns, pod, container, Format::Cri)
    }

    /// Starts a container under Docker: an empty json-file log.
    pub fn docker(&mut self, ns: &str, pod: &str, container: &str) -> io::Result<Container> {
        self.start(ns, pod, container, Format::Docker)
    }

    /// Starts a container of a pod that an API server knows by `uid`: an empty CRI log.
    pub fn container_of(
        &mut self,
        ns: &str,
        pod: &str,
        uid: &str,
        container: &str,
    ) -> io::Result<Container> {
        self.start_of(ns, pod, uid.to_owned(), container, Format::Cri)
    }

    fn start(&mut self, ns: &str, pod: &str, name: &str, format: Format) -> io::Result<Container> {
        let pod_uid = format!("{}-{}-4000-8000-{}", self.hex(8), self.hex(4), self.hex(12));
        self.start_of(ns, pod, pod_uid, name, format)
    }

    /// Deletes what a pod has logged, as the kubelet does after the pod.
    pub fn delete(&self, container: &Container) -> io::Result<()> {
        fs::remove_file(&container.link)?;
        let (ns, pod, uid) = (&container.namespace, &container.pod, &container.pod_uid);
        fs::remove_dir_all(self.root.join(format!("pods/{ns}_{pod}_{uid}")))?;
        match fs::remove_dir_all(self.root.join(format!("docker/{}", container.container_id))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn start_of(
        &mut self,
        ns: &str,
        pod: &str,
        pod_uid: String,
        name: &str,
        format: Format,
    ) -> io::Result<Container> {
        let container_id = self.hex(64);
        let in_pod = self.root.join(format!("pods/{ns}_{pod}_{pod_uid}/{name}"));
        fs::create_dir_all(&in_pod)?;
        let shown = in_pod.join("0.log");
        let log = if format == Format::Docker {
            let real = self
                .root
                .join(format!("docker/{container_id}/{container_id}-json.log"));
            let log = ContainerLog::create(&real, format)?;
            symlink(real, &shown)?;
            log
        } else {
            ContainerLog::create(&shown, format)?
        };
        let link = self
            .root
            .join(format!("containers/{pod}_{ns}_{name}-{container_id}.log"));
        symlink(shown, &link)?;
        Ok(Container {
            namespace: ns.to_owned(),
            pod: pod.to_owned(),
            pod_uid,
            container: name.to_owned(),
            container_id,
            link,
            log,
        })
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits)
            .map(|_| char::from_digit(self.rng.u32(..16), 16).unwrap_or('0'))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container_log::Iostream;

    #[test]
    fn links_lead_to_the_real_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        for format in [Format::Cri, Format::Docker] {
            let mut made = kubelet.start("shop", "web-0", "nginx", format).unwrap();
            made.log.line(Iostream::Stdout, b"hello").unwrap();
            assert_eq!(
                fs::read(&made.link).unwrap(),
                fs::read(made.log.path()).unwrap()
            );
            assert_eq!(made.container_id.len(), 64);
            assert_eq!(made.pod_uid.len(), 36);
        }
    }
}
