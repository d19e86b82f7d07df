//! OpenSearch from the jars on Maven Central and a main class of our own.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::Product;
use crate::{
    cache::{get_or_make, run_tool},
    jdk::Jdk,
};

const POM: &str = include_str!("../../assets/opensearch/pom.xml");
const NODE: &str = include_str!("../../assets/opensearch/RigNode.java");

fn jdk() -> anyhow::Result<Jdk> {
    Jdk::at_least(Product::OpenSearch.needs_jdk())
}

/// The directory with `lib/` and `classes/`, named by what it is made from.
pub(super) fn install() -> anyhow::Result<PathBuf> {
    let jdk = jdk()?;
    let mut hasher = DefaultHasher::new();
    (POM, NODE, jdk.version).hash(&mut hasher);
    let name = format!("opensearch-3.8.0-{:016x}", hasher.finish());
    get_or_make(&name, |dir| {
        let pom = dir.join("pom.xml");
        fs::write(&pom, POM).context("cannot write a pom")?;
        let lib = dir.join("lib");
        run_tool(
            "fetch OpenSearch from Maven Central",
            Command::new("mvn")
                .args([
                    "-q",
                    "-B",
                    "dependency:copy-dependencies",
                    "-DincludeScope=runtime",
                    "-f",
                ])
                .arg(&pom)
                .arg(format!("-DoutputDirectory={}", lib.display())),
        )?;
        let source = dir.join("RigNode.java");
        fs::write(&source, NODE).context("cannot write a source file")?;
        run_tool(
            "compile the OpenSearch main class",
            Command::new(jdk.tool("javac"))
                .args(["-nowarn", "-d"])
                .arg(dir.join("classes"))
                .arg("-cp")
                .arg(lib.join("*"))
                .arg(&source),
        )
    })
}

pub(super) fn command(
    port: u16,
    home: &Path,
    settings: &[(String, String)],
) -> anyhow::Result<Command> {
    let installed = install()?;
    let temporary = home.join("tmp");
    fs::create_dir_all(&temporary).context("cannot create a directory for temporary files")?;
    let mut command = Command::new(jdk()?.tool("java"));
    command
        .args([
            "-Xms512m",
            "-Xmx2g",
            "-XX:+UseG1GC",
            "-Xss1m",
            "-Dfile.encoding=UTF-8",
        ])
        .args([
            "-Djava.awt.headless=true",
            "-Djna.nosys=true",
            "-Dlog4j2.disable.jmx=true",
        ])
        .args([
            "-Dlog4j.shutdownHookEnabled=false",
            "-Dio.netty.noKeySetOptimization=true",
        ])
        .args([
            "--add-modules=jdk.incubator.vector",
            "--enable-native-access=ALL-UNNAMED",
        ])
        .args([
            "--sun-misc-unsafe-memory-access=allow",
            "-XX:+IgnoreUnrecognizedVMOptions",
        ])
        .arg(format!("-Djava.io.tmpdir={}", temporary.display()))
        .arg("-cp")
        .arg(format!("{0}/classes:{0}/lib/*", installed.display()))
        .arg("RigNode")
        .arg(port.to_string())
        .arg(home)
        .args(settings.iter().map(|(key, value)| format!("{key}={value}")));
    Ok(command)
}
