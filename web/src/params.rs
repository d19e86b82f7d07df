//! Query parameters: decoded once, each taken by name, the rest refused with a suggestion.

use std::ops::RangeInclusive;

use crate::problem::Problem;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Decodes the part behind `?`; checks that every name is one of `known` and comes once.
    pub(crate) fn new(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let params = Self::any(text)?;
        for (idx, (name, _)) in params.pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let mut problem = Problem::parameter(
                    name,
                    format!(
                        "there is no parameter `{name}` here; there are: {}",
                        known.join(", ")
                    ),
                );
                if let Some(near) = nearest(name, known) {
                    problem = problem.with("hint", near);
                }
                return Err(problem);
            }
            if params
                .pairs
                .iter()
                .take(idx)
                .any(|(other, _)| other == name)
            {
                return Err(Problem::parameter(
                    name,
                    format!("`{name}` stands there twice"),
                ));
            }
        }
        Ok(params)
    }

    /// As [`Params::new`], with any names.
    pub(crate) fn any(text: Option<&str>) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in text.unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)
                .ok_or_else(|| Problem::parameter(name, "the parameter's name is no UTF-8"))?;
            let value = decode(value).ok_or_else(|| {
                Problem::parameter(&name, format!("`{name}` is no UTF-8 text when decoded"))
            })?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value as it is; `None` when it is not there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(known, _)| known == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// The text, at most `max` characters long.
    pub(crate) fn text(&self, name: &str, max: usize) -> Result<Option<&str>, Problem> {
        let text = self.get(name);
        text.map(|text| at_most(name, text, max)).transpose()
    }

    /// A whole number.
    pub(crate) fn number(
        &self,
        name: &str,
        allowed: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|n| allowed.contains(n));
        number.ok_or_else(|| {
            Problem::parameter(
                name,
                format!(
                    "`{name}` must be a whole number from {} to {}, got `{}`",
                    allowed.start(),
                    allowed.end(),
                    shown(text)
                ),
            )
        })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Problem::parameter(
                name,
                format!("`{name}` must be `true` or `false`, got `{}`", shown(other)),
            )),
        }
    }

    /// One of these words; the first by default.
    pub(crate) fn choice<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(words.first().copied().unwrap_or_default());
        };
        let word = words.iter().find(|word| **word == text);
        word.copied().ok_or_else(|| {
            Problem::parameter(
                name,
                format!(
                    "`{name}` must be one of {}, got `{}`",
                    words.join(", "),
                    shown(text)
                ),
            )
        })
    }

    /// Parts with commas between, without empty ones: at most `max` of them, and together at most
    /// `max_len` characters.
    pub(crate) fn list(
        &self,
        name: &str,
        max: usize,
        max_len: usize,
    ) -> Result<Option<Vec<&str>>, Problem> {
        let Some(text) = self.text(name, max_len)? else {
            return Ok(None);
        };
        let parts: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() > max {
            return Err(Problem::parameter(
                name,
                format!("`{name}` has more than {max} parts"),
            ));
        }
        Ok(Some(parts))
    }
}

/// The text, when it is at most `max` characters long.
pub(crate) fn at_most<'t>(name: &str, text: &'t str, max: usize) -> Result<&'t str, Problem> {
    if text.chars().count() > max {
        let detail = format!("`{name}` is longer than {max} characters");
        return Err(Problem::parameter(name, detail));
    }
    Ok(text)
}

/// Text of a caller, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Decodes `%41` and `+`; `None` when the bytes are no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match tail
                .split_at_checked(2)
                .map(|(hex, after)| (hex_byte(hex), after))
            {
                Some((Some(byte), after)) => {
                    bytes.push(byte);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// As [`decode`], for a part of a path, where `+` is itself.
pub(crate) fn decode_segment(text: &str) -> Option<String> {
    decode(&text.replace('+', "%2B"))
}

fn hex_byte(hex: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match hex {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

/// The word of `known` that is meant most likely.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| {
        let (a, b): (Vec<char>, Vec<char>) =
            (word.chars().take(40).collect(), other.chars().collect());
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, from) in a.iter().enumerate() {
            let mut diagonal = i;
            if let Some(first) = row.first_mut() {
                *first = i + 1;
            }
            for (j, to) in b.iter().enumerate() {
                let above = row[j + 1];
                row[j + 1] = (diagonal + usize::from(from != to))
                    .min(above + 1)
                    .min(row[j] + 1);
                diagonal = above;
            }
        }
        row.last().copied().unwrap_or_default()
    };
    let best = known.iter().min_by_key(|other| distance(other))?;
    (distance(best) <= 2).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_decoded() {
        for (text, decoded) in [
            ("a+b%20c", Some("a b c")),
            ("%C3%A4", Some("ä")),
            ("100%", Some("100%")),
            ("%zz", Some("%zz")),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
        assert_eq!(decode_segment("a+b").as_deref(), Some("a+b"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let known = ["from", "size"];
        let problem = |text| Params::new(Some(text), &known).map(drop).unwrap_err();
        assert_eq!(problem("form=1h").json()["hint"], "from");
        assert_eq!(problem("size=1&size=2").json()["parameter"], "size");
        let params = Params::new(Some("size=9999"), &known).unwrap();
        let problem = params.number("size", 0..=1000, 100).unwrap_err();
        assert!(
            problem.detail().contains("0 to 1000"),
            "{}",
            problem.detail()
        );
        assert!(params.flag("size", true).is_err());
        assert_eq!(params.choice("from", &["a", "b"]).unwrap(), "a");
    }
}
