//! Expressions that choose: `log.level >= warn and not exists(user.id)`.
//!
//! Compiled and checked for their types when the rules are loaded, so that a comparison that can
//! never hold (a status code with a word) is a mistake with a place, not a rule that never fires.
//! [`syntax`] reads them; what a field is worth is looked up when the record is there. A field that has no value fails
//! every comparison but `!=` and `not in`.

mod syntax;

use std::net::IpAddr;

use crate::ecs::Kind;
use crate::emit::number_at;
use crate::expression::Expression;
use crate::json::ValueKind;
use crate::level::{Level, Word};
use crate::rules::{Field, FilePlace, Place, Reader, Type};
use crate::work::Work;
use syntax::{Call, Comparison, Literal, Tree};

/// A compiled expression.
#[derive(Debug)]
pub(crate) enum Formula {
    Or(Vec<Formula>),
    And(Vec<Formula>),
    Not(Box<Formula>),
    Exists(Field),
    /// The field is `true`.
    Holds(Field),
    Compare(Field, Comparison, Operand),
    /// Its length in bytes.
    Length(Field, Comparison, f64),
    In(Field, Vec<Operand>),
    Matches(Field, Box<Expression>),
    InNetwork(Field, Network),
}

/// What a field is compared with.
#[derive(Debug)]
pub(crate) enum Operand {
    Text(String),
    Number(f64),
    Bool(bool),
    Level(Level),
    Null,
    /// Another field.
    Field(Field),
}

/// An IP network, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    n_bits: u32,
}

impl Formula {
    /// Compiles an expression; `None` when it was reported.
    pub(crate) fn read(reader: &mut Reader<'_>, text: &str, place: FilePlace) -> Option<Formula> {
        match syntax::parse(text) {
            Ok(tree) => compile(reader, &tree, place),
            Err((at, what)) => {
                let what = format!("{what}, at character {} of the expression", at + 1);
                let hint =
                    "like `log.level >= warn and user.name in [\"bob\", \"eve\"]`".to_owned();
                reader.report(place, what, Some(hint));
                None
            }
        }
    }

    /// Whether the expression holds for a record.
    pub(crate) fn holds(&self, work: &mut Work<'_>) -> bool {
        match self {
            Formula::Or(parts) => parts.iter().any(|part| part.holds(work)),
            Formula::And(parts) => parts.iter().all(|part| part.holds(work)),
            Formula::Not(part) => !part.holds(work),
            Formula::Exists(field) => work.get(field).is_some(),
            Formula::Holds(field) => work
                .text_of(field)
                .is_some_and(|span| work.bytes(span) == b"true"),
            Formula::Compare(field, comparison, operand) => {
                compare(work, field, *comparison, operand)
            }
            Formula::Length(field, comparison, length) => work.text_of(field).is_some_and(|span| {
                let n = f64::from(span.end - span.start);
                comparison.of(n.partial_cmp(length))
            }),
            Formula::In(field, operands) => operands
                .iter()
                .any(|operand| compare(work, field, Comparison::Equal, operand)),
            Formula::Matches(field, expression) => work
                .text_of(field)
                .is_some_and(|span| expression.is_match(work.bytes(span))),
            Formula::InNetwork(field, network) => work.text_of(field).is_some_and(|span| {
                std::str::from_utf8(work.bytes(span))
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .is_some_and(|address| network.holds(address))
            }),
        }
    }
}

fn compare(work: &mut Work<'_>, field: &Field, comparison: Comparison, operand: &Operand) -> bool {
    if let Operand::Null = operand {
        return (comparison == Comparison::Equal) == work.get(field).is_none();
    }
    let Some(value) = work.get(field) else {
        return comparison == Comparison::Unequal;
    };
    if let (Operand::Level(level), Place::Level) = (operand, &field.target.place) {
        let Some(own) = work.fields.level else {
            return comparison == Comparison::Unequal;
        };
        return comparison.of(own.partial_cmp(level));
    }
    let span = work.plain(value);
    match operand {
        Operand::Text(text) => comparison.of_texts(work.bytes(span), text.as_bytes()),
        Operand::Number(number) => {
            let own = number_of(work.bytes(span));
            comparison.of(own.and_then(|own| own.partial_cmp(number)))
        }
        Operand::Bool(is_true) => {
            let word: &[u8] = if *is_true { b"true" } else { b"false" };
            (comparison == Comparison::Equal) == (work.bytes(span) == word)
        }
        Operand::Level(level) => {
            comparison.of(Level::from_text(work.bytes(span)).and_then(|own| own.partial_cmp(level)))
        }
        Operand::Field(other) => {
            let Some(other) = work.get(other) else {
                return comparison == Comparison::Unequal;
            };
            let are_numbers = value.kind == ValueKind::Number || other.kind == ValueKind::Number;
            let other = work.plain(other);
            let (own, other) = (work.bytes(span), work.bytes(other));
            match (number_of(own), number_of(other)) {
                (Some(own), Some(other)) if are_numbers => comparison.of(own.partial_cmp(&other)),
                _ => comparison.of_texts(own, other),
            }
        }
        Operand::Null => false,
    }
}

fn number_of(text: &[u8]) -> Option<f64> {
    number_at(text, false)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

impl Comparison {
    fn of(self, order: Option<std::cmp::Ordering>) -> bool {
        match self {
            Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Unequal => !order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
            Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith => false,
        }
    }

    fn of_texts(self, own: &[u8], other: &[u8]) -> bool {
        match self {
            Comparison::Contains => memchr::memmem::find(own, other).is_some(),
            Comparison::StartsWith => own.starts_with(other),
            Comparison::EndsWith => own.ends_with(other),
            _ => self.of(Some(own.cmp(other))),
        }
    }

    fn is_of_text_only(self) -> bool {
        matches!(
            self,
            Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith
        )
    }
}

impl Network {
    /// Reads `10.0.0.0/8`, or one address.
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, n_bits) = match text.split_once('/') {
            Some((address, n_bits)) => (address, Some(n_bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let n_bits = n_bits.unwrap_or(most);
        (n_bits <= most).then_some(Network { address, n_bits })
    }

    /// Whether an address is of the network.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let same = |own: u128, other: u128, width: u32| {
            self.n_bits == 0 || (own ^ other) >> (width - self.n_bits) == 0
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

fn compile(reader: &mut Reader<'_>, tree: &Tree, place: FilePlace) -> Option<Formula> {
    let all = |reader: &mut Reader<'_>, parts: &[Tree]| -> Option<Vec<Formula>> {
        parts
            .iter()
            .map(|part| compile(reader, part, place))
            .collect()
    };
    Some(match tree {
        Tree::Or(parts) => Formula::Or(all(reader, parts)?),
        Tree::And(parts) => Formula::And(all(reader, parts)?),
        Tree::Not(part) => Formula::Not(Box::new(compile(reader, part, place)?)),
        Tree::Field(name) => Formula::Holds(reader.source(name, place)?),
        Tree::Compare(name, comparison, literal) => {
            let field = reader.source(name, place)?;
            let operand = operand(reader, name, &field, *comparison, literal, place)?;
            Formula::Compare(field, *comparison, operand)
        }
        Tree::In(name, literals) => {
            let field = reader.source(name, place)?;
            let operands: Option<Vec<Operand>> = literals
                .iter()
                .map(|literal| operand(reader, name, &field, Comparison::Equal, literal, place))
                .collect();
            Formula::In(field, operands?)
        }
        Tree::Call(call, name, argument) => {
            let field = reader.source(name, place)?;
            match (call, argument) {
                (Call::Exists, _) => Formula::Exists(field),
                (Call::Length(comparison), Some(Literal::Number(length))) => {
                    Formula::Length(field, *comparison, *length)
                }
                (Call::Matches, Some(Literal::Text(text))) => match Expression::compile(text) {
                    Ok(expression) => Formula::Matches(field, Box::new(expression)),
                    Err(what) => {
                        reader.report(place, format!("bad expression `{text}`: {what}"), None);
                        return None;
                    }
                },
                (Call::InNetwork, Some(Literal::Text(text))) => match Network::parse(text) {
                    Some(network) => Formula::InNetwork(field, network),
                    None => {
                        let hint = "write an address, or a network like `10.0.0.0/8`".to_owned();
                        reader.report(place, format!("`{text}` is no network"), Some(hint));
                        return None;
                    }
                },
                _ => {
                    reader.report(place, format!("`{name}` is compared with nothing"), None);
                    return None;
                }
            }
        }
    })
}

/// What a field is compared with, checked for the field's type.
fn operand(
    reader: &mut Reader<'_>,
    name: &str,
    field: &Field,
    comparison: Comparison,
    literal: &Literal,
    place: FilePlace,
) -> Option<Operand> {
    let wants_number = match &field.target.place {
        Place::Field(id) => matches!(id.kind(), Kind::Long | Kind::Float),
        Place::Attribute(_) => matches!(field.target.kind, Type::Int | Type::Float),
        _ => false,
    };
    let mut wrong = |what: String, hint: Option<&str>| {
        reader.report(place, what, hint.map(str::to_owned));
        None
    };
    match literal {
        Literal::Word(word) | Literal::Text(word) if field.target.place == Place::Level => {
            // A word of the program's own stands in quotes: without them it is a level with a
            // mistake in it.
            let own = match literal {
                Literal::Text(_) => Word::of(word.as_bytes()),
                _ => None,
            };
            let is_equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
            match (Level::from_text(word.as_bytes()), own) {
                (Some(level), _) if !comparison.is_of_text_only() => Some(Operand::Level(level)),
                (None, Some(own)) if is_equality => {
                    let own = String::from_utf8_lossy(own.text());
                    Some(Operand::Text(own.into_owned()))
                }
                _ => wrong(
                    format!("`{word}` is no level"),
                    Some("one of trace, debug, info, warn, error, fatal"),
                ),
            }
        }
        Literal::Text(text) if wants_number => wrong(
            format!("`{name}` is a number, `{text}` is none"),
            Some("write the number without quotes"),
        ),
        Literal::Text(text) => Some(Operand::Text(text.clone())),
        Literal::Number(number) if comparison.is_of_text_only() => wrong(
            format!("a text is needed here, not `{number}`"),
            Some("put it in quotes"),
        ),
        Literal::Number(number) => Some(Operand::Number(*number)),
        Literal::Bool(is_true)
            if comparison == Comparison::Equal || comparison == Comparison::Unequal =>
        {
            Some(Operand::Bool(*is_true))
        }
        Literal::Bool(is_true) => wrong(
            format!("nothing is more or less than `{is_true}`"),
            Some("use `==` or `!=`"),
        ),
        Literal::Null if comparison == Comparison::Equal || comparison == Comparison::Unequal => {
            Some(Operand::Null)
        }
        Literal::Null => wrong("nothing is more or less than `null`".to_owned(), None),
        Literal::Word(word) => Some(Operand::Field(reader.source(word, place)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Problem, RuleSet};

    fn load(condition: &str, line: &str, holds: bool) -> Result<RuleSet, Vec<Problem>> {
        let expected = if holds { "dropped: true" } else { "fields: {}" };
        let text = format!(
            "name: t\nsteps:\n  - json: {{}}\n  - if: {{when: '{}', then: [{{drop: true}}]}}\nexamples:\n  - line: '{line}'\n    metadata: {{kubernetes.namespace: shop}}\n    {expected}\n",
            condition.replace('\'', "''")
        );
        RuleSet::from_texts(&[(Path::new("t"), &text)])
    }

    #[test]
    fn expressions_hold_or_do_not() {
        let line = r#"{"level":"error","n":12,"t":"abc","ok":true,"user":{"name":"bob"},"client.ip":"10.1.2.3","a":"x","b":"x"}"#;
        let check = |condition: &str, holds: bool| {
            if let Err(problems) = load(condition, line, holds) {
                panic!("{condition}: {problems:#?}");
            }
        };
        check("n == 12", true);
        check("n > 11.5 and n <= 12", true);
        check("n != 12", false);
        check("t == \"abc\" or n == 0", true);
        check(
            "t contains 'b' and t starts_with \"a\" and t ends_with \"c\"",
            true,
        );
        check("not t contains \"b\"", false);
        check("log.level >= warn", true);
        check("log.level == \"info\"", false);
        check("log.level in [error, fatal]", true);
        check("log.level == \"AUDIT\" or log.level == \"info\"", false);
        check(
            "log.level != \"audit\" and log.level not in [\"audit\", warn]",
            true,
        );
        check("user.name in ['eve', 'bob']", true);
        check("user.name not in ['eve', 'bob']", false);
        check("exists(user.name) and not exists(user.id)", true);
        check("missing == null and n != null", true);
        check("missing != \"x\"", true);
        check("missing < 3", false);
        check("t matches \"^a.c$\"", true);
        check("client.ip in_network \"10.0.0.0/8\"", true);
        check("client.ip in_network \"10.2.0.0/16\"", false);
        check("ok", true);
        check("ok == false", false);
        check("length(t) > 2", true);
        check("kubernetes.namespace == \"shop\"", true);
        check("a == b", true);
        check("(n == 1 or n == 12) and (t == \"abc\")", true);
        check("`t` == \"abc\"", true);
    }

    #[test]
    fn what_can_never_hold_is_refused() {
        let check = |condition: &str, what: &str| {
            let problems = load(condition, "{}", false).expect_err(condition);
            let text = problems[0].to_string();
            assert!(text.contains(what), "{text}");
        };
        check("http.response.status_code == \"abc\"", "is a number");
        check("log.level >= high", "is no level");
        check("log.level >= \"audit\"", "is no level");
        check("log.level == audit", "is no level");
        check("n contains 3", "a text is needed");
        check("client.ip in_network \"10.0\"", "is no network");
        check("t matches \"(\"", "bad expression");
        check("n ==", "at character");
        check("n == 1 andd t == 2", "at character");
        check("(n == 1", "at character");
        check("", "at character");
    }
}
