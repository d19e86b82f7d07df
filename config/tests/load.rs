//! Configurations as people write them, right and wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::agent::{AgentConfig, StartAt};
use config::aggregator::{AckMode, AggregatorConfig, EventStart};
use config::{ByteSize, Credentials, Environment, Problems, Root};
use proptest::prelude::*;

const AGENT: &str = "\
data_dir: ./agent-data
node_name: node-1
files:
  include: [/var/log/containers/*.log]
  start_at: beginning
aggregators: [http://127.0.0.1:7080]
listen: 127.0.0.1:7081  # /metrics, /healthz
";

const AGGREGATOR: &str = "\
data_dir: ./aggregator-data
listen: 127.0.0.1:7080      # agents; /metrics, /healthz, /readyz too
ack: buffer
rules: [./rules]            # optional
outputs:
  - name: main
    elasticsearch: {hosts: [http://127.0.0.1:9200]}
";

fn parse<T: Root>(text: &str) -> Result<T, Problems> {
    let env = Environment::of([("NODE_NAME", "node-9"), ("SIZE", "2MiB")]);
    config::parse(text, Path::new("/etc/tailrace/x.yaml"), &env)
}

#[test]
fn the_smallest_agent_configuration_loads() {
    let config: AgentConfig = parse(AGENT).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(config.data_dir, Path::new("/etc/tailrace/agent-data"));
    assert_eq!(config.node_name, "node-1");
    assert_eq!(config.files.start_at, StartAt::Beginning);
    assert_eq!(config.files.linger, Duration::from_millis(100));
    assert_eq!(config.batch.max_bytes, ByteSize::mib(1));
    let roots = [
        "/var/lib/docker/containers",
        "/var/log/containers",
        "/var/log/pods",
    ];
    assert_eq!(config.files.roots(), roots.map(PathBuf::from));
    assert_eq!(config.listen.port(), 7081);
}

#[test]
fn the_smallest_aggregator_configuration_loads() {
    let config: AggregatorConfig = parse(AGGREGATOR).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(config.data_dir, Path::new("/etc/tailrace/aggregator-data"));
    assert_eq!(config.rules, [PathBuf::from("/etc/tailrace/rules")]);
    assert_eq!(config.ack, AckMode::Buffer);
    assert!(config.workers >= 1);
    let output = &config.outputs[0];
    assert_eq!(output.buffer.max_bytes, ByteSize::gib(8));
    assert_eq!(output.elasticsearch.hosts[0].port(), 9200);
    assert_eq!(
        output.elasticsearch.credentials().unwrap(),
        Credentials::None
    );
}

#[test]
fn environment_and_paths_are_resolved() {
    let text = AGENT.replace("node-1", "pre-${NODE_NAME}")
        + "batch: {max_bytes: \"${SIZE}\", max_chunk: '${MISSING:-8MiB}'}\n"
        + "fields: {team: 42, 'a.b': '${NODE_NAME}'}\ntoken_file: ${MISSING:-}\n";
    let config: AgentConfig = parse(&text).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(config.node_name, "pre-node-9");
    assert_eq!(config.batch.max_bytes, ByteSize::mib(2));
    assert_eq!(config.batch.max_chunk, ByteSize::mib(8));
    assert_eq!(config.fields["team"], "42");
    assert_eq!(config.fields["a.b"], "node-9");
    assert_eq!(config.token_file, None);
    let text = AGENT.replace("/var/log/containers/*.log", "'./logs[1]/*.log'");
    let config: AgentConfig = parse(&text).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(
        config.files.include[0].as_str(),
        "/etc/tailrace/logs[1]/*.log"
    );
    let aliased = AGENT.replace(
        "aggregators: [http://127.0.0.1:7080]",
        "aggregators: &a [http://h:1]",
    ) + "fields: {x: &x y, z: *x}\n";
    assert_eq!(parse::<AgentConfig>(&aliased).unwrap().fields["z"], "y");
}

#[test]
fn all_problems_are_listed_at_once() {
    let text = "\
data_dir: /var/lib/a
data_dir: /var/lib/b
fils:
  include: [x]
files:
  include: ['/var/[z-a']
  max_line: 1M
  linger: 5
  start_at: begining
  max_open: 3
max_chunk: 4MiB
aggregators: [127.0.0.1:7080, 'https://a:1']
node_name: ${NOPE}
log: yes
timeout: [1s]
fields: [a]
listen: :7081
";
    let problems = parse::<AgentConfig>(text).unwrap_err().to_string();
    let lines: Vec<&str> = problems.lines().collect();
    let file = "/etc/tailrace/x.yaml";
    let expected = [
        ":2:1: duplicate key `data_dir`, first given in line 1",
        ":3:1: fils: unknown key; did you mean `files`?",
        ":6:13: files.include[0]: expected a glob, got `/var/[z-a`: ",
        ":7:13: files.max_line: expected a size like `64MiB`, got `1M`: unit `M` is ambiguous: write `MiB` or `MB`",
        ":8:11: files.linger: expected a duration like `5s`, got `5`: a unit is missing: `5s`?",
        ":9:13: files.start_at: expected one of beginning, end, got `begining`; did you mean `beginning`?",
        ":10:13: files.max_open: must be at least 16, got `3`",
        ":11:1: max_chunk: unknown key; did you mean `batch.max_chunk`?",
        ":12:15: aggregators[0]: expected a URL like `http://host:9200`, got `127.0.0.1:7080`: it must start with",
        ":13:12: node_name: environment variable `NOPE` is not set",
        ":14:6: log: expected a section (`key: value` lines), got `yes`",
        ":15:10: timeout: expected a duration like `5s`, got a list",
        ":16:9: fields: expected `key: value` lines, got a list",
        ":17:9: listen: expected an address like `127.0.0.1:7080`, got `:7081`: write `0.0.0.0:7081`",
    ];
    for (idx, want) in expected.iter().enumerate() {
        let got = lines
            .get(idx)
            .unwrap_or_else(|| panic!("{want} is missing in\n{problems}"));
        assert!(
            got.starts_with(&format!("{file}{want}")),
            "want {want}\n got {got}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{problems}");
}

/// Checks that `addition` to the smallest configuration has exactly the problem `expected`.
fn refused<T: Root>(text: &str, expected: &str) {
    match parse::<T>(text) {
        Ok(_) => panic!("not refused ({expected}):\n{text}"),
        Err(problems) => {
            let listed = problems.to_string();
            assert!(
                listed.contains(expected),
                "want {expected}\n got {listed}\n{text}"
            );
            assert_eq!(problems.0.len(), 1, "{listed}\n{text}");
        }
    }
}

#[test]
fn rules_between_keys_of_the_agent_hold() {
    let cases = [
        (
            "batch: {max_chunk: 512KiB}",
            "batch.max_chunk: must be at least `files.max_line` (1MiB), got `512KiB`",
        ),
        (
            "batch: {compression: gzip, level: 12}",
            "batch.level: must be at most 9 for gzip",
        ),
        (
            "batch: {level: 0}",
            "batch.level: must be at least 1, got `0`",
        ),
        (
            "rate_limit: {stream: 0}",
            "rate_limit.stream: must be at least 1KiB, got `0`",
        ),
        ("fields: {.a: b}", "fields: `.a` is no field name"),
        (
            "token_file: /nowhere/token",
            "token_file: cannot read secret `/nowhere/token`",
        ),
        ("a: [", "not valid YAML"),
        ("---\na: b", "a second document"),
        ("? [a]\n: b", "a key must be a text"),
        ("log: {level: 'info\u{7}'}", "got `info\\u{7}…`"),
    ];
    for (addition, expected) in cases {
        refused::<AgentConfig>(&format!("{AGENT}{addition}\n"), expected);
    }
    refused::<AgentConfig>(
        &AGENT.replace("aggregators:", "# "),
        "aggregators: is required (list of URL)",
    );
    refused::<AgentConfig>(
        &AGENT.replace("[http://127.0.0.1:7080]", "[]"),
        "must not be empty",
    );
    refused::<AgentConfig>(
        &AGENT.replace("[http://127.0.0.1:7080]", "http://a:1"),
        "write `[http://a:1]`",
    );
    refused::<AgentConfig>(
        &AGENT.replace("listen: 127.0.0.1", "listen: localhost"),
        "write the IP address",
    );
    refused::<AgentConfig>(
        &AGENT.replace("http://127", "https://127"),
        "aggregators[0]: the agent speaks plain",
    );
    refused::<AgentConfig>(
        &AGENT.replace("start_at: beginning", "linger: 5s"),
        "files.linger: must not be longer",
    );
}

#[test]
fn rules_between_keys_of_the_aggregator_hold() {
    let with = |output: &str, elasticsearch: &str| {
        format!(
            "data_dir: d\noutputs:\n  - name: main\n    {output}\n    elasticsearch: {{hosts: [http://a:1], {elasticsearch}}}\n"
        )
    };
    let cases = [
        (
            with("index: a-%Q", ""),
            "outputs[0].index: `%Q` is no part of a date",
        ),
        (
            with("{index: a}", "").replace("{index: a}", "index: a-%Y\n    dataset: x"),
            "outputs[0].dataset: belongs to data streams",
        ),
        (with("dataset: a-b", ""), "must not hold `-`"),
        (with("optional: true", ""), "outputs: one output at least"),
        (
            with(
                "batch: {max_bytes: 60MiB}\n    buffer: {segment_bytes: 1MiB}",
                "",
            ),
            "outputs[0].batch.max_bytes: must not be larger",
        ),
        (
            with("buffer: {max_bytes: 100MiB}", ""),
            "outputs[0].buffer.max_bytes: must be at least two segments",
        ),
        (
            with("", "username: u"),
            "elasticsearch.username: needs `password`",
        ),
        (
            with("", "password: p"),
            "elasticsearch.password: needs `username`",
        ),
        (
            with("", "api_key: a, token: b"),
            "outputs[0].elasticsearch: give one way to authenticate, got api_key, token",
        ),
        (
            with("", "api_key: ''"),
            "elasticsearch.api_key: the secret is empty",
        ),
        (with("", "ca_file: /dev/null/x"), "elasticsearch.ca_file"),
        (with("", "hosts: [http://b:1]"), "duplicate key `hosts`"),
        (with("", "host: b"), "did you mean `hosts`?"),
        (
            with("", "").replace("main", "Main"),
            "outputs[0].name: must be 1 to 63",
        ),
        (
            AGGREGATOR.replace("- name: main\n    ", "- "),
            "outputs[0].name: is required",
        ),
        (
            AGGREGATOR.replace("    elasticsearch", "    # elasticsearch"),
            "outputs[0].elasticsearch: is required, or `embedded`",
        ),
        (
            format!("{AGGREGATOR}    embedded: {{}}\n"),
            "outputs[0].embedded: an output has one store",
        ),
        (
            format!("{AGGREGATOR}  - name: main\n    elasticsearch: {{hosts: [http://b:1]}}\n"),
            "outputs[1]: the name `main` is taken",
        ),
        (
            format!("{AGGREGATOR}receive: {{memory: 1MiB}}\n"),
            "receive.memory: must be at least `receive.max_batch` (64MiB), got `1MiB`",
        ),
        (
            format!("{AGGREGATOR}workers: 0\n"),
            "workers: must be from 1",
        ),
        (
            format!("{AGGREGATOR}multiline: {{enabled: 'on'}}\n"),
            "expected `true` or `false`, got `on`: write `true`",
        ),
        (
            format!("{AGGREGATOR}multiline: {{max_event: 1KiB}}\n"),
            "multiline.max_line: must not be larger",
        ),
    ];
    for (text, expected) in cases {
        // Two problems stand where one causes the other; each case is written to have one.
        let listed = match parse::<AggregatorConfig>(&text) {
            Ok(_) => panic!("not refused ({expected}):\n{text}"),
            Err(problems) => problems,
        };
        assert!(
            listed.to_string().contains(expected),
            "want {expected}\n got {listed}\n{text}"
        );
    }
}

#[test]
fn secrets_come_from_files_and_are_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "c2VjcmV0\n").unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    let text = AGGREGATOR.replace("9200]", "9200], api_key_file: key");
    let path = dir.path().join("aggregator.yaml");
    std::fs::write(&path, &text).unwrap();
    let config: AggregatorConfig =
        config::load(&path, &Environment::of([])).unwrap_or_else(|p| panic!("{p}"));
    let Credentials::ApiKey(key) = config.outputs[0].elasticsearch.credentials().unwrap() else {
        panic!("no API key");
    };
    assert_eq!(key.expose(), "c2VjcmV0");

    std::fs::write(&path, text.replace(": key", ": empty")).unwrap();
    let problems = config::load::<AggregatorConfig>(&path, &Environment::of([]))
        .unwrap_err()
        .to_string();
    assert!(
        problems.contains("api_key_file: cannot read secret") && problems.contains("is empty"),
        "{problems}"
    );

    let text = AGGREGATOR.replace("9200]", "9200], username: u, password: hunter2");
    let config: AggregatorConfig = parse(&text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let text = AGGREGATOR.replace("http://127", "http://u:hunter2@127");
    assert!(
        !parse::<AggregatorConfig>(&text)
            .unwrap_err()
            .to_string()
            .contains("hunter2")
    );
}

#[test]
fn files_that_are_no_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.yaml");
    let load = || {
        config::load::<AgentConfig>(&path, &Environment::of([]))
            .unwrap_err()
            .to_string()
    };
    assert!(
        load().contains("agent.yaml: cannot read: No such file"),
        "{}",
        load()
    );
    std::fs::write(&path, b"a: b\nc: \xff\n").unwrap();
    assert!(load().contains("line 2 is not UTF-8"), "{}", load());
    std::fs::write(&path, vec![b' '; 5 << 20]).unwrap();
    assert!(load().contains("larger than 4MiB"), "{}", load());
}

#[test]
fn bombs_are_refused() {
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let item = format!("*a{}", level - 1);
        aliases.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [item.as_str(); 10].join(", ")
        ));
    }
    assert!(
        parse::<AgentConfig>(&aliases)
            .unwrap_err()
            .to_string()
            .contains("too many values")
    );
    let deep = format!("a: {}", "[".repeat(10_000));
    assert!(parse::<AgentConfig>(&deep).is_err());
}

#[test]
fn kubernetes_events_are_off_and_their_times_go_together() {
    let config: AggregatorConfig = parse(AGGREGATOR).unwrap();
    assert!(!config.kubernetes_events.enabled);
    let with = |section: &str| {
        let text = format!("{AGGREGATOR}kubernetes_events: {{enabled: true, {section}}}\n");
        parse::<AggregatorConfig>(&text).map_err(|problems| problems.to_string())
    };
    let config = with("start_at: end, namespaces: {exclude: [kube-system]}").unwrap();
    assert_eq!(config.kubernetes_events.start_at, EventStart::End);
    assert_eq!(config.kubernetes_events.lease.duration.as_secs(), 15);
    for (section, problem) in [
        (
            "lease: {renew_deadline: 15s}",
            "kubernetes_events.lease.renew_deadline: must be below `duration` (15s), got `15s`",
        ),
        (
            "lease: {retry_period: 6s}",
            "retry_period: must be at most half of `renew_deadline` (10s), got `6s`",
        ),
        (
            "lease: {duration: 12500ms}",
            "duration: must be whole seconds, as a Lease knows no others, got `12500ms`",
        ),
        (
            "lease: {name: Events_1}",
            "expected a name of lower-case letters",
        ),
        (
            "lease: {namespace: -a}",
            "kubernetes_events.lease.namespace: expected a name",
        ),
        ("types: []", "kubernetes_events.types: must not be empty"),
        ("types: [Error]", "Normal"),
        (
            "namespaces: {include: []}",
            "`include` is empty: no Event would be taken",
        ),
        ("lease: {nmae: x}", "name"),
    ] {
        let told = with(section).unwrap_err();
        assert!(told.contains(problem), "{section}: {told}");
    }
    let old: AggregatorConfig = parse(AGGREGATOR).unwrap();
    assert_eq!(old.needs_restart(&config), ["kubernetes_events"]);
}

#[test]
fn the_agent_within_is_off_and_is_an_agent_when_it_is_on() {
    let config: AggregatorConfig = parse(AGGREGATOR).unwrap();
    assert!(!config.agent.enabled);
    let text = format!(
        "{AGGREGATOR}agent: {{enabled: true, node_name: box-1, files: {{include: [/srv/*.log], \
         max_line: 8MiB}}, fields: {{service.name: shop}}}}\n"
    );
    let config: AggregatorConfig = parse(&text).unwrap();
    let (data_dir, second) = (Path::new("/data"), std::time::Duration::from_secs(1));
    let agent = config.agent.as_agent(data_dir, 10 * second, 4, 5 * second);
    assert_eq!(agent.data_dir, Path::new("/data/agent"));
    assert_eq!(agent.node_name, "box-1");
    assert_eq!(agent.files.include[0].as_str(), "/srv/*.log");
    // What an agent's own file is checked for holds here by itself.
    assert!(agent.batch.max_chunk >= agent.files.max_line);
    assert!(agent.batch.in_flight > 4 && agent.timeout > 10 * second);
    assert_eq!(agent.shutdown_grace, 5 * second);
    assert_eq!(agent.fields["service.name"], "shop");

    let text =
        format!("{AGGREGATOR}agent: {{node_name: '', fields: {{.a: x}}, files: {{linger: 3s}}}}\n");
    let problems = parse::<AggregatorConfig>(&text).unwrap_err().to_string();
    for problem in [
        "agent.node_name: must not be empty",
        "agent.files.linger: must not be longer",
    ] {
        assert!(problems.contains(problem), "{problems}");
    }
    let text = format!("{AGGREGATOR}agent: {{fields: {{.a: x}}}}\n");
    let problems = parse::<AggregatorConfig>(&text).unwrap_err().to_string();
    assert!(problems.contains("`.a` is no field name"), "{problems}");
}

#[test]
fn what_a_reload_cannot_change_is_named() {
    let old: AggregatorConfig = parse(AGGREGATOR).unwrap();
    let text = AGGREGATOR
        .replace(":7080", ":7090")
        .replace("./rules", "./other");
    let new = parse(&text).unwrap();
    assert_eq!(old.needs_restart(&new), ["listen"]);
    assert!(old.needs_restart(&old).is_empty());
    let old: AgentConfig = parse(AGENT).unwrap();
    let new = parse(&AGENT.replace("node-1", "node-2")).unwrap();
    assert_eq!(old.needs_restart(&new), ["node_name"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_a_configuration_or_a_list_of_problems(text in ".{0,300}") {
        if let Err(problems) = parse::<AgentConfig>(&text) {
            prop_assert!(!problems.0.is_empty());
        }
    }

    #[test]
    fn broken_configurations_are_answered(
        start in 0usize..400, end in 0usize..400, junk in "[\\-\\[\\]{}:&*!|>'\"%@`#, \\n\\t$a-z0-9]{0,12}"
    ) {
        for whole in [AGENT, AGGREGATOR] {
            let (start, end) = (start.min(end).min(whole.len()), end.max(start).min(whole.len()));
            let text = format!("{}{junk}{}", whole.get(..start).unwrap(), whole.get(end..).unwrap());
            if let Err(problems) = parse::<AgentConfig>(&text) {
                prop_assert!(!problems.0.is_empty());
            }
            if let Err(problems) = parse::<AggregatorConfig>(&text) {
                prop_assert!(!problems.0.is_empty());
            }
        }
    }
}
