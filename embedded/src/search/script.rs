//! The scripts of `bucket_script`: arithmetic over named numbers, such as
//! `params.errors / params.all * 100`. Anything else is refused, whatever language it is.

/// Longest script.
const MAX_LENGTH: usize = 500;
/// Deepest nesting.
const MAX_DEPTH: usize = 50;

/// A number. Whole ones are told apart because a quotient of two of them is whole, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

/// A script that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(Number),
    Param(String),
    Negative(Box<Node>),
    Two(char, Box<Node>, Box<Node>),
}

impl Script {
    /// Reads a script; tells where it is not understood. `is_known` tells the params there are.
    pub(crate) fn parse(text: &str, is_known: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let mut reader = Reader {
            rest: without_return(text),
            depth: 0,
            is_known,
        };
        let node = reader.sum()?;
        reader.rest = reader.rest.trim_start();
        if !reader.rest.is_empty() {
            return Err(reader.not_understood());
        }
        Ok(Self(node))
    }

    /// The value with these params; NaN where one is missing.
    pub(crate) fn value(&self, param: &dyn Fn(&str) -> Option<Number>) -> f64 {
        value(&self.0, param).as_f64()
    }
}

/// The expression of `return …;`.
pub(crate) fn without_return(text: &str) -> &str {
    let text = text.trim().trim_end_matches(';').trim_end();
    match text.strip_prefix("return") {
        Some(rest) if rest.starts_with([' ', '(', '\t', '\n']) => rest.trim_start(),
        _ => text,
    }
}

fn value(node: &Node, param: &dyn Fn(&str) -> Option<Number>) -> Number {
    match node {
        Node::Number(number) => *number,
        Node::Param(name) => param(name).unwrap_or(Number::Real(f64::NAN)),
        Node::Negative(node) => match value(node, param) {
            Number::Whole(number) => Number::Whole(number.wrapping_neg()),
            Number::Real(number) => Number::Real(-number),
        },
        Node::Two(operator, a, b) => two(*operator, value(a, param), value(b, param)),
    }
}

fn two(operator: char, a: Number, b: Number) -> Number {
    if let (Number::Whole(a), Number::Whole(b)) = (a, b) {
        let whole = match operator {
            '+' => a.checked_add(b),
            '-' => a.checked_sub(b),
            '*' => a.checked_mul(b),
            _ if b == 0 => return Number::Real(f64::NAN),
            _ => a.checked_div(b),
        };
        if let Some(whole) = whole {
            return Number::Whole(whole);
        }
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    Number::Real(match operator {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    })
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
    is_known: &'t dyn Fn(&str) -> bool,
}

impl<'t> Reader<'t> {
    fn sum(&mut self) -> Result<Node, String> {
        let mut left = self.product()?;
        while let Some(operator) = self.one_of(&['+', '-']) {
            left = Node::Two(operator, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, String> {
        let mut left = self.single()?;
        while let Some(operator) = self.one_of(&['*', '/']) {
            left = Node::Two(operator, Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("is nested too deep".to_owned());
        }
        let node = match self.one_of(&['-', '+', '(']) {
            Some('-') => Node::Negative(Box::new(self.single()?)),
            Some('+') => self.single()?,
            Some(_) => {
                let inner = self.sum()?;
                if self.one_of(&[')']).is_none() {
                    return Err(self.not_understood());
                }
                inner
            }
            None if self
                .rest
                .starts_with(|c: char| c.is_ascii_digit() || c == '.') =>
            {
                self.number()?
            }
            None => self.param()?,
        };
        self.depth -= 1;
        Ok(node)
    }

    fn number(&mut self) -> Result<Node, String> {
        let text = self.while_is(|c| c.is_ascii_alphanumeric() || c == '.');
        // The letters behind a number tell its type.
        let digits = text.trim_end_matches(['d', 'D', 'f', 'F', 'l', 'L']);
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit())
            && !text.ends_with(['d', 'D', 'f', 'F']);
        if is_whole && let Ok(number) = digits.parse() {
            return Ok(Node::Number(Number::Whole(number)));
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Node::Number(Number::Real(number))),
            _ => Err(format!("has `{}`, which is no number", shown(text))),
        }
    }

    /// `params.name` or `params['name']`.
    fn param(&mut self) -> Result<Node, String> {
        let Some(rest) = self.rest.strip_prefix("params") else {
            return Err(self.not_understood());
        };
        let name = if let Some(rest) = rest.strip_prefix('.') {
            self.rest = rest;
            self.while_is(|c| c.is_alphanumeric() || c == '_')
        } else {
            let quote = rest.get(1..2).filter(|quote| ["'", "\""].contains(quote));
            let quoted = quote.and_then(|quote| {
                let rest = rest.strip_prefix('[')?.strip_prefix(quote)?;
                let (name, rest) = rest.split_once(quote)?;
                Some((name, rest.strip_prefix(']')?))
            });
            let Some((name, rest)) = quoted else {
                return Err(self.not_understood());
            };
            self.rest = rest;
            name
        };
        if !(self.is_known)(name) {
            return Err(format!(
                "has `params.{}`, of which nothing is known",
                shown(name)
            ));
        }
        Ok(Node::Param(name.to_owned()))
    }

    fn one_of(&mut self, of: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let found = self.rest.chars().next().filter(|c| of.contains(c))?;
        self.rest = self.rest.strip_prefix(found).unwrap_or_default();
        Some(found)
    }

    fn while_is(&mut self, is_in: impl Fn(char) -> bool) -> &'t str {
        let end = self
            .rest
            .find(|c: char| !is_in(c))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn not_understood(&self) -> String {
        let place = if self.rest.is_empty() {
            "its end".to_owned()
        } else {
            format!("`{}`", shown(self.rest))
        };
        format!(
            "is not understood at {place}: there are numbers, `params.NAME`, `+`, `-`, `*`, `/` and \
             parentheses"
        )
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use proptest::prelude::*;

    use super::*;

    fn result(text: &str) -> Result<f64, String> {
        let known = |name: &str| match name {
            "a" => Some(Number::Real(6.0)),
            "b_2" => Some(Number::Real(4.0)),
            "n" => Some(Number::Whole(7)),
            "zero" => Some(Number::Real(0.0)),
            _ => None,
        };
        let script = Script::parse(text, &|name| known(name).is_some())?;
        Ok(script.value(&known))
    }

    #[test]
    fn arithmetic_is_that_of_scripts() {
        for (text, expected) in [
            ("params.a / params.b_2", 1.5),
            ("params.a/params.b_2*100", 150.0),
            ("params.a - params.b_2 - 1", 1.0),
            ("params.a - (params.b_2 - 1)", 3.0),
            ("-params.a + 2 * +params.b_2", 2.0),
            ("2 * (1.5 + .5)", 4.0),
            ("params['a'] * params[\"b_2\"]", 24.0),
            ("return params.a * 1e3;", 6000.0),
            ("return (params.a)", 6.0),
            // As in Painless: of two whole numbers the quotient is whole.
            ("7 / 2", 3.0),
            ("params.n / 2", 3.0),
            ("params.n / 2.0", 3.5),
            ("7d / 2", 3.5),
            ("7L / 2L", 3.0),
            ("params.a / 4", 1.5),
            ("9223372036854775807 + 1", 9_223_372_036_854_775_808.0),
        ] {
            assert_eq!(result(text), Ok(expected), "{text}");
        }
        assert_eq!(result("params.a / params.zero"), Ok(f64::INFINITY));
        assert!(result("1 / 0").unwrap().is_nan());
    }

    #[test]
    fn other_code_is_refused() {
        for text in [
            "",
            "params.c",
            "params.",
            "params",
            "a / b",
            "params.a > 1 ? 1 : 0",
            "Math.max(params.a, 1)",
            "params.a params.b_2",
            "(params.a",
            "params.a)",
            "1 +",
            "1..2",
            "params['a",
            "doc['x'].value",
            "def x = 1; return x",
        ] {
            assert!(result(text).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(60), ")".repeat(60));
        assert!(result(&deep).unwrap_err().contains("too deep"));
        assert!(result(&"1+".repeat(2_000)).unwrap_err().contains("longer"));
        let unknown = result("params.all / 2").unwrap_err();
        assert!(unknown.contains("`params.all`"), "{unknown}");
        let at = result("params.a % 2").unwrap_err();
        assert!(at.contains("at `% 2`"), "{at}");
    }

    proptest! {
        #[test]
        fn any_text_answers(text in any::<String>(), like in "[-+*/() .0-9a-z']{0,40}") {
            drop(black_box(result(&text)));
            drop(black_box(result(&like)));
        }
    }
}
