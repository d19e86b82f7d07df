//! The grammar of expressions:
//!
//! ```text
//! or         = and ("or" and)*
//! and        = not ("and" not)*
//! not        = "not" not | "(" or ")" | test
//! test       = "exists" "(" name ")"
//!            | "length" "(" name ")" comparison number
//!            | name "matches" text | name "in_network" text
//!            | name "not"? "in" "[" literal ("," literal)* "]"
//!            | name comparison literal | name
//! comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "starts_with" | "ends_with"
//! literal    = text | number | "true" | "false" | "null" | name
//! name       = letters, digits, `_ - . @ /`, or anything between backquotes
//! text       = "…" or '…'; a quote within is doubled
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, multispace0};
use nom::combinator::{cut, map, not, opt, peek, recognize, value, verify};
use nom::error::{Error, ErrorKind};
use nom::multi::{many0, separated_list0, separated_list1};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    StartsWith,
    EndsWith,
}

/// An expression as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Or(Vec<Tree>),
    And(Vec<Tree>),
    Not(Box<Tree>),
    Field(String),
    Compare(String, Comparison, Literal),
    In(String, Vec<Literal>),
    Call(Call, String, Option<Literal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Exists,
    Length(Comparison),
    Matches,
    InNetwork,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    /// A name, or the name of a level.
    Word(String),
}

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 64;

type Parsed<'a, T> = IResult<&'a str, T>;

/// Reads an expression.
///
/// # Errors
///
/// Where it ceases to be one, in characters from 0, and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Tree, (usize, String)> {
    // The parser calls itself for each of these.
    let n_nested = text.matches('(').count() + text.matches("not").count();
    if n_nested > MAX_DEPTH {
        return Err((0, format!("nested deeper than {MAX_DEPTH} levels")));
    }
    let position = |rest: &str| {
        let before = text.get(..text.len() - rest.len()).unwrap_or_default();
        before.chars().count()
    };
    match terminated(or, multispace0).parse(text) {
        Ok(("", tree)) => Ok(tree),
        Ok((rest, _)) => Err((position(rest), "this cannot stand here".to_owned())),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => {
            let what = match error.input.trim().is_empty() {
                true => "something is missing",
                false => "this is not understood",
            };
            Err((position(error.input), what.to_owned()))
        }
        Err(nom::Err::Incomplete(_)) => Err((0, "something is missing".to_owned())),
    }
}

fn or(input: &str) -> Parsed<'_, Tree> {
    let parts = separated_list1(word("or"), and);
    map(parts, |parts| one_or(parts, Tree::Or)).parse(input)
}

fn and(input: &str) -> Parsed<'_, Tree> {
    let parts = separated_list1(word("and"), negated);
    map(parts, |parts| one_or(parts, Tree::And)).parse(input)
}

fn one_or(mut parts: Vec<Tree>, join: impl Fn(Vec<Tree>) -> Tree) -> Tree {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => join(parts),
    }
}

fn negated(input: &str) -> Parsed<'_, Tree> {
    alt((
        map(preceded(word("not"), cut(negated)), |tree| {
            Tree::Not(Box::new(tree))
        }),
        delimited(mark("("), cut(or), cut(mark(")"))),
        test,
    ))
    .parse(input)
}

fn test(input: &str) -> Parsed<'_, Tree> {
    let argument = |name| preceded(word(name), delimited(mark("("), cut(field), cut(mark(")"))));
    if let Ok((rest, name)) = argument("exists").parse(input) {
        return Ok((rest, Tree::Call(Call::Exists, name, None)));
    }
    if let Ok((rest, name)) = argument("length").parse(input) {
        let (rest, (comparison, literal)) = cut((comparison, number)).parse(rest)?;
        return Ok((
            rest,
            Tree::Call(Call::Length(comparison), name, Some(literal)),
        ));
    }
    let (rest, name) = field(input)?;
    let list = || delimited(mark("["), separated_list0(mark(","), literal), mark("]"));
    let after = alt((
        map(preceded(word("matches"), cut(text)), |literal| {
            Tree::Call(Call::Matches, name.clone(), Some(literal))
        }),
        map(preceded(word("in_network"), cut(text)), |literal| {
            Tree::Call(Call::InNetwork, name.clone(), Some(literal))
        }),
        map(preceded((word("not"), word("in")), cut(list())), |list| {
            Tree::Not(Box::new(Tree::In(name.clone(), list)))
        }),
        map(preceded(word("in"), cut(list())), |list| {
            Tree::In(name.clone(), list)
        }),
        map((comparison, cut(literal)), |(comparison, literal)| {
            Tree::Compare(name.clone(), comparison, literal)
        }),
    ));
    let (rest, tree) = opt(after).parse(rest)?;
    Ok((rest, tree.unwrap_or(Tree::Field(name))))
}

fn comparison(input: &str) -> Parsed<'_, Comparison> {
    alt((
        value(Comparison::Equal, mark("==")),
        value(Comparison::Unequal, mark("!=")),
        value(Comparison::LessOrEqual, mark("<=")),
        value(Comparison::GreaterOrEqual, mark(">=")),
        value(Comparison::Less, mark("<")),
        value(Comparison::Greater, mark(">")),
        value(Comparison::Contains, word("contains")),
        value(Comparison::StartsWith, word("starts_with")),
        value(Comparison::EndsWith, word("ends_with")),
    ))
    .parse(input)
}

fn literal(input: &str) -> Parsed<'_, Literal> {
    alt((
        text,
        number,
        value(Literal::Bool(true), word("true")),
        value(Literal::Bool(false), word("false")),
        value(Literal::Null, word("null")),
        map(field, Literal::Word),
    ))
    .parse(input)
}

fn text(input: &str) -> Parsed<'_, Literal> {
    map(alt((quoted('"'), quoted('\''))), Literal::Text).parse(input)
}

/// A text between quotes; a quote within is doubled.
fn quoted<'a>(quote: char) -> impl Parser<&'a str, Output = String, Error = Error<&'a str>> {
    let plain = take_while1(move |c| c != quote);
    let doubled = map((char(quote), char(quote)), move |_| match quote {
        '"' => "\"",
        _ => "'",
    });
    map(
        delimited(
            (multispace0, char(quote)),
            many0(alt((plain, doubled))),
            char(quote),
        ),
        |parts| parts.concat(),
    )
}

fn number(input: &str) -> Parsed<'_, Literal> {
    let digits = take_while1(|c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '_'));
    let (rest, found) = preceded(
        multispace0,
        terminated(
            recognize((opt(char('-')), digits)),
            not(peek(take_while1(is_name))),
        ),
    )
    .parse(input)?;
    match found.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((rest, Literal::Number(number))),
        _ => Err(nom::Err::Error(Error::new(input, ErrorKind::Float))),
    }
}

const WORDS: &[&str] = &["and", "or", "not", "in"];

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/')
}

fn field(input: &str) -> Parsed<'_, String> {
    let bare = verify(take_while1(is_name), |name: &str| !WORDS.contains(&name));
    let quoted = delimited(char('`'), take_while1(|c| c != '`'), char('`'));
    map(preceded(multispace0, alt((quoted, bare))), str::to_owned).parse(input)
}

/// A word that no name goes on.
fn word<'a>(word: &'static str) -> impl Parser<&'a str, Output = &'a str, Error = Error<&'a str>> {
    preceded(
        multispace0,
        terminated(tag(word), not(peek(take_while1(is_name)))),
    )
}

fn mark<'a>(mark: &'static str) -> impl Parser<&'a str, Output = &'a str, Error = Error<&'a str>> {
    preceded(multispace0, tag(mark))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn and_binds_closer_than_or() {
        let field = |name: &str| Tree::Field(name.to_owned());
        assert_eq!(
            parse("a or b and not c"),
            Ok(Tree::Or(vec![
                field("a"),
                Tree::And(vec![field("b"), Tree::Not(Box::new(field("c")))])
            ]))
        );
        assert_eq!(
            parse("a == 'it''s'"),
            Ok(Tree::Compare(
                "a".to_owned(),
                Comparison::Equal,
                Literal::Text("it's".to_owned())
            ))
        );
        assert_eq!(parse("a == 1 b").unwrap_err().0, 7);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c.()<>=!\"'`\\[\\], 0-9]{0,40}|(not |a|and |or |\\(|in |==){0,12}") {
            if let Err((at, _)) = parse(&text) {
                prop_assert!(at <= text.chars().count());
            }
        }
    }
}
