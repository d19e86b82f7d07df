//! A log line as tokens: what is a value of a known kind, what is a word, what stands between.

use std::sync::LazyLock;

use regex::Regex;

use crate::Level;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A time; the number of its shape in [`TIMES`].
    Time(usize),
    /// A level, `WARN`.
    Level,
    Ip,
    Int,
    Float,
    /// A UUID or another long hexadecimal number.
    Id,
    /// What stands between double quotes.
    Quoted,
    /// Other letters, digits and what joins them.
    Word,
    /// White space, brackets, commas, quotes: what separates.
    Between,
}

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'l> {
    pub(super) kind: Kind,
    pub(super) text: &'l str,
}

/// How times are written: expression, and the format for a `time` step. Without a format the type
/// `time` of a hole reads it.
const TIMES: &[(&str, Option<&str>)] = &[
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?",
        None,
    ),
    (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{1,9}",
        Some("%Y-%m-%d %H:%M:%S,%f"),
    ),
    (
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{1,9}",
        Some("%Y-%m-%dT%H:%M:%S,%f"),
    ),
    (r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", None),
    (
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})",
        Some("%Y/%m/%d %H:%M:%S.%f"),
    ),
    (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", Some("%Y/%m/%d %H:%M:%S")),
    (
        r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}",
        Some("%a %b %d %H:%M:%S %Y"),
    ),
    (
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
        Some("%b %d %H:%M:%S"),
    ),
    (
        r"\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})",
        Some("%d %b %Y %H:%M:%S.%f"),
    ),
];

/// The format for a `time` step of the shape `shape`, when it needs one.
pub(super) fn time_format(shape: usize) -> Option<&'static str> {
    TIMES.get(shape).and_then(|(_, format)| *format)
}

/// The shapes, the longest match of which is the one.
static TIME_EXPRESSIONS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| TIMES.iter().map(|(text, _)| expression(text)).collect());

static ID: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-f]{16,64})$")
});

/// A number with a unit behind it.
static WITH_UNIT: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"(-?\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|B|kB|KB|KiB|MB|MiB|GB|GiB|%)$")
});

fn expression(text: &str) -> Regex {
    Regex::new(&format!("^{text}")).expect("an expression of ours compiles")
}

/// Takes a line apart. The tokens together are the line.
pub(super) fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut cutter = Cutter {
        tokens: Vec::new(),
        rest: line,
    };
    // Whether a token may begin here that would else be the middle of a word.
    let mut is_start = true;
    while let Some(c) = cutter.rest.chars().next() {
        let time = is_start.then(|| time_at(cutter.rest)).flatten();
        if let Some((shape, length)) = time {
            cutter.cut(Kind::Time(shape), length);
            is_start = true;
        } else if let Some(inner) = quoted(cutter.rest) {
            cutter.cut(Kind::Between, 1);
            cutter.cut(Kind::Quoted, inner);
            cutter.cut(Kind::Between, 1);
            is_start = true;
        } else if is_between(c) {
            cutter.cut(Kind::Between, c.len_utf8());
            is_start = true;
        } else {
            cutter.word();
            // What ended the word, each sign alone; a colon may stand before a value.
            is_start = false;
            while cutter.rest.starts_with([':', '.', '!', '?']) {
                is_start = cutter.rest.starts_with(':');
                cutter.cut(Kind::Between, 1);
            }
        }
    }
    cutter.tokens
}

struct Cutter<'l> {
    tokens: Vec<Token<'l>>,
    rest: &'l str,
}

impl Cutter<'_> {
    fn cut(&mut self, kind: Kind, length: usize) {
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        if !text.is_empty() || kind == Kind::Quoted {
            self.tokens.push(Token { kind, text });
        }
    }

    /// What is up to the next separator.
    fn word(&mut self) {
        let length = self.rest.find(is_between).unwrap_or(self.rest.len());
        let word = self.rest.split_at(length).0;
        // `name: value`, `done.`: what ends a word is not of it.
        let word = match word.trim_end_matches([':', '.', '!', '?']) {
            "" => word,
            bare => bare,
        };
        match WITH_UNIT.captures(word).and_then(|found| found.get(1)) {
            Some(number) => {
                self.cut(kind_of(number.as_str()), number.len());
                self.cut(Kind::Between, word.len() - number.len());
            }
            None => self.cut(kind_of(word), word.len()),
        }
    }
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "[](){}<>=,;|\"'`".contains(c)
}

fn time_at(text: &str) -> Option<(usize, usize)> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()) {
        return None;
    }
    let matches = TIME_EXPRESSIONS.iter().enumerate();
    matches
        .filter_map(|(shape, regex)| Some((shape, regex.find(text)?.end())))
        .max_by_key(|(shape, length)| (*length, usize::MAX - shape))
}

/// Length of what stands between two quotes; `None` when the second one is missing.
fn quoted(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return Some(at),
            _ => is_escaped = false,
        }
    }
    None
}

fn kind_of(word: &str) -> Kind {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_digits(digits) && digits.len() <= 18 {
        return Kind::Int;
    }
    if digits
        .split_once('.')
        .is_some_and(|(whole, part)| is_digits(whole) && is_digits(part) && digits.len() <= 18)
    {
        return Kind::Float;
    }
    if word.parse::<std::net::IpAddr>().is_ok() {
        return Kind::Ip;
    }
    let is_level_like = word.len() <= 9 && word.bytes().all(|b| b.is_ascii_uppercase());
    let is_lower_level = matches!(
        word,
        "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "trace"
    );
    if (is_level_like || is_lower_level)
        && word.len() > 2
        && Level::from_text(word.as_bytes()).is_some()
    {
        return Kind::Level;
    }
    if ID.is_match(word) {
        return Kind::Id;
    }
    Kind::Word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_and_hold_together() {
        let check = |line: &str, expected: &[(Kind, &str)]| {
            let found = tokens(line);
            let whole: String = found.iter().map(|token| token.text).collect();
            assert_eq!(whole, line);
            let values: Vec<(Kind, &str)> = found
                .iter()
                .filter(|token| token.kind != Kind::Between)
                .map(|token| (token.kind, token.text))
                .collect();
            assert_eq!(values, expected, "{line}");
        };
        check(
            "2024-05-01T10:00:00.123Z WARN [pool-1] took=12.5ms a: b",
            &[
                (Kind::Time(0), "2024-05-01T10:00:00.123Z"),
                (Kind::Level, "WARN"),
                (Kind::Word, "pool-1"),
                (Kind::Word, "took"),
                (Kind::Float, "12.5"),
                (Kind::Word, "a"),
                (Kind::Word, "b"),
            ],
        );
        check(
            "2024-05-01 10:00:00,123 x",
            &[
                (Kind::Time(1), "2024-05-01 10:00:00,123"),
                (Kind::Word, "x"),
            ],
        );
        check(
            "10.0.0.1 \"GET /\\\" x\" 200 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            &[
                (Kind::Ip, "10.0.0.1"),
                (Kind::Quoted, "GET /\\\" x"),
                (Kind::Int, "200"),
                (Kind::Id, "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
            ],
        );
        check(
            "no end \"of quote",
            &[
                (Kind::Word, "no"),
                (Kind::Word, "end"),
                (Kind::Word, "of"),
                (Kind::Word, "quote"),
            ],
        );
        check(
            "größe=ü … ::1",
            &[
                (Kind::Word, "größe"),
                (Kind::Word, "ü"),
                (Kind::Word, "…"),
                (Kind::Ip, "::1"),
            ],
        );
        check("", &[]);
        check("...", &[(Kind::Word, "...")]);
    }
}
