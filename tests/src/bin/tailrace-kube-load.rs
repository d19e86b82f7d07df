//! `make bench-kube`: what the agents of a large cluster cost the API server, when all of them start
//! at once and when the server itself does.
//!
//! A real API server with etcd; pods of so many nodes; for each node the watch of the agent, as the
//! agent runs it, in one process. Figures are of the server's process.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bench::usage::Usage;
use clap::Parser;
use k8s::{
    Access, Choice, Metrics, Pods,
    watch::{Watch, run},
};
use tests::kube::KubeApi;

/// How long everything may take to be known; 5,000 nodes take minutes on few cores.
const LIMIT: Duration = Duration::from_secs(1800);
/// How long the quiet cluster is looked at.
const IDLE: Duration = Duration::from_secs(30);
/// Pods that are made by one call of kubectl.
const BATCH: usize = 1_000;
/// Calls of kubectl at a time.
const MAKERS: usize = 4;

/// Runs the watches of many agents against a real API server.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  tailrace-kube-load --nodes 200 --pods 110"
)]
struct Args {
    /// Nodes, an agent each.
    #[arg(long, default_value_t = 200)]
    nodes: usize,
    /// Pods of a node.
    #[arg(long, default_value_t = 110)]
    pods: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut server = KubeApi::start()?;
    let token = prepare(&server, &args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let mut table = String::from(
        "| what | seconds | CPU-seconds of the server | RSS MiB |\n|---|---:|---:|---:|\n",
    );
    let access = Access {
        url: server.url(),
        ca_file: Some(server.ca_file()),
        token_file: Some(token),
        accept_any_certificate: false,
    };
    let agents: Vec<(Pods, Metrics)> = (0..args.nodes).map(|_| Default::default()).collect();
    runtime.block_on(async {
        let before = Usage::of(server.pid()?)?;
        let started = Instant::now();
        for (n, (pods, metrics)) in agents.iter().enumerate() {
            let watch = Watch {
                access: access.clone(),
                node: node(n),
                choice: Choice::default(),
            };
            tokio::spawn(run(watch, pods.clone(), metrics.clone()));
        }
        known(&agents, &args, 1).await?;
        row(
            &mut table,
            "all agents start at once",
            started,
            &before,
            &server,
        )?;
        let (before, started) = (Usage::of(server.pid()?)?, Instant::now());
        tokio::time::sleep(IDLE).await;
        row(&mut table, "nothing happens", started, &before, &server)?;
        anyhow::Ok(())
    })?;
    // The agents stand still meanwhile, as their connections do.
    server.kill()?;
    server.start_again()?;
    runtime.block_on(async {
        let before = Usage::of(server.pid()?)?;
        let started = Instant::now();
        // Connections are found broken, pauses pass, lists and watches begin anew.
        while agents
            .iter()
            .any(|(_, metrics)| metrics.up.get() == 1 && metrics.errors.get() == 0)
        {
            ensure!(started.elapsed() < LIMIT, "some agents did not notice");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        known(&agents, &args, 1).await?;
        row(
            &mut table,
            "the server starts anew",
            started,
            &before,
            &server,
        )?;
        anyhow::Ok(())
    })?;
    let (nodes, pods) = (args.nodes, args.nodes * args.pods);
    writeln!(io::stdout(), "{nodes} nodes, {pods} pods\n\n{table}")?;
    Ok(())
}

fn node(n: usize) -> String {
    format!("node-{n}")
}

/// Makes the pods and an account that may watch them; the file of its token.
fn prepare(server: &KubeApi, args: &Args) -> anyhow::Result<PathBuf> {
    server.run(&["create", "namespace", "load"])?;
    server.run(&["-n", "load", "create", "serviceaccount", "agent"])?;
    server.run(&[
        "create",
        "clusterrole",
        "agent",
        "--verb=get,list,watch",
        "--resource=pods",
    ])?;
    let account = "--serviceaccount=load:agent";
    server.run(&[
        "create",
        "clusterrolebinding",
        "agent",
        "--clusterrole=agent",
        account,
    ])?;
    make_pods(server, args)?;
    let file = server.home().join("agent.token");
    std::fs::write(&file, server.token("load", "agent")?).context("cannot write a token")?;
    Ok(file)
}

/// Makes all pods, and tells how far it is.
fn make_pods(server: &KubeApi, args: &Args) -> anyhow::Result<()> {
    let n_pods = args.nodes * args.pods;
    let next = AtomicUsize::new(0);
    let make = || {
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= n_pods {
                return anyhow::Ok(());
            }
            let numbers = from..n_pods.min(from + BATCH);
            let manifests: Vec<String> = numbers.map(|n| manifest(n, args.pods)).collect();
            let kubectl = ["create", "--validate=false", "-o", "name"];
            let output = server.run_on(&manifests.join("---\n"), &kubectl)?;
            ensure!(
                output.status.success(),
                "cannot make pods: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            writeln!(
                io::stderr(),
                "{} of {n_pods} pods made",
                n_pods.min(from + BATCH)
            )
            .ok();
        }
    };
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
        for maker in makers {
            match maker.join() {
                Ok(made) => made?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        anyhow::Ok(())
    })
}

/// The `n`th of all pods.
fn manifest(n: usize, pods_of_a_node: usize) -> String {
    let (on, n) = (node(n / pods_of_a_node), n % pods_of_a_node);
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {on}-pod-{n}\n  namespace: load\n  \
         labels: {{app: app-{n}, app.kubernetes.io/name: app-{n}, tier: backend}}\n\
         spec:\n  nodeName: {on}\n  automountServiceAccountToken: false\n  \
         containers: [{{name: c, image: 'registry.test/app-{n}:1'}}]\n"
    )
}

/// Waits until each agent knows the pods of its node and is being told of changes.
async fn known(agents: &[(Pods, Metrics)], args: &Args, lists: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let is_known = |(pods, metrics): &(Pods, Metrics)| {
        pods.counts() == (args.pods, 0) && metrics.up.get() == 1 && metrics.lists.get() >= lists
    };
    while !agents.iter().all(is_known) {
        let n_known = agents.iter().filter(|agent| is_known(agent)).count();
        ensure!(
            started.elapsed() < LIMIT,
            "only {n_known} agents know their pods"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn row(
    table: &mut String,
    what: &str,
    started: Instant,
    before: &Usage,
    server: &KubeApi,
) -> anyhow::Result<()> {
    let now = Usage::of(server.pid()?)?;
    let of = |usage: &Usage| usage.user + usage.system;
    let cpu = of(&now).saturating_sub(of(before)).as_secs_f64();
    writeln!(
        table,
        "| {what} | {:.1} | {cpu:.1} | {} |",
        started.elapsed().as_secs_f64(),
        now.rss >> 20
    )?;
    Ok(())
}
