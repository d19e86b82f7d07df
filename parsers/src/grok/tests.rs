//! Grok against what is known of Logstash's engine. The cases of its test suite are in
//! `tests/cases.rs`.

use proptest::prelude::*;

use super::*;

fn find(pattern: &str, line: &str) -> Option<String> {
    let library = Library::core(Flavour::Ecs);
    let grok = Grok::compile(pattern, library).unwrap_or_else(|e| panic!("{pattern}: {e:?}"));
    let mut ranges = Vec::new();
    let mut marks = Marks::default();
    marks.look(line.as_bytes());
    let whole = (0, line.len());
    match grok.find(
        line.as_bytes(),
        whole,
        &marks,
        &mut grok.scratch(),
        &mut ranges,
    ) {
        Found::Match => {}
        Found::NoMatch => return None,
        Found::OverLimit => return Some("over limit".to_owned()),
    }
    let text = |range: &Range| range.map_or("-", |(s, e)| line.get(s..e).unwrap());
    let fields = grok.captures().iter().zip(&ranges);
    let fields: Vec<_> = fields
        .map(|(capture, range)| format!("{}={}", capture.name, text(range)))
        .collect();
    Some(fields.join(" "))
}

fn check(pattern: &str, line: &str, expected: &str) {
    let found = find(pattern, line);
    assert_eq!(
        found.as_deref().unwrap_or("no match"),
        expected,
        "{pattern} on {line}"
    );
}

#[test]
fn pieces_capture() {
    check(
        "%{WORD:a} %{NUMBER:b:float}",
        "x took 1.5 s",
        "a=took b=1.5",
    );
    check("%{WORD:[a][b]}", "x", "a.b=x");
    check("(?<x>[0-9]+)-%{INT:y}", "a 12-3", "x=12 y=3");
    check("%{QS:q}", r#"say "a \" b" now"#, r#"q="a \" b""#);
    check("^%{IP:ip}$", "2001:db8::7", "ip=2001:db8::7");
    check("^%{IP:ip}$", "1.2.3.400", "no match");
    check(r"a{,2}b{2}\{x}", "abb{x}", "");
    check(r"\h{2}-(?m)a.b", "ff-a\nb", "");
    check("^b$", "a\nb\nc", "");
    check("%{WORD:a} %{GREEDYDATA:b}", "x y\nz", "a=x b=y\nz");
}

#[test]
fn look_arounds_hold_though_the_engine_has_none() {
    // Without the look-behind `n` would be the last digit alone.
    check("%{GREEDYDATA:a}%{NUMBER:n}", "took 123", "a=took  n=123");
    check("%{GREEDYDATA:a}%{NUMBER:n}", "took 1.23", "a=took  n=1.23");
    check("(?<a>.*)(?<!x)(?<b>y)", "zyxy", "a=z b=y");
    check("(?<a>a+)(?!b)", "aab", "a=a");
    check("(?>(?<a>a+))b?a", "aaba", "a=aa");
    check("(?>a+)a", "aaa", "no match");
    check("(?=(?<all>.*))(?<a>[a-z]+)", "ab c", "all=ab c a=ab");
    check("(?<w>[a-z]+)(?=(?<rest> .*))", "ab c", "w=ab rest= c");
    check(r"(?<q>['`]).*?\k<q>", "x 'a` b", "no match");
}

#[test]
fn what_follows_from_the_pattern_is_not_checked() {
    let n_checks = |pattern: &str| {
        let grok = Grok::compile(pattern, Library::core(Flavour::Ecs)).unwrap();
        grok.linear.unwrap().checks.len()
    };
    // Only that no digit stands before the address: anything may.
    assert_eq!(n_checks("%{COMBINEDAPACHELOG}"), 1);
    assert_eq!(n_checks("^%{COMBINEDAPACHELOG}$"), 0);
    assert_eq!(n_checks("took %{NUMBER:n} ms"), 0);
    // Nothing is known of what is around it.
    assert_eq!(n_checks("%{NUMBER:n}"), 2);
    assert_eq!(n_checks("took %{NUMBER:n}5"), 1);
}

proptest! {
    /// Conditions that are checked afterwards, or left out as they always hold, against the engine
    /// that knows them.
    #[test]
    fn a_pattern_finds_what_the_engine_that_goes_back_finds(
        pieces in prop::collection::vec(prop::sample::select(&[
            "a", "b", "-", "[ab]", "[ab-]", "a+", "[ab]*", "a*?", "-?", "(?:a|ab)", "(?:ab|-)",
            "(?!a)", "(?![ab])", "(?=b)", "(?=[a-])", "(?<!a)", "(?<![b-])", "(?<=b)", "(?<=[ab])",
            "(?>a+b?)", "(?>a|ab)", "(?>[ab]+(?:-[ab]+)?)", "(?>a*?)", "(?>(?<y>a)b?)", "^", "$",
            "(?:(?!b)-|b)?", "(?:(?>a+)|-)",
        ][..]), 1..7),
        texts in prop::collection::vec("[ab-]{0,9}", 4),
    ) {
        let pattern = format!("(?<x>{})", pieces.concat());
        let grok = Grok::compile(&pattern, Library::core(Flavour::Ecs));
        prop_assume!(grok.is_ok());
        let grok = grok.unwrap();
        for text in texts {
            let (mut ranges, mut expected) = (Vec::new(), vec![None; grok.captures().len()]);
            let mut marks = Marks::default();
            marks.look(text.as_bytes());
            let whole = (0, text.len());
            let found = grok.find(text.as_bytes(), whole, &marks, &mut grok.scratch(), &mut ranges);
            let exactly = grok.find_exactly(text.as_bytes(), 0, &mut expected);
            prop_assert_eq!(found, exactly, "{} on {}", pattern, text);
            if found == Found::Match {
                prop_assert_eq!(&ranges, &expected, "{} on {}", pattern, text);
            }
        }
    }
}

#[test]
fn every_core_pattern_is_linear_and_its_original_compiles() {
    let mut not_linear = Vec::new();
    for flavour in [Flavour::Ecs, Flavour::Legacy] {
        let library = Library::core(flavour);
        for name in library.names() {
            let grok = Grok::compile(&format!("%{{{name}}}"), library)
                .unwrap_or_else(|e| panic!("{flavour:?} {name}: {e:?}"));
            if grok.needs_back_tracking().is_some() {
                not_linear.push((flavour, name));
            }
            assert!(grok.exact(0).is_some(), "{flavour:?} {name}");
        }
    }
    assert_eq!(not_linear, []);
}

#[test]
fn what_goes_back_has_a_limit() {
    let grok = Grok::compile(r"^(?<a>(?:x+x+)+)\k<a>y$", Library::core(Flavour::Ecs)).unwrap();
    assert!(grok.needs_back_tracking().is_some());
    let line = "x".repeat(60);
    let (line, marks) = (line.as_bytes(), Marks::default());
    let whole = (0, line.len());
    let found = grok.find(line, whole, &marks, &mut grok.scratch(), &mut Vec::new());
    assert_eq!(found, Found::OverLimit);
    // On a long line each step may be long: there are fewer of them, or none.
    let grok = Grok::compile(r"^(?<a>x)\k<a>", Library::core(Flavour::Ecs)).unwrap();
    for (n_bytes, expected) in [
        (LENGTHS[0] + 1, Found::Match),
        (LENGTHS[3], Found::Match),
        (LENGTHS[3] + 1, Found::OverLimit),
    ] {
        let line = "x".repeat(n_bytes);
        let whole = (0, line.len());
        let found = grok.find(
            line.as_bytes(),
            whole,
            &marks,
            &mut grok.scratch(),
            &mut Vec::new(),
        );
        assert_eq!(found, expected, "{n_bytes}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let library = Library::with(Flavour::Ecs, [("LOOP", "a%{LOOP}"), ("OWN", "x+")]);
    let wrong = |text: &str| Grok::compile(text, &library).unwrap_err();
    assert_eq!(wrong("%{NUMBR:n}").hint.unwrap(), "did you mean `NUMBER`?");
    assert!(wrong("%{LOOP}").what.contains("contains itself"));
    assert!(wrong("%{INT:n:itn}").what.contains("unknown type"));
    assert!(wrong("(a").what.contains("not closed"));
    assert!(wrong("a)").what.contains("without its"));
    assert!(wrong("[a").what.contains("not closed"));
    assert!(wrong("%{INT").what.contains("not closed"));
    assert!(wrong("*").what.contains("bad expression"));
    assert!(Grok::compile("%{OWN:x}", &library).is_ok());
}
