//! Ruby's expressions, in which grok is written, to those of our engines: one without
//! look-arounds for the linear engine, with a [`Check`] for each, and one that keeps them.
//!
//! What differs: `^` and `$` stand for lines; `\h` is a hexadecimal digit; `\d`, `\w` and `\s`
//! are ASCII; the dot matches newlines; groups without a name capture nothing.

use regex::bytes::Regex;

use super::Wrong;
use super::check::{self, Check, Kind, MAX_BEHIND};

/// A translated expression.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) linear: String,
    pub(super) exact: String,
    /// Their `group` is the number of the group's name, `m0`, `m1`, ….
    pub(super) checks: Vec<Check>,
    /// Why only `exact` will do.
    pub(super) reason: Option<&'static str>,
}

/// Deepest nesting of groups: the engines have limits of their own.
const MAX_DEPTH: usize = 200;

/// Translates an expression.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn translate(text: &str) -> Result<Translated, Wrong> {
    let mut translator = Translator {
        text,
        at: 0,
        checks: Vec::new(),
        reason: None,
        depth: 0,
        is_bounded: true,
        looks_back: false,
        last_marker: 0,
    };
    let mut both = Both::default();
    translator.sequence(&mut both)?;
    if translator.at < text.len() {
        return Err(Wrong::new("a `)` without its `(`"));
    }
    Ok(Translated {
        // Logstash compiles grok so that the dot matches newlines, too.
        linear: format!("(?s){}", both.linear),
        exact: format!("(?s){}", both.exact),
        checks: translator.checks,
        reason: translator.reason,
    })
}

/// Text of both engines.
#[derive(Debug, Default)]
struct Both {
    linear: String,
    exact: String,
}

impl Both {
    fn push(&mut self, text: &str) {
        self.linear.push_str(text);
        self.exact.push_str(text);
    }
}

struct Translator<'t> {
    text: &'t str,
    at: usize,
    checks: Vec<Check>,
    reason: Option<&'static str>,
    depth: usize,
    /// No `*`, `+` or `{` so far: for look-behinds.
    is_bounded: bool,
    /// There was something that asks what stands before: for look-arounds, which are checked on
    /// a piece of the line.
    looks_back: bool,
    last_marker: usize,
}

impl<'t> Translator<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let is_there = self.rest().starts_with(prefix);
        if is_there {
            self.at += prefix.len();
        }
        is_there
    }

    fn only_exact(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    /// Up to the end or the `)` of the group around it.
    fn sequence(&mut self, to: &mut Both) -> Result<(), Wrong> {
        if self.depth > MAX_DEPTH {
            return Err(Wrong::new("groups are nested too deep"));
        }
        self.depth += 1;
        while let Some(c) = self.peek() {
            if c == ')' {
                break;
            }
            let n_checks = self.checks.len();
            let markers = self.last_marker;
            self.next();
            match c {
                '(' => self.group(to)?,
                '[' => self.class(to)?,
                '\\' => self.escape(to)?,
                '^' => {
                    self.looks_back = true;
                    to.push("(?m:^)");
                }
                '$' => to.push("(?m:$)"),
                '{' if !self.is_count() => to.push("\\{"),
                '}' => to.push("\\}"),
                '*' | '+' | '?' | '{' => {
                    self.quantifier(c, to);
                    continue;
                }
                _ => {
                    let start = self.at - c.len_utf8();
                    to.push(self.text.get(start..self.at).unwrap_or_default());
                }
            }
            let is_repeated = match self.peek() {
                Some('*' | '+') => true,
                Some('{') => {
                    self.rest()
                        .strip_prefix('{')
                        .is_some_and(|r| !r.starts_with("0,1}") && !r.starts_with("1}"))
                        && self.is_count_here()
                }
                _ => false,
            };
            if is_repeated && (self.checks.len() > n_checks || self.last_marker > markers) {
                self.only_exact("a look-around or atomic group within a repetition");
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// After a `{`: whether a count follows, and not text.
    fn is_count(&self) -> bool {
        count(self.rest()).is_some()
    }

    fn is_count_here(&self) -> bool {
        self.rest()
            .strip_prefix('{')
            .is_some_and(|r| count(r).is_some())
    }

    fn quantifier(&mut self, mut c: char, to: &mut Both) {
        // Of a pattern of Shorewall's: `x?*` is `x*`.
        if c == '?' && self.take("*") {
            c = '*';
        }
        if c != '?' {
            self.is_bounded = false;
        }
        match c {
            '{' => {
                let inside = count(self.rest()).unwrap_or_default();
                self.at += inside.len() + 1;
                let zero = if inside.starts_with(',') { "0" } else { "" };
                to.push(&format!("{{{zero}{inside}}}"));
            }
            _ => to.push(c.encode_utf8(&mut [0; 4])),
        }
        if self.take("?") {
            to.push("?");
        } else if c != '{' && self.take("+") {
            self.only_exact("a possessive repetition");
            to.push("+");
        }
    }

    /// After a `(`.
    fn group(&mut self, to: &mut Both) -> Result<(), Wrong> {
        if self.take("?#") {
            let length = self.rest().find(')').map_or(self.rest().len(), |at| at + 1);
            self.at += length;
            return Ok(());
        }
        let looks = [
            ("?=", Kind::Ahead { is_negated: false }),
            ("?!", Kind::Ahead { is_negated: true }),
            ("?<=", Kind::Behind { is_negated: false }),
            ("?<!", Kind::Behind { is_negated: true }),
            ("?>", Kind::Atomic),
        ];
        for (prefix, kind) in looks {
            if self.take(prefix) {
                return self.condition(prefix, kind, to);
            }
        }
        if self.take("?P<") || self.take("?<") {
            let (name, _) = self.rest().split_once('>').unwrap_or_default();
            self.at += name.len() + 1;
            to.push(&format!("(?P<{name}>"));
        } else if self.take("?") {
            // Flags, for the group or for what follows.
            let length = self.rest().find([':', ')']).unwrap_or_default();
            let flags = self.rest().get(..length).unwrap_or_default();
            self.at += length;
            if self.take(")") {
                to.push(&format!("(?{})", flags.replace('m', "s")));
                return Ok(());
            }
            self.take(":");
            to.push(&format!("(?{}:", flags.replace('m', "s")));
        } else {
            to.push("(?:");
        }
        self.sequence(to)?;
        self.close(to)
    }

    fn close(&mut self, to: &mut Both) -> Result<(), Wrong> {
        if !self.take(")") {
            return Err(Wrong::new("a `(` is not closed"));
        }
        to.push(")");
        Ok(())
    }

    /// A look-around or an atomic group, after its prefix.
    fn condition(&mut self, prefix: &str, kind: Kind, to: &mut Both) -> Result<(), Wrong> {
        let (was_bounded, looked_back) = (self.is_bounded, self.looks_back);
        (self.is_bounded, self.looks_back) = (true, false);
        let n_checks = self.checks.len();
        let mut inside = Both::default();
        self.sequence(&mut inside)?;
        if !self.take(")") {
            return Err(Wrong::new("a `(` is not closed"));
        }
        to.exact.push_str(&format!("({prefix}{})", inside.exact));
        let marker = self.last_marker;
        self.last_marker += 1;
        let is_behind = matches!(kind, Kind::Behind { .. });
        if self.checks.len() > n_checks {
            self.only_exact("a look-around within a look-around");
        } else if self.looks_back && !is_behind {
            self.only_exact("a look-around that looks at what stands before it");
        } else if is_behind && (!self.is_bounded || inside.linear.len() > MAX_BEHIND) {
            self.only_exact("a look-behind of unknown length");
        }
        self.is_bounded = was_bounded && (kind != Kind::Atomic || self.is_bounded);
        self.looks_back |= looked_back;
        if self.reason.is_some() {
            return Ok(());
        }
        let anchored = match is_behind {
            true => format!("(?s:{})\\z", inside.linear),
            false => format!("\\A(?s:{})", inside.linear),
        };
        let regex = Regex::new(&anchored).map_err(|error| Wrong::new(message(&error)))?;
        let mut captures = Vec::new();
        if kind == Kind::Atomic {
            to.linear
                .push_str(&format!("(?P<m{marker}>{})", inside.linear));
        } else {
            to.linear.push_str(&format!("(?P<m{marker}>)"));
            for (group, name) in regex.capture_names().enumerate() {
                let number = name.and_then(|name| name.strip_prefix('c')?.parse().ok());
                captures.extend(number.map(|capture| (group, capture)));
            }
        }
        self.checks.push(Check {
            group: marker,
            kind,
            regex,
            one: check::one_of(&inside.linear),
            captures,
        });
        Ok(())
    }

    /// After a `\`.
    fn escape(&mut self, to: &mut Both) -> Result<(), Wrong> {
        let Some(c) = self.next() else {
            return Err(Wrong::new("a `\\` at the end"));
        };
        match c {
            'h' => to.push("[0-9A-Fa-f]"),
            'H' => to.push("[^0-9A-Fa-f]"),
            'd' => to.push("[0-9]"),
            'D' => to.push("[^0-9]"),
            'w' => to.push("[0-9A-Za-z_]"),
            'W' => to.push("[^0-9A-Za-z_]"),
            's' => to.push("[\\t-\\r ]"),
            'S' => to.push("[^\\t-\\r ]"),
            'b' | 'B' => {
                self.looks_back = true;
                to.linear.push_str(&format!("(?-u:\\{c})"));
                to.exact.push_str(&format!("\\{c}"));
                // Within UTF-8 text, `\B` between the bytes of a character would be no place.
                if c == 'B' {
                    self.only_exact("`\\B`");
                }
            }
            'A' => {
                self.looks_back = true;
                to.push("\\A");
            }
            'Z' => to.push("(?:\\n?\\z)"),
            'e' => to.push("\\x1B"),
            '0' => to.push("\\x00"),
            '1'..='9' | 'k' | 'g' => {
                self.only_exact("a back-reference");
                to.push(&format!("\\{c}"));
            }
            'G' | 'K' | 'R' | 'X' => {
                self.only_exact("an escape that only an engine that goes back knows");
                to.push(&format!("\\{c}"));
            }
            // These stand for ends of words in our engines.
            '<' | '>' => to.push(c.encode_utf8(&mut [0; 4])),
            _ if c.is_ascii() => to.push(&format!("\\{c}")),
            _ => to.push(c.encode_utf8(&mut [0; 4])),
        }
        Ok(())
    }

    /// After a `[`.
    fn class(&mut self, to: &mut Both) -> Result<(), Wrong> {
        let mut class = String::from("[");
        if self.take("^") {
            class.push('^');
        }
        // A `]` at the front is one of the class.
        if self.take("]") {
            class.push_str("\\]");
        }
        let mut depth = 1;
        while depth > 0 {
            if self.rest().starts_with("[:")
                && let Some(length) = self.rest().find(":]")
            {
                class.push_str(self.rest().get(..length + 2).unwrap_or_default());
                self.at += length + 2;
                continue;
            }
            let Some(c) = self.next() else {
                return Err(Wrong::new("a `[` is not closed"));
            };
            match c {
                '[' => {
                    depth += 1;
                    class.push('[');
                }
                ']' => {
                    depth -= 1;
                    class.push(']');
                }
                '~' => class.push_str("\\~"),
                '-' if class.ends_with('-') => class.push_str("\\-"),
                '\\' => class_escape(self.next(), &mut class),
                _ => class.push(c),
            }
        }
        to.push(&class);
        Ok(())
    }
}

fn class_escape(escaped: Option<char>, class: &mut String) {
    match escaped {
        Some('h') => class.push_str("0-9A-Fa-f"),
        Some('d') => class.push_str("0-9"),
        Some('w') => class.push_str("0-9A-Za-z_"),
        Some('s') => class.push_str("\\t-\\r "),
        Some('D') => class.push_str("[^0-9]"),
        Some('W') => class.push_str("[^0-9A-Za-z_]"),
        Some('S') => class.push_str("[^\\t-\\r ]"),
        Some('b') => class.push_str("\\x08"),
        Some('e') => class.push_str("\\x1B"),
        Some(c @ ('<' | '>')) => class.push(c),
        Some(c) if c.is_ascii() => {
            class.push('\\');
            class.push(c);
        }
        Some(c) => class.push(c),
        None => {}
    }
}

/// The inside of a count, `2`, `2,`, `,3`, `2,3`, when `text` goes on as one after its `{`.
fn count(text: &str) -> Option<&str> {
    let (inside, _) = text.split_once('}')?;
    let is_count = inside.bytes().all(|b| b.is_ascii_digit() || b == b',')
        && inside.bytes().filter(|b| *b == b',').count() <= 1
        && inside.bytes().any(|b| b.is_ascii_digit());
    is_count.then_some(inside)
}
/// What the engine says is wrong: the last line, those before draw it.
fn message(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("bad expression: {}", last.trim_start_matches("error: "))
}
