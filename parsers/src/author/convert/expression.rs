//! Ruby's regular expressions (Onigmo: Fluent Bit, Fluentd) as Rust's.
//!
//! The two agree in nearly all that log formats use. What differs and has an equal is rewritten;
//! what has none makes the rule fail to load, and that is said.

/// An expression in Rust's syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) text: String,
    /// What came out differently.
    pub(super) notes: Vec<String>,
}

/// Converts an expression, with or without slashes and flags around it.
pub(super) fn from_ruby(text: &str) -> Expression {
    let mut notes = Vec::new();
    let (body, flags) = without_slashes(text.trim());
    let mut out = String::new();
    // Ruby's `m` lets a dot take newlines, which is `s` elsewhere.
    let flags: String = flags
        .chars()
        .filter_map(|flag| match flag {
            'm' => Some('s'),
            'i' | 'x' => Some(flag),
            _ => None,
        })
        .collect();
    if !flags.is_empty() {
        out.push_str(&format!("(?{flags})"));
    }
    let mut chars = body.chars().peekable();
    let mut in_class = false;
    // What the last piece was, to tell a possessive `+` from a quantifier.
    let mut after_quantifier = false;
    while let Some(c) = chars.next() {
        let mut is_quantifier = false;
        match c {
            '\\' => match chars.next() {
                Some('h') => out.push_str(if in_class { "0-9a-fA-F" } else { "[0-9a-fA-F]" }),
                Some('H') if !in_class => out.push_str("[^0-9a-fA-F]"),
                Some('Z') => out.push_str("\\z"),
                Some('/') => out.push('/'),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push_str("\\\\"),
            },
            '[' => {
                // A bracket within a class is itself in Ruby only when escaped; Rust reads it as a
                // nested class, as Ruby does.
                in_class = true;
                out.push(c);
            }
            ']' => {
                in_class = false;
                out.push(c);
            }
            '(' if !in_class && lookahead(&chars, "?>") => {
                chars.next();
                chars.next();
                out.push_str("(?:");
                notes.push("an atomic group became a plain one, which may match more".to_owned());
            }
            '+' if !in_class && after_quantifier => {
                notes.push(
                    "a possessive quantifier became a plain one, which may match more".to_owned(),
                );
            }
            '*' | '+' | '?' | '}' if !in_class => {
                is_quantifier = c != '?' || !after_quantifier;
                out.push(c);
            }
            _ => out.push(c),
        }
        after_quantifier = is_quantifier;
    }
    notes.dedup();
    Expression { text: out, notes }
}

fn lookahead(chars: &std::iter::Peekable<std::str::Chars<'_>>, text: &str) -> bool {
    chars.clone().take(text.len()).eq(text.chars())
}

/// What stands between slashes, and the flags behind them.
fn without_slashes(text: &str) -> (&str, &str) {
    let whole = (text, "");
    let Some(inner) = text.strip_prefix('/') else {
        return whole;
    };
    match inner.rsplit_once('/') {
        Some((body, flags)) if flags.bytes().all(|b| b"imxo".contains(&b)) => (body, flags),
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_ruby_become_those_of_rust() {
        let check = |ruby: &str, rust: &str, n_notes: usize| {
            let found = from_ruby(ruby);
            assert_eq!(found.text, rust, "{ruby}");
            assert_eq!(found.notes.len(), n_notes, "{ruby}: {:?}", found.notes);
            assert!(regex::bytes::Regex::new(&found.text).is_ok(), "{rust}");
        };
        check(
            r"^(?<host>[^ ]*) (?<code>\d+)$",
            r"^(?<host>[^ ]*) (?<code>\d+)$",
            0,
        );
        check(r"/^(?<a>.*)$/m", r"(?s)^(?<a>.*)$", 0);
        check(r"/a\/b/", "a/b", 0);
        check(r"/no end", "/no end", 0);
        check(r"(?<id>\h+)-[\h]", "(?<id>[0-9a-fA-F]+)-[0-9a-fA-F]", 0);
        check(r"(?>a|ab)c", "(?:a|ab)c", 1);
        check(r"a++b*+c?d+?", "a+b*c?d+?", 1);
        check(r"[+*]+\Z", r"[+*]+\z", 0);
        check(r"\[(?<t>[^\]]*)\]", r"\[(?<t>[^\]]*)\]", 0);
    }

    #[test]
    fn what_has_no_equal_does_not_load() {
        for ruby in [r"(?<a>x)(?=y)", r"(?<!a)b", r"(?<q>'|\x22).*\k<q>"] {
            assert!(
                regex::bytes::Regex::new(&from_ruby(ruby).text).is_err(),
                "{ruby}"
            );
        }
    }
}
