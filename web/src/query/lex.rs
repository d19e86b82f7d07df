//! Characters to tokens. Knows where words end and what is escaped, nothing of structure.

use std::ops::Range;

use super::{Piece, QueryError};

/// A token and the bytes it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// White space stands before it.
    pub(crate) spaced: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Open,
    Close,
    /// `-` or `!` right before something.
    Minus,
    /// `+` right before something: says what holds anyway.
    Plus,
    And,
    Or,
    Not,
    /// `name:`.
    Field(String),
    /// `>`, `>=`, `<`, `<=`, after a field.
    Compare(Comparison),
    Word(Vec<Piece>),
    Phrase(String),
    Regex(String),
    Range(Option<(String, bool)>, Option<(String, bool)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Tokens of `text`.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    while lexer.next()? {}
    Ok(lexer.tokens)
}

/// Whether `text` can stand in a query as one word without quotes.
pub(crate) fn is_plain_word(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || "()\"\\*?:<>[]{}".contains(c);
    !text.is_empty()
        && !text.contains(special)
        && !text.starts_with(['-', '+', '!', '/'])
        && !matches!(text, "AND" | "OR" | "NOT" | "&&" | "||" | "TO")
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind, start: usize, spaced: bool) {
        self.tokens.push(Token {
            kind,
            span: start..self.at,
            spaced,
        });
    }

    /// After `name:` or a comparison a value is wanted, which has fewer special forms.
    fn wants_value(&self) -> bool {
        matches!(
            self.tokens.last(),
            Some(Token { kind: Kind::Field(_) | Kind::Compare(_), span, .. }) if span.end == self.at
        )
    }

    fn next(&mut self) -> Result<bool, QueryError> {
        let before = self.at;
        self.at += self.rest().len() - self.rest().trim_start().len();
        let spaced = self.at > before || before == 0;
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(false);
        };
        let in_value = self.wants_value();
        match first {
            '(' => {
                self.at += 1;
                self.push(Kind::Open, start, spaced);
            }
            ')' => {
                self.at += 1;
                self.push(Kind::Close, start, spaced);
            }
            '"' => self.phrase(start, spaced)?,
            '>' | '<' if in_value || !spaced => self.comparison(start, spaced),
            '[' | '{' if in_value => self.range(start, spaced)?,
            '-' | '!' | '+' if !in_value && starts_operand(rest) => {
                self.at += 1;
                let kind = if first == '+' {
                    Kind::Plus
                } else {
                    Kind::Minus
                };
                self.push(kind, start, spaced);
            }
            '/' if self.regex(start, spaced) => {}
            _ if !in_value && self.field(start, spaced) => {}
            _ => self.word(start, spaced)?,
        }
        Ok(true)
    }

    fn phrase(&mut self, start: usize, spaced: bool) -> Result<(), QueryError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((idx, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += idx + 1;
                    self.push(Kind::Phrase(text), start, spaced);
                    return Ok(());
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => text.push(escaped),
                    None => text.push('\\'),
                },
                _ => text.push(c),
            }
        }
        Err(
            QueryError::new(start..start + 1, "this quote is not closed")
                .hint("add a `\"` at the end, or write `\\\"` for the character"),
        )
    }

    fn comparison(&mut self, start: usize, spaced: bool) {
        let rest = self.rest();
        let (kind, length) = if rest.starts_with(">=") {
            (Comparison::AtLeast, 2)
        } else if rest.starts_with("<=") {
            (Comparison::AtMost, 2)
        } else if rest.starts_with('>') {
            (Comparison::Above, 1)
        } else {
            (Comparison::Below, 1)
        };
        self.at += length;
        self.push(Kind::Compare(kind), start, spaced);
    }

    /// `[a TO b}`: square brackets take the bound in, curly ones do not.
    fn range(&mut self, start: usize, spaced: bool) -> Result<(), QueryError> {
        let rest = self.rest();
        let Some(end) = rest.find([']', '}']) else {
            return Err(
                QueryError::new(start..start + 1, "this range is not closed")
                    .hint("write `[1 TO 5]`; `{` and `}` leave the bound out"),
            );
        };
        let (inner, tail) = rest.split_at(end);
        let inner = inner.get(1..).unwrap_or_default();
        let mut words = inner.split_whitespace();
        let parts = (words.next(), words.next(), words.next(), words.next());
        let (Some(from), Some("TO"), Some(to), None) = parts else {
            return Err(QueryError::new(
                start..start + end + 1,
                "a range is written `[FROM TO TO]`",
            )
            .hint("for example `[1 TO 5]`, `{1 TO *]`; `*` is no bound"));
        };
        let bound = |text: &str, is_in: bool| {
            let text = text.trim_matches('"');
            (text != "*").then(|| (text.to_owned(), is_in))
        };
        let kind = Kind::Range(
            bound(from, rest.starts_with('[')),
            bound(to, tail.starts_with(']')),
        );
        self.at += end + 1;
        self.push(kind, start, spaced);
        Ok(())
    }

    /// `/…/`, when it looks like an expression: paths begin and end with slashes too. Expressions
    /// hold no white space.
    fn regex(&mut self, start: usize, spaced: bool) -> bool {
        let rest = self.rest();
        let mut escaped = false;
        let mut slash = None;
        for (idx, c) in rest.char_indices().skip(1) {
            if c.is_whitespace() {
                break;
            }
            if c == '/' && !escaped {
                let after = rest.get(idx + 1..).and_then(|after| after.chars().next());
                if after.is_none_or(|c| c.is_whitespace() || c == ')') {
                    slash = Some(idx);
                    break;
                }
            }
            escaped = c == '\\' && !escaped;
        }
        let Some(pattern) = slash.and_then(|end| rest.get(1..end)) else {
            return false;
        };
        if !pattern.contains(['*', '+', '?', '[', '(', '{', '|', '^', '$', '\\']) {
            return false;
        }
        self.at += pattern.len() + 2;
        self.push(Kind::Regex(pattern.replace("\\/", "/")), start, spaced);
        true
    }

    /// `name:` or the name before a comparison. `http://x`, `a::b` and `12:30` are words.
    fn field(&mut self, start: usize, spaced: bool) -> bool {
        let rest = self.rest();
        let is_start = |c: char| c.is_alphabetic() || c == '_' || c == '@';
        let is_name = |c: char| c.is_alphanumeric() || "_.@-".contains(c);
        if !rest.starts_with(is_start) {
            return false;
        }
        let name_len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(name_len);
        if let Some(after) = tail.strip_prefix(':') {
            if after.starts_with(':') || after.starts_with("//") {
                return false;
            }
            self.at += name_len + 1;
            self.push(Kind::Field(name.to_owned()), start, spaced);
            return true;
        }
        if tail.starts_with(['>', '<']) && !name.ends_with('-') {
            self.at += name_len;
            self.push(Kind::Field(name.to_owned()), start, spaced);
            return true;
        }
        false
    }

    fn word(&mut self, start: usize, spaced: bool) -> Result<(), QueryError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        let mut escaped_any = false;
        let mut length = self.rest().len();
        let mut chars = self.rest().char_indices();
        while let Some((idx, c)) = chars.next() {
            match c {
                '\\' => {
                    escaped_any = true;
                    match chars.next() {
                        Some((_, escaped)) => text.push(escaped),
                        None => text.push('\\'),
                    }
                }
                '*' | '?' => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    let piece = if c == '*' { Piece::Any } else { Piece::One };
                    if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
                        pieces.push(piece);
                    }
                }
                '(' | ')' | '"' => {
                    length = idx;
                    break;
                }
                c if c.is_whitespace() => {
                    length = idx;
                    break;
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        self.at += length;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        let kind = match raw {
            "AND" | "&&" if !escaped_any => Kind::And,
            "OR" | "||" if !escaped_any => Kind::Or,
            "NOT" if !escaped_any => Kind::Not,
            _ => Kind::Word(pieces),
        };
        self.push(kind, start, spaced);
        Ok(())
    }
}

/// Whether a sign at the start of `rest` belongs to what follows it: a lone one is a word.
fn starts_operand(rest: &str) -> bool {
    let after = rest.chars().nth(1);
    after.is_some_and(|c| !c.is_whitespace() && c != ')' && !"-+!>=".contains(c))
}
