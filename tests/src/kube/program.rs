//! The one program with all of Kubernetes that tests need, built from the module in `assets/kube`.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    process::Command,
};

use anyhow::Context;

use crate::{
    cache::{self, get_or_make, run_tool},
    tools,
};

const SOURCES: [(&str, &str); 5] = [
    ("go.mod", include_str!("../../assets/kube/go.mod")),
    ("go.sum", include_str!("../../assets/kube/go.sum")),
    ("main.go", include_str!("../../assets/kube/main.go")),
    ("pki.go", include_str!("../../assets/kube/pki.go")),
    ("token.go", include_str!("../../assets/kube/token.go")),
];

/// The program, from the cache, or built: six minutes on two cores, and 100 MB of downloads.
pub(super) fn install() -> anyhow::Result<PathBuf> {
    let version = SOURCES[0]
        .1
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .context("cannot find the version of Kubernetes in assets/kube/go.mod")?;
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let name = format!("kubernetes-{version}-{:016x}", hasher.finish());
    let dir = get_or_make(&name, |dir| {
        let go = tools::find("go")?;
        let source = dir.join("source");
        fs::create_dir(&source).context("cannot create a directory in the cache")?;
        for (name, text) in SOURCES {
            fs::write(source.join(name), text).context("cannot write a source file")?;
        }
        // A folder of our own, which goes when the program is there: what Go keeps grows to
        // gigabytes, and is needed for nothing else. An interrupted build goes on where it was.
        let kept = cache::root().join("go");
        run_tool(
            "build the Kubernetes API server with Go",
            Command::new(go)
                .args(["build", "-trimpath", "-modcacherw", "-ldflags"])
                .arg(flags(version))
                .arg("-o")
                .arg(dir.join("k8sbox"))
                .arg(".")
                .current_dir(&source)
                .env("CGO_ENABLED", "0")
                .env("GOCACHE", kept.join("build"))
                .env("GOMODCACHE", kept.join("mod")),
        )?;
        fs::remove_dir_all(&source).context("cannot remove a directory of the cache")?;
        fs::remove_dir_all(&kept).context("cannot remove what Go keeps")
    })?;
    Ok(dir.join("k8sbox"))
}

/// What Kubernetes' own build tells the linker: the server's version, and no symbols.
fn flags(version: &str) -> String {
    let minor = version.split('.').nth(1).unwrap_or_default();
    let mut flags = String::from("-s -w");
    for (name, value) in [
        ("gitVersion", version),
        ("gitMajor", "1"),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        ("gitCommit", &format!("module-{version}")),
        ("buildDate", "1970-01-01T00:00:00Z"),
    ] {
        flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
    }
    flags
}
