//! Rules: files that change under a running aggregator, and what authors are told.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bench::container_log::Iostream;
use bench::kubelet::Container;
use serde_json::Value;
use tests::{
    agent::Agent,
    program::binary,
    proxy::{Fault, Proxy},
    scene::Scene,
    server::Server,
    wait,
};

const LIMIT: Duration = Duration::from_secs(45);

/// A rule that takes `n=7 text`, leaving `text` as the message.
fn rule(name: &str) -> String {
    format!(
        "name: {name}\nsteps:\n  - pattern: 'n=<n:int> <message>'\nexamples:\n  - line: n=7 seven\n    fields: {{attributes.n: 7, message: seven}}\n"
    )
}

/// Puts a rule file in place as the kubelet puts a ConfigMap: a folder that a link is swapped to.
fn publish(folder: &Path, version: u32, text: &str) {
    let data = folder.join(format!("..{version}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("app.yaml"), text).unwrap();
    let swapped = |to: &str, name: &str| {
        let new = folder.join("..new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        fs::rename(&new, folder.join(name)).unwrap();
    };
    swapped(&format!("..{version}"), "..data");
    if version == 1 {
        swapped("..data/app.yaml", "app.yaml");
    }
}

fn write(container: &mut Container, n: std::ops::Range<u32>) {
    for n in n {
        let said = format!("event number {n}");
        container
            .log
            .line_as(
                Iostream::Stdout,
                format!("n={n} {said}").as_bytes(),
                said.as_bytes(),
            )
            .unwrap();
    }
    container.log.flush().unwrap();
}

#[test]
fn rules_change_while_lines_flow() {
    let mut scene = Scene::new("liverules", Server::shared().unwrap()).unwrap();
    let folder = scene.dir("rules");
    publish(&folder, 1, &rule("one"));
    let setup = scene
        .aggregator_setup()
        .with("rules", &format!("['{}']", folder.display()));
    let aggregator =
        tests::aggregator::Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let index = scene.data_stream();
    let by_rule = |name: &str, n: u64| {
        let query = format!("tailrace.rule:\"{name}\"");
        scene
            .documents
            .wait_count(&index, &query, n, LIMIT)
            .unwrap();
    };
    let in_force = || aggregator.http().get_json("/status").unwrap()["rules"].clone();
    let gauge = |name: &str| aggregator.metrics().unwrap().count(name, &[]);

    let mut container = scene.kubelet.container("shop", "web-0", "web").unwrap();
    write(&mut container, 0..100);
    by_rule("one", 100);

    // A good set is applied.
    publish(&folder, 2, &rule("two"));
    wait::until(LIMIT, "the new rule to be in force", || {
        (in_force()["list"][0]["name"] == "two").then_some(())
    })
    .unwrap();
    write(&mut container, 100..200);
    by_rule("two", 100);

    // A set whose example fails is refused: told everywhere, and the old one works on.
    publish(
        &folder,
        3,
        &rule("three").replace("attributes.n: 7", "attributes.n: 8"),
    );
    wait::until(LIMIT, "the bad rules to be refused", || {
        (gauge("tailrace_rules_stale") == 1).then_some(())
    })
    .unwrap();
    let ready = aggregator.http().get("/readyz").unwrap();
    let said = ready.json()["checks"]["rules"].to_string();
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(
        said.contains("app.yaml:6:") && said.contains("attributes.n"),
        "{said}"
    );
    assert!(
        aggregator
            .log_text()
            .contains("the old rules stay in force")
    );
    assert_eq!(in_force()["list"][0]["name"], "two");
    write(&mut container, 200..300);
    by_rule("two", 200);

    // Lines that no rule takes are kept, for whoever writes the next one.
    container
        .log
        .line(Iostream::Stdout, b"of another form")
        .unwrap();
    container.log.flush().unwrap();
    scene
        .documents
        .wait_count(&index, "tags:unparsed", 1, LIMIT)
        .unwrap();
    let address = format!("127.0.0.1:{}", aggregator.port());
    let unmatched = aggregator
        .command(&[
            "rules",
            "unmatched",
            "--address",
            &address,
            "--container",
            "web",
        ])
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&unmatched.stdout),
        "of another form\n"
    );

    // Mended: in force at once.
    publish(&folder, 4, &rule("four"));
    wait::until(LIMIT, "the mended rules to be in force", || {
        (gauge("tailrace_rules_stale") == 0).then_some(())
    })
    .unwrap();
    write(&mut container, 300..400);
    by_rule("four", 100);
    let tried = aggregator
        .metrics()
        .unwrap()
        .count("tailrace_rule_tried_total", &[("rule", "four")]);
    assert!(tried >= 100, "{tried}");
    let status = aggregator
        .command(&["status", "--address", &address])
        .unwrap();
    assert!(String::from_utf8_lossy(&status.stdout).contains("four"));

    scene
        .wait_verdict(&[container], LIMIT)
        .unwrap()
        .assert_clean();
}

/// DELIVERY rule 8: lines whose answer was lost just before the rules changed are cut and sent as
/// by the rules of their first try, also by an aggregator that never saw these.
#[test]
fn rules_that_change_while_answers_are_lost_double_nothing() {
    let mut scene = Scene::new("resealed", Server::shared().unwrap()).unwrap();
    let folder = scene.dir("rules");
    let joined =
        "name: joined\nsteps:\n  - multiline: {start: '^START'}\n  - route: {dataset: joined}\n";
    publish(&folder, 1, joined);
    let setup = scene
        .aggregator_setup()
        .with("rules", &format!("['{}']", folder.display()));
    let mut aggregator =
        tests::aggregator::Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let proxy = Proxy::start(aggregator.port()).unwrap();
    let setup = scene.agent_setup(&proxy.url()).with("timeout", "2s");
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let mut container = scene.kubelet.container("shop", "web-0", "web").unwrap();
    let mut write = |text: &str| {
        for line in text.lines() {
            container
                .log
                .line(Iostream::Stdout, line.as_bytes())
                .unwrap();
        }
        container.log.flush().unwrap();
    };
    let usual = scene.data_stream();
    let joined = usual.replace("kubernetes.container_logs", "joined");
    let wait_count = |index: &str, n| {
        scene.documents.wait_count(index, "*", n, LIMIT).unwrap();
    };
    write("START 1\nand more\nSTART 2\nand more");
    wait_count(&joined, 2);

    // Answers are lost from here on: the events come, and the agent does not know it.
    proxy.set(Fault::OneWay);
    write("START 3\nand more\nSTART 4");
    wait_count(&joined, 4);
    publish(
        &folder,
        2,
        "name: lines\nsteps:\n  - pattern: '<what> <message>'\n",
    );
    // What it has known of the old rules goes with it.
    aggregator.kill().unwrap();
    aggregator.start_again().unwrap();
    wait::until(LIMIT, "the agent to give up an answer", || {
        agent.log_text().contains("no answer from").then_some(())
    })
    .unwrap();
    proxy.set(Fault::None);
    write("START 5\nand more");
    wait_count(&usual, 2);
    assert_eq!(scene.documents.count(&joined, "*").unwrap(), 4);
    let restored = [("result", "restored")];
    let n = aggregator
        .metrics()
        .unwrap()
        .count("tailrace_receive_sealed_total", &restored);
    assert!(n >= 1, "no group came again by the old rules");
}

#[test]
fn a_reader_that_goes_is_no_failure_to_tell_of() {
    // Gone before the program starts: what it tells would fit into the pipe.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(binary("tailrace-aggregator").unwrap())
        .args(["rules", "list"])
        .stdout(writer)
        .output()
        .unwrap();
    // As after SIGPIPE.
    assert_eq!(ended.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

/// Runs `tailrace-aggregator rules …` with `input`; gives whether it succeeded and what it said.
fn rules(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(binary("tailrace-aggregator").unwrap())
        .arg("rules")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A command that does not read its input closes it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const NGINX: &str = r#"203.0.113.9 - bob [10/Oct/2023:13:55:36 +0200] "GET /cart?id=1 HTTP/1.1" 200 512 "-" "curl/8.5""#;

#[test]
fn the_tools_for_authors_work_together() {
    let dir = tests::scratch::Scratch::new("authors").unwrap();
    let file = dir.path().join("shop.yaml");
    let path = file.display().to_string();

    // From samples to a rule that passes its own tests and takes the samples.
    let samples = "2024-05-01T10:00:00Z WARN order=A17 took=12.5 no card: retrying\n2024-05-01T10:00:01Z INFO order=B2 took=3 placed\n";
    let (code, rule, said) = rules(&["new", "--name", "shop"], samples);
    assert_eq!(code, Some(0), "{said}");
    fs::write(&file, &rule).unwrap();
    for command in ["check", "test", "bench"] {
        let (code, out, said) = rules(&[command, &path], "");
        assert_eq!(code, Some(0), "{command}: {out}{said}\n{rule}");
    }
    let (code, out, said) = rules(&["try", "--rules", &path, "--output", "json"], samples);
    assert_eq!(code, Some(0), "{said}");
    let documents: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(documents.len(), 2, "{out}");
    assert_eq!(documents[0]["attributes"]["order"], "A17", "{out}");
    assert_eq!(documents[1]["log"]["level"], "info", "{out}");

    // Shipped rules need no `--rules`; a wrapped line is unwrapped.
    let wrapped = format!("2024-01-01T00:00:00.000000001Z stdout F {NGINX}\n");
    for args in [
        &["try", "--output", "json", "--framing", "cri"] as &[&str],
        &[
            "try",
            "--output",
            "json",
            "--framing",
            "cri",
            "--rule",
            "nginx.access",
        ],
    ] {
        let (code, out, said) = rules(args, &wrapped);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(document["http"]["response"]["status_code"], 200, "{out}");
    }

    // Why a line was not taken: the step, the byte, a caret below it.
    let (code, out, _) = rules(
        &["explain", "--rules", &path],
        "2024-05-01T10:00:00Z WARN order=A17 gone\n",
    );
    assert_eq!(code, Some(0));
    assert!(
        out.contains("`pattern` fails at byte") && out.contains('^'),
        "{out}"
    );

    // What is wrong is drawn; what fails is compared.
    fs::write(&file, "name: shop\nstpes: []\n").unwrap();
    let (code, out, _) = rules(&["check", &path], "");
    assert_eq!(code, Some(1));
    assert!(
        out.contains(":2:1: unknown key `stpes`") && out.contains("^^^^^"),
        "{out}"
    );
    fs::write(&file, "name: shop\nsteps: [{json: {}}]\nexamples:\n  - line: '{\"a\":1}'\n    fields: {attributes.a: 2}\n").unwrap();
    let (code, out, _) = rules(&["test", &path], "");
    assert_eq!(code, Some(1));
    assert!(
        out.contains("expected 2") && out.contains("actual   1"),
        "{out}"
    );
    let (code, out, _) = rules(&["test", "--output", "junit", &path], "");
    assert_eq!(code, Some(1));
    assert!(out.contains("failures=\"1\""), "{out}");

    // Definitions of others.
    let parsers = "[PARSER]\n    Name kube\n    Format regex\n    Regex ^(?<level>\\w+) (?<n>\\d+)$\n    Types n:integer\n";
    let (code, out, said) = rules(&["convert"], parsers);
    assert_eq!(code, Some(0), "{said}");
    fs::write(&file, &out).unwrap();
    let (_, out, _) = rules(&["try", "--rules", &path, "--output", "json"], "INFO 7\n");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["attributes"]["n"], 7, "{out}");

    let (code, schema, _) = rules(&["schema"], "");
    assert_eq!(code, Some(0));
    assert!(serde_json::from_str::<Value>(&schema).unwrap()["properties"]["steps"].is_object());
    let (code, list, _) = rules(&["list"], "");
    assert!(
        code == Some(0) && list.contains("nginx.access") && list.contains("pattern"),
        "{list}"
    );
}
