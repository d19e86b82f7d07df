//! Elasticsearch from its `integ-test-zip` distribution: the real one, with few modules.
//!
//! It answers 405 to `GET /` for want of a module; a plugin of our own mends that on 8 and 9. It
//! refuses to run as uid 0: as root it runs in a user namespace, where files stay root's.

use std::{
    fs::{self, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::{Access, Product};
use crate::{
    cache::{get_or_make, run_tool},
    jdk::Jdk,
};

const PLUGIN: &str = include_str!("../../assets/elasticsearch/RootPlugin.java");

fn version(product: Product) -> &'static str {
    match product {
        Product::Elasticsearch7 => "7.17.29",
        Product::Elasticsearch9 => "9.2.0",
        Product::Elasticsearch8 | Product::OpenSearch => "8.19.21",
    }
}

/// The unpacked distribution.
pub(super) fn install(product: Product) -> anyhow::Result<PathBuf> {
    let version = version(product);
    let jdk = Jdk::at_least(product.needs_jdk())?;
    let mut hasher = DefaultHasher::new();
    (PLUGIN, jdk.version).hash(&mut hasher);
    get_or_make(
        &format!("elasticsearch-{version}-{:016x}", hasher.finish()),
        |dir| {
            run_tool(
            "fetch Elasticsearch from Maven Central",
            Command::new("mvn")
                .args(["-q", "-B", "dependency:copy"])
                .arg(format!(
                    "-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
                ))
                .arg(format!("-DoutputDirectory={}", dir.display())),
        )?;
            let zip = dir.join(format!("elasticsearch-{version}.zip"));
            // The JDK's own tool: `unzip` need not be installed. It forgets the mode bits.
            run_tool(
                "unpack Elasticsearch",
                Command::new(jdk.tool("jar"))
                    .arg("xf")
                    .arg(&zip)
                    .current_dir(dir),
            )?;
            fs::remove_file(&zip).context("cannot remove an unpacked archive")?;
            let inner = dir.join(format!("elasticsearch-{version}"));
            for entry in fs::read_dir(&inner).context("cannot read the distribution")? {
                let entry = entry.context("cannot read the distribution")?;
                fs::rename(entry.path(), dir.join(entry.file_name()))
                    .context("cannot move a file")?;
            }
            for entry in fs::read_dir(dir.join("bin")).context("cannot read the distribution")? {
                let path = entry.context("cannot read the distribution")?.path();
                fs::set_permissions(path, Permissions::from_mode(0o755)).context("cannot chmod")?;
            }
            fs::set_permissions(dir, Permissions::from_mode(0o755)).context("cannot chmod")?;
            if product == Product::Elasticsearch7 {
                Ok(())
            } else {
                add_plugin(&jdk, dir, version)
            }
        },
    )
}

fn add_plugin(jdk: &Jdk, dist: &Path, version: &str) -> anyhow::Result<()> {
    let build = tempfile::tempdir().context("cannot create a temporary directory")?;
    let source = build.path().join("RootPlugin.java");
    fs::write(&source, PLUGIN).context("cannot write a source file")?;
    let classes = build.path().join("classes");
    run_tool(
        "compile the plugin for `GET /`",
        Command::new(jdk.tool("javac"))
            .args(["-nowarn", "-proc:none", "-d"])
            .arg(&classes)
            .arg("-cp")
            .arg(dist.join("lib/*"))
            .arg(&source),
    )?;
    let plugin = dist.join("plugins/rig-root");
    fs::create_dir_all(&plugin).context("cannot create the plugin's directory")?;
    run_tool(
        "pack the plugin for `GET /`",
        Command::new(jdk.tool("jar"))
            .arg("cf")
            .arg(plugin.join("rig-root.jar"))
            .arg("-C")
            .arg(&classes)
            .arg("."),
    )?;
    let descriptor = format!(
        "description=GET /\nversion=1\nname=rig-root\nclassname=rig.RootPlugin\n\
         java.version=17\nelasticsearch.version={version}\n"
    );
    fs::write(plugin.join("plugin-descriptor.properties"), descriptor)
        .context("cannot write the plugin's descriptor")
}

pub(super) fn command(
    product: Product,
    port: u16,
    home: &Path,
    settings: &[(String, String)],
) -> anyhow::Result<Command> {
    let dist = install(product)?;
    let config = configuration(&dist, home)?;
    strip_gc_logging(&config.join("jvm.options"))?;
    fs::write(
        config.join("jvm.options.d/heap.options"),
        "-Xms512m\n-Xmx512m\n",
    )
    .context("cannot write the heap's size")?;
    let mut yaml = format!(
        "cluster.name: rig\npath.data: {home}/data\npath.logs: {home}/logs\n\
         network.host: 127.0.0.1\nhttp.port: {port}\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n",
        home = home.display()
    );
    // A key that stands twice is an error, and a node of a cluster is no single one.
    let is_set = |wanted: &str| settings.iter().any(|(key, _)| key == wanted);
    for (key, value) in [
        ("node.name", "rig"),
        ("transport.port", "0"),
        ("xpack.security.enabled", "false"),
        ("discovery.type", "single-node"),
    ] {
        let is_alone = key != "discovery.type" || !is_set("discovery.seed_hosts");
        if !is_set(key) && is_alone {
            yaml.push_str(&format!("{key}: {value}\n"));
        }
    }
    for (key, value) in settings {
        yaml.push_str(&format!("{key}: {value}\n"));
    }
    fs::write(config.join("elasticsearch.yml"), yaml).context("cannot write the settings")?;
    fs::remove_file(pid_file(home)).ok();
    let mut command = as_other_user(home)?;
    command
        .arg(dist.join("bin/elasticsearch"))
        .arg("-p")
        .arg(pid_file(home))
        .env("ES_JAVA_HOME", Jdk::at_least(product.needs_jdk())?.home)
        .env("ES_PATH_CONF", &config)
        .env("ES_TMPDIR", home.join("tmp"));
    Ok(command)
}

/// A copy of the distribution's configuration, with files that are there already left alone.
fn configuration(dist: &Path, home: &Path) -> anyhow::Result<PathBuf> {
    let config = home.join("config");
    for dir in ["config/jvm.options.d", "data", "logs", "tmp"] {
        fs::create_dir_all(home.join(dir)).context("cannot create a directory")?;
    }
    for entry in fs::read_dir(dist.join("config")).context("cannot read the configuration")? {
        let path = entry.context("cannot read the configuration")?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        let copy = config.join(name);
        if !copy.exists() {
            fs::copy(&path, copy).context("cannot copy the configuration")?;
        }
    }
    Ok(config)
}

/// Makes an authority, a certificate of it for this machine, and a superuser; answers them with
/// the settings that put them to use.
pub(super) fn secure(
    product: Product,
    home: &Path,
) -> anyhow::Result<(Access, [(&'static str, &'static str); 4])> {
    let (user, password) = ("rig", "rig-password");
    let dist = install(product)?;
    let config = configuration(&dist, home)?;
    let certs = config.join("certs");
    fs::create_dir_all(&certs).context("cannot create a directory")?;
    fs::write(
        certs.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )
    .context("cannot write a certificate's names")?;
    for (what, arguments) in [
        (
            "make an authority",
            "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=rig-authority \
             -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt",
        ),
        (
            "ask for a certificate",
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout http.key -out http.csr",
        ),
        (
            "sign a certificate",
            "x509 -req -in http.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
             -extfile names -out http.crt",
        ),
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace());
        run_tool(what, openssl.current_dir(&certs))?;
    }
    let mut add_user = as_other_user(home)?;
    add_user
        .arg(dist.join("bin/elasticsearch-users"))
        .args(["useradd", user, "-p", password, "-r", "superuser"])
        .env("ES_JAVA_HOME", Jdk::at_least(product.needs_jdk())?.home)
        .env("ES_PATH_CONF", &config);
    run_tool("add a user to Elasticsearch", &mut add_user)?;
    let access = Access {
        ca_pem: fs::read(certs.join("ca.crt")).context("cannot read a certificate")?,
        user,
        password,
    };
    let settings = [
        ("xpack.security.enabled", "true"),
        ("xpack.security.http.ssl.enabled", "true"),
        ("xpack.security.http.ssl.key", "certs/http.key"),
        ("xpack.security.http.ssl.certificate", "certs/http.crt"),
    ];
    Ok((access, settings))
}

/// The process that does the work, where the child is a launcher.
pub(super) fn worker(home: &Path) -> Option<u32> {
    fs::read_to_string(pid_file(home)).ok()?.trim().parse().ok()
}

fn pid_file(home: &Path) -> PathBuf {
    home.join("es.pid")
}

/// The shipped options log to a relative `logs/`, which the server may not write.
fn strip_gc_logging(path: &Path) -> anyhow::Result<()> {
    const LEFT_OUT: [&str; 6] = [
        "-Xlog:gc",
        "8:",
        "9-:-Xlog",
        "-XX:HeapDump",
        "-XX:+HeapDump",
        "-XX:ErrorFile",
    ];
    let options = fs::read_to_string(path).context("cannot read jvm.options")?;
    let kept: Vec<&str> = options
        .lines()
        .filter(|line| !LEFT_OUT.iter().any(|left_out| line.starts_with(left_out)))
        .collect();
    fs::write(path, kept.join("\n")).context("cannot write jvm.options")
}

/// A command that runs its arguments as somebody else than uid 0.
fn as_other_user(home: &Path) -> anyhow::Result<Command> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Command::new("env"));
    }
    let mapped = ["--user", "--map-user=1000", "--map-group=1000"];
    let mut trial = Command::new("unshare");
    if run_tool("try a user namespace", trial.args(mapped).arg("true")).is_ok() {
        let mut command = Command::new("unshare");
        command.args(mapped);
        return Ok(command);
    }
    let mut chown = Command::new("chown");
    run_tool(
        "give files to nobody",
        chown.args(["-R", "65534:65534"]).arg(home),
    )?;
    let mut trial = Command::new("setpriv");
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    if let Err(error) = run_tool("run as nobody", trial.args(as_nobody).arg("true")) {
        bail!("cannot run Elasticsearch as root, nor become somebody else: {error:#}");
    }
    let mut command = Command::new("setpriv");
    command.args(as_nobody);
    Ok(command)
}
