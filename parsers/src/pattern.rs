//! Patterns: a literal with holes, `<source.address> - <user.name> [<@timestamp>]`.
//!
//! A hole takes the text up to the next literal, the last one the rest of the line. Between
//! quotes an escaped quote does not end it. So a match is a chain of byte searches, linear in the
//! line: no hole is ever tried at two lengths.

use crate::marks::{Marks, is_at};
use crate::steps::Failure;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Literal before the first hole.
    start: Vec<u8>,
    holes: Vec<Hole>,
}

#[derive(Debug)]
struct Hole {
    /// `name` or `name:type`, as it was written.
    name: String,
    end: End,
}

/// What ends a hole.
#[derive(Debug)]
enum End {
    /// The end of the line.
    Line,
    /// A single byte.
    Byte(u8),
    Literal(Vec<u8>),
    /// A literal that begins with a quote that no backslash escapes.
    Quote(Vec<u8>),
}

/// What is wrong with a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where in the pattern, in characters from 0.
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Pattern {
    /// Compiles a pattern. `<<` stands for a `<`. Gives the names of the holes, too, in order.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where.
    pub(crate) fn compile(text: &str) -> Result<(Pattern, Vec<String>), Wrong> {
        // Literals and holes in turn: literal, (hole, literal)*.
        let mut literals = vec![Vec::new()];
        let mut names: Vec<String> = Vec::new();
        let wrong = |at, what: &str, hint: &str| Wrong {
            at,
            what: what.to_owned(),
            hint: Some(hint.to_owned()),
        };
        let mut characters = text.chars().enumerate().peekable();
        while let Some((at, c)) = characters.next() {
            let Some(literal) = literals.last_mut() else {
                break;
            };
            if c != '<' {
                literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            if characters.next_if(|(_, c)| *c == '<').is_some() {
                literal.push(b'<');
                continue;
            }
            let mut name = String::new();
            loop {
                match characters.next() {
                    Some((_, '>')) => break,
                    Some((_, c)) => name.push(c),
                    None => {
                        return Err(wrong(
                            at,
                            "a hole is not closed",
                            "write `<<` for a `<` of the line",
                        ));
                    }
                }
            }
            if literal.is_empty() && !names.is_empty() {
                return Err(wrong(
                    at,
                    "two holes without text between them",
                    "put what separates them in the lines there",
                ));
            }
            if let Err((what, hint)) = crate::rules::parse_target(&name) {
                return Err(Wrong { at, what, hint });
            }
            names.push(name);
            literals.push(Vec::new());
        }
        if names.is_empty() {
            return Err(wrong(
                0,
                "a pattern without holes",
                "a hole is written `<name>`; use `match: contains` to look for text",
            ));
        }
        let mut literals = literals.into_iter();
        let start = literals.next().unwrap_or_default();
        let mut is_quoted = start.ends_with(b"\"");
        let mut holes = Vec::new();
        for (name, literal) in names.iter().zip(literals) {
            let next_is_quoted = literal.ends_with(b"\"");
            let end = match &literal[..] {
                [] => End::Line,
                [b'"', ..] if is_quoted => End::Quote(literal),
                [byte] => End::Byte(*byte),
                _ => End::Literal(literal),
            };
            is_quoted = next_is_quoted;
            let name = name.clone();
            holes.push(Hole { name, end });
        }
        Ok((Pattern { start, holes }, names))
    }

    /// The name of a hole, with its type.
    pub(crate) fn name(&self, hole: usize) -> Option<&str> {
        self.holes.get(hole).map(|hole| hole.name.as_str())
    }

    /// Whether text stands before the first hole.
    pub(crate) fn begins_with_literal(&self) -> bool {
        !self.start.is_empty()
    }

    /// The text that must be there for the match to go on when `n_found` holes are filled: `None`
    /// when only the end of the line is missing.
    pub(crate) fn literal_after(&self, n_found: usize) -> Option<String> {
        let literal = match &self.holes.get(n_found)?.end {
            End::Line => return None,
            End::Byte(byte) => std::slice::from_ref(byte),
            End::Literal(literal) | End::Quote(literal) => literal,
        };
        Some(String::from_utf8_lossy(literal).into_owned())
    }

    /// Matches `line[from..to]` whole. Appends start and end of each hole's text to `found`;
    /// leftovers stay there when it does not match.
    ///
    /// # Errors
    ///
    /// Where it ceases to match.
    #[inline]
    pub(crate) fn find(
        &self,
        line: &[u8],
        from: usize,
        to: usize,
        marks: &Marks,
        found: &mut Vec<(u32, u32)>,
    ) -> Result<(), Failure> {
        let text = line.get(..to).unwrap_or_default();
        let begins = text.get(from..).unwrap_or_default();
        if !begins.starts_with(&self.start) {
            return Err(Failure::at(from, "the text begins differently"));
        }
        let mut at = from + self.start.len();
        for hole in &self.holes {
            let (end, literal) = match &hole.end {
                End::Line => (Some(to), 0),
                End::Byte(byte) => (marks.find(text, *byte, at, to), 1),
                End::Literal(literal) => (find_literal(text, at, literal, marks), literal.len()),
                End::Quote(literal) => (find_quote(text, at, literal, marks), literal.len()),
            };
            let Some(end) = end else {
                return Err(Failure::at(at, "what ends the hole is missing"));
            };
            found.push((at as u32, end as u32));
            at = end + literal;
        }
        if at == to {
            Ok(())
        } else {
            Err(Failure::at(at, "the text should end here"))
        }
    }
}

/// Position of `literal`: of its first byte, then of the rest behind it. Literals are short, and
/// begin with what separates fields: a search made for long ones costs more than it saves.
#[inline]
fn find_literal(text: &[u8], mut at: usize, literal: &[u8], marks: &Marks) -> Option<usize> {
    let (first, rest) = literal.split_first()?;
    loop {
        at = marks.find(text, *first, at, text.len())?;
        if is_at(text, at + 1, rest) {
            return Some(at);
        }
        at += 1;
    }
}

/// Position of `literal`, which begins with a quote, where no odd number of backslashes stands
/// before it.
#[inline]
fn find_quote(text: &[u8], mut at: usize, literal: &[u8], marks: &Marks) -> Option<usize> {
    let rest = literal.get(1..)?;
    loop {
        at = marks.find_special(text, at);
        match *text.get(at)? {
            b'\\' => at += 2,
            b'"' if is_at(text, at + 1, rest) => return Some(at),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn looked_at(line: &str) -> Marks {
        let mut marks = Marks::default();
        marks.look(line.as_bytes());
        marks
    }

    fn find(pattern: &str, line: &str) -> Option<Vec<String>> {
        let (pattern, _) = Pattern::compile(pattern).unwrap();
        let mut found = Vec::new();
        let matches = pattern
            .find(line.as_bytes(), 0, line.len(), &looked_at(line), &mut found)
            .is_ok();
        let text = |(s, e): &(u32, u32)| line.get(*s as usize..*e as usize).unwrap().to_owned();
        matches.then(|| found.iter().map(text).collect())
    }

    #[test]
    fn holes_take_text_up_to_the_next_literal() {
        let check = |pattern: &str, line: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect());
            assert_eq!(find(pattern, line), expected, "{pattern} on {line}");
        };
        check("<a> <b>", "1 2 3", Some(&["1", "2 3"]));
        check("<a> <b>.", "1 2.", Some(&["1", "2"]));
        check("<a> <b>.", "1 2.x", None);
        check("[<a>] <b>", "[x] y", Some(&["x", "y"]));
        check("[<a>] <b>", "x] y", None);
        check("<<<a>>", "<x>", Some(&["x"]));
        check(
            "\"<a>\" <b>",
            r#""x \"y\" z" w"#,
            Some(&[r#"x \"y\" z"#, "w"]),
        );
        check("\"<a>\" \"<b>\"", r#""x" """#, Some(&["x", ""]));
        check("\"<a>\"", r#""x\"#, None);
        check("<a> -- <b>", "é -- ü", Some(&["é", "ü"]));
        check("<a> ", "x", None);
    }

    #[test]
    fn what_is_wrong_says_where() {
        let at = |pattern: &str| Pattern::compile(pattern).unwrap_err().at;
        assert_eq!(at("ab <c"), 3);
        assert_eq!(at("<a><b>"), 3);
        assert_eq!(at("é <a:x>"), 2);
        assert_eq!(at("text"), 0);
    }

    proptest! {
        /// The pattern finds what the regex finds that says the same: `.*?` for each hole.
        #[test]
        fn a_pattern_agrees_with_its_regex(literals in proptest::collection::vec("[ab,]{1,2}", 1..4), line in "[ab, ]{0,16}", open in any::<bool>()) {
            let mut pattern = String::new();
            let mut regex = String::from("^");
            for (i, literal) in literals.iter().enumerate() {
                pattern.push_str(&format!("<h{i}>{literal}"));
                // A hole ends at the first place where its literal stands: no going back.
                regex.push_str(&format!("(.*?){literal}"));
            }
            if open {
                pattern.push_str("<rest>");
                regex.push_str("(.*)");
            }
            regex.push('$');
            let found = find(&pattern, &line);
            let captures = regex::Regex::new(&regex).unwrap().captures(&line);
            if let Some(found) = &found {
                let captures = captures.as_ref().expect("what the pattern matches the regex matches");
                let expected: Vec<_> = captures.iter().skip(1).map(|c| c.unwrap().as_str().to_owned()).collect();
                prop_assert_eq!(found, &expected);
            } else if open {
                prop_assert!(captures.is_none());
            }
        }

        #[test]
        fn no_text_panics(pattern in "[<>:_a\" ]{0,12}", line in "[a\"\\\\ ]{0,20}") {
            if let Ok((pattern, _)) = Pattern::compile(&pattern) {
                let mut found = Vec::new();
                let is_found = pattern.find(line.as_bytes(), 0, line.len(), &looked_at(&line), &mut found).is_ok();
                prop_assert!(!is_found || !found.is_empty());
            }
        }
    }
}
