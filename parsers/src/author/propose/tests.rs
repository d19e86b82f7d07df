//! Proposals load, take the lines they were made of, and find what a person would see.

use super::*;

fn proposal(lines: &[&str]) -> Proposal {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let proposal = propose("app", &lines).expect("a rule is proposed");
    let loaded = RuleSet::from_texts(&[(Path::new("r"), &proposal.rules)]);
    assert!(loaded.is_ok(), "{loaded:#?}\n{}", proposal.rules);
    proposal
}

fn check(lines: &[&str], step: &str) {
    let proposal = proposal(lines);
    assert!(
        proposal.rules.contains(step),
        "expected {step}\n{}",
        proposal.rules
    );
    assert_eq!(proposal.n_taken, lines.len(), "{}", proposal.rules);
    assert!(proposal.rules.contains("examples:"), "{}", proposal.rules);
}

#[test]
fn known_formats_are_recognised() {
    check(
        &[
            r#"{"level":"info","msg":"a"}"#,
            r#"{"level":"warn","msg":"b","n":1}"#,
        ],
        "- json: {}",
    );
    check(
        &["level=info msg=\"a b\" n=1", "level=warn msg=x n=2"],
        "- logfmt: {}",
    );
    check(
        &[
            r#"203.0.113.9 - - [10/Oct/2023:13:55:36 +0200] "GET /cart?id=1 HTTP/1.1" 200 512 "-" "curl/8""#,
            r#"203.0.113.8 - bob [10/Oct/2023:13:55:37 +0200] "GET / HTTP/1.1" 404 0 "-" "-""#,
        ],
        "- use: nginx",
    );
    check(
        &[
            "time:2024-05-01T10:00:00Z\thost:10.0.0.1",
            "time:2024-05-01T10:00:01Z\thost:10.0.0.2",
        ],
        "- ltsv: {}",
    );
    check(
        &[
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed",
            "<35>1 2003-10-11T22:14:16.003Z mymachine.example.com su - ID48 - 'su root' failed",
        ],
        "- syslog: {}",
    );
    check(
        &[
            "May  1 10:00:00 web-1 sshd[17]: Accepted publickey for bob",
            "May  1 10:00:02 web-1 sshd[18]: Connection closed",
        ],
        "- syslog: {}",
    );
}

#[test]
fn patterns_are_found_by_comparing_lines() {
    check(
        &[
            "2024-05-01T10:00:00Z WARN [pool-1] order=A17 took=12.5 no card: retrying",
            "2024-05-01T10:00:01Z INFO [pool-2] order=B2 took=3 placed",
            "2024-05-01T10:00:02Z INFO [main] order=C9 took=0.25 placed after all",
        ],
        "'<@timestamp> <log.level> [<process.thread.name>] order=<order> took=<took:float> <message>'",
    );
    check(
        &[
            "job 17 done in 250ms by 10.0.0.1",
            "job 18 done in 3ms by 10.0.0.2",
        ],
        "'job <job:int> done in <in_ms:int>ms by <source.ip>'",
    );
    check(
        &[
            "2024-05-01T10:00:00Z INFO com.shop.cart.CartService - added one item",
            "2024-05-01T10:00:00Z ERROR com.shop.pay.PayService - card was refused twice",
        ],
        "'<@timestamp> <log.level> <log.logger> - <message>'",
    );
}

#[test]
fn a_single_line_is_enough() {
    check(
        &["2024-05-01T10:00:00Z WARN disk is nearly full"],
        "'<@timestamp> <log.level> <message>'",
    );
}

#[test]
fn lines_of_several_shapes_become_several_rules() {
    let proposal = proposal(&[
        "2024-05-01T10:00:00Z INFO started on port 80",
        "2024-05-01T10:00:01Z WARN slow: took long",
        "2024-05-01T10:00:01Z INFO ready to serve",
        "[7] GET /a",
        "[8] POST /b",
        "prose of its own kind",
    ]);
    assert_eq!(proposal.n_rules, 2, "{}", proposal.rules);
    assert_eq!(proposal.left, ["prose of its own kind"]);
    assert!(proposal.rules.contains("name: app-2"), "{}", proposal.rules);
    assert!(
        proposal
            .rules
            .contains("<http.request.method> <url.original>"),
        "{}",
        proposal.rules
    );
}

#[test]
fn prose_alone_needs_no_rule() {
    let lines = ["starting up now", "another sentence about nothing"].map(str::to_owned);
    assert_eq!(propose("x", &lines), None);
    assert_eq!(propose("x", &[]), None);
}

/// Whatever the lines are, what is proposed loads.
#[test]
fn odd_lines_are_survived() {
    for lines in [
        &["<a> << b=1", "<c> << b=2"] as &[&str],
        &["\"\"", "\"x\""],
        &["a=\u{1b}[31m1 b='x'", "a=\u{1b}[31m2 b='y'"],
        &["ü=1 é:2", "ü=3 é:4"],
        &["1 2 3", "4 5 6"],
        &["tags=1 container=2 log=x", "tags=3 container=4 log=y"],
        &["[[[[", "]]]]"],
        &["x=- y=1", "x=2 y=-"],
    ] {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        if let Some(proposal) = propose("x", &lines) {
            let loaded = RuleSet::from_texts(&[(Path::new("r"), &proposal.rules)]);
            assert!(loaded.is_ok(), "{loaded:#?}\n{}", proposal.rules);
        }
    }
}
