//! Tokens to a tree: `or`, then `and` (written or not), then signs, then tests.

use super::lex::{Comparison, Kind, Token, tokens};
use super::{Piece, Query, QueryError, Test};

/// Longest query, in bytes.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 32;
/// Most tests: the store has a limit of its own (1,024 clauses), and each may become several.
const MAX_TESTS: usize = 128;

/// Reads a query. Empty text finds everything.
///
/// # Errors
///
/// The first thing that cannot be understood, with its place.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > MAX_BYTES {
        return Err(QueryError::new(
            text.floor_char_boundary(MAX_BYTES)..text.len(),
            format!("the query is longer than {MAX_BYTES} bytes"),
        ));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        end: text.len(),
        depth: 0,
        tests: 0,
    };
    if tokens.is_empty() {
        return Ok(Query::All);
    }
    let query = parser.any(None)?;
    match parser.peek() {
        None => Ok(query),
        Some(token) => Err(
            QueryError::new(token.span.clone(), "this parenthesis was not opened")
                .hint("write `\\)` for the character, or put the text in quotes"),
        ),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    depth: usize,
    tests: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at);
        self.at += usize::from(token.is_some());
        token
    }

    /// Parts with `OR` between; `field` is what the parentheses around stand behind.
    fn any(&mut self, field: Option<&str>) -> Result<Query, QueryError> {
        let mut parts = vec![self.all(field)?];
        while let Some(Token {
            kind: Kind::Or,
            span,
            ..
        }) = self.peek()
        {
            self.at += 1;
            if self.at == self.tokens.len() {
                return Err(QueryError::new(span.clone(), "nothing follows `OR`")
                    .hint("write `\"OR\"` to look for the word"));
            }
            parts.push(self.all(field)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Query::Or(parts),
        })
    }

    fn all(&mut self, field: Option<&str>) -> Result<Query, QueryError> {
        let mut parts = vec![self.signed(field)?];
        loop {
            match self.peek().map(|token| (&token.kind, &token.span)) {
                None | Some((Kind::Or | Kind::Close, _)) => break,
                Some((Kind::And, span)) => {
                    self.at += 1;
                    if self.at == self.tokens.len() {
                        return Err(QueryError::new(span.clone(), "nothing follows `AND`")
                            .hint("write `\"AND\"` to look for the word"));
                    }
                    parts.push(self.signed(field)?);
                }
                Some(_) => parts.push(self.signed(field)?),
            }
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Query::And(parts),
        })
    }

    fn signed(&mut self, field: Option<&str>) -> Result<Query, QueryError> {
        let mut is_negated = false;
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::Minus | Kind::Not => is_negated = !is_negated,
                Kind::Plus => {}
                _ => break,
            }
            self.at += 1;
        }
        let query = self.primary(field)?;
        Ok(if is_negated {
            Query::Not(Box::new(query))
        } else {
            query
        })
    }

    fn primary(&mut self, field: Option<&str>) -> Result<Query, QueryError> {
        let Some(token) = self.next() else {
            return Err(self.missing());
        };
        let span = token.span.clone();
        match &token.kind {
            Kind::Open => self.parenthesis(span, field),
            Kind::Field(name) => self.field(name, span),
            Kind::Word(pieces) => self.test(field, word(pieces)),
            Kind::Phrase(text) => self.test(field, Test::Phrase(text.clone())),
            Kind::Regex(pattern) => self.regex(field, pattern, span),
            Kind::Range(from, to) => self.test(field, Test::Range(from.clone(), to.clone())),
            Kind::Compare(comparison) => {
                let Some(name) = field else {
                    return Err(
                        QueryError::new(span, "a comparison needs a field before it")
                            .hint("for example `took>500`; quote it to look for the text"),
                    );
                };
                self.compare(name, *comparison, span)
            }
            Kind::Close => Err(
                QueryError::new(span, "something is missing before this `)`")
                    .hint("write `\\)` for the character, or put the text in quotes"),
            ),
            Kind::And | Kind::Or => Err(QueryError::new(
                span,
                "something is missing before this word",
            )
            .hint("put it in quotes to look for the word")),
            Kind::Minus | Kind::Plus | Kind::Not => Err(self.missing()),
        }
    }

    fn parenthesis(
        &mut self,
        open: std::ops::Range<usize>,
        field: Option<&str>,
    ) -> Result<Query, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(QueryError::new(open, "the parentheses are nested too deep"));
        }
        if let Some(Token {
            kind: Kind::Close,
            span,
            ..
        }) = self.peek()
        {
            return Err(QueryError::new(
                open.start..span.end,
                "the parentheses are empty",
            ));
        }
        let query = self.any(field)?;
        self.depth -= 1;
        match self.next() {
            Some(Token {
                kind: Kind::Close, ..
            }) => Ok(query),
            _ => Err(QueryError::new(open, "this parenthesis is not closed")
                .hint("add a `)`, or write `\\(` for the character")),
        }
    }

    fn field(&mut self, name: &str, span: std::ops::Range<usize>) -> Result<Query, QueryError> {
        let next = self.peek();
        let is_near = next.is_some_and(|token| token.span.start == span.end);
        let Some(token) = next.filter(|_| is_near) else {
            return Err(
                QueryError::new(span, format!("a value is missing after `{name}:`")).hint(format!(
                    "write `{name}:value`, or `{name}:*` for documents that have the field"
                )),
            );
        };
        match token.kind {
            Kind::Open
            | Kind::Word(_)
            | Kind::Phrase(_)
            | Kind::Regex(_)
            | Kind::Range(..)
            | Kind::Compare(_) => self.primary(Some(name)),
            // A word of the language directly behind the colon is a value.
            Kind::And => self.word_as_value(name, "AND"),
            Kind::Or => self.word_as_value(name, "OR"),
            Kind::Not => self.word_as_value(name, "NOT"),
            Kind::Close | Kind::Minus | Kind::Plus | Kind::Field(_) => Err(QueryError::new(
                span,
                format!("a value is missing after `{name}:`"),
            )),
        }
    }

    fn word_as_value(&mut self, name: &str, text: &str) -> Result<Query, QueryError> {
        self.at += 1;
        self.test(Some(name), Test::Word(text.to_owned()))
    }

    fn compare(
        &mut self,
        name: &str,
        comparison: Comparison,
        span: std::ops::Range<usize>,
    ) -> Result<Query, QueryError> {
        let missing = || {
            QueryError::new(span.clone(), "a value is missing after this comparison")
                .hint(format!("for example `{name}>500`"))
        };
        let token = self.next().ok_or_else(missing)?;
        let value = match &token.kind {
            Kind::Word(pieces) => match word(pieces) {
                Test::Word(text) => text,
                _ => {
                    return Err(QueryError::new(
                        token.span.clone(),
                        "a comparison takes no wildcards",
                    ));
                }
            },
            Kind::Phrase(text) => text.clone(),
            _ => return Err(missing()),
        };
        let test = match comparison {
            Comparison::Above => Test::Range(Some((value, false)), None),
            Comparison::AtLeast => Test::Range(Some((value, true)), None),
            Comparison::Below => Test::Range(None, Some((value, false))),
            Comparison::AtMost => Test::Range(None, Some((value, true))),
        };
        self.test(Some(name), test)
    }

    fn regex(
        &mut self,
        field: Option<&str>,
        pattern: &str,
        span: std::ops::Range<usize>,
    ) -> Result<Query, QueryError> {
        // The store's dialect is smaller; what is none here is none there.
        if let Err(error) = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
        {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim();
            return Err(QueryError::new(
                span,
                format!(
                    "cannot read this regular expression: {}",
                    reason.trim_start_matches("error: ")
                ),
            ));
        }
        self.test(field, Test::Regex(pattern.to_owned()))
    }

    fn test(&mut self, field: Option<&str>, test: Test) -> Result<Query, QueryError> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            let span = self.tokens.get(self.at.saturating_sub(1));
            let span = span.map_or(0..self.end, |token| token.span.clone());
            return Err(QueryError::new(
                span,
                format!("the query has more than {MAX_TESTS} parts"),
            ));
        }
        let field = field.map(str::to_owned);
        Ok(match (field, test) {
            // `*` alone is everything, `field:*` is existence.
            (None, Test::Exists) => Query::All,
            (field, test) => Query::Test(field, test),
        })
    }

    fn missing(&self) -> QueryError {
        let last = self.tokens.last();
        let span = last.map_or(0..self.end, |token| token.span.clone());
        QueryError::new(span, "something is missing after this")
    }
}

/// What a word asks.
fn word(pieces: &[Piece]) -> Test {
    match pieces {
        [Piece::Any] => Test::Exists,
        [Piece::Text(text)] => Test::Word(text.clone()),
        [] => Test::Word(String::new()),
        _ => Test::Wildcard(pieces.to_vec()),
    }
}
