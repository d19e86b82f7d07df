//! What lines of one shape have in common: literals, and holes where they differ.

use std::path::Path;

use super::super::draft::scalar;
use super::tokens::{self, Kind, Token};
use crate::RuleSet;

/// Signs of a shape that are looked at: what follows is text of its own.
const MAX_SIGNS: usize = 8;

/// Puts lines of one shape together, the largest group first.
pub(super) fn groups<'l>(lines: &[&'l str]) -> Vec<Vec<&'l str>> {
    let mut groups: Vec<(String, Vec<&'l str>)> = Vec::new();
    for line in lines {
        let shape = shape(&tokens::tokens(line));
        match groups.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, group)) => group.push(line),
            None => groups.push((shape, vec![line])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The shape of a line: what separates, where a time, a level or a quote stands. It ends where
/// prose begins, at two values with nothing but white space between.
fn shape(tokens: &[Token<'_>]) -> String {
    let mut signs: Vec<String> = Vec::new();
    let mut after_word = false;
    for token in tokens {
        let is_word = matches!(token.kind, Kind::Word | Kind::Id);
        let sign = match token.kind {
            Kind::Between if token.text.trim().is_empty() => continue,
            Kind::Between => token.text,
            Kind::Time(_) => "T",
            Kind::Level => "L",
            Kind::Quoted => "Q",
            _ => "v",
        };
        if is_word && after_word {
            signs.pop();
            break;
        }
        after_word = is_word;
        signs.push(sign.to_owned());
        if signs.len() == MAX_SIGNS {
            break;
        }
    }
    while signs.last().is_some_and(|sign| sign == "v" || sign == ":") {
        signs.pop();
    }
    signs.concat()
}

/// A piece of the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Hole { kind: Kind, texts: Vec<String> },
}

/// What the lines of a group have in common.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Whether text follows that has no form.
    has_rest: bool,
}

impl Template {
    /// Compares the lines.
    pub(super) fn of(lines: &[&str]) -> Self {
        let all: Vec<Vec<Token<'_>>> = lines.iter().map(|line| tokens::tokens(line)).collect();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut has_rest = false;
        let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
        for at in 0..shortest {
            let column = || all.iter().filter_map(|tokens| tokens.get(at));
            let Some(first) = column().next() else { break };
            let is_equal = column().all(|token| token.text == first.text);
            let kind = column()
                .map(|token| token.kind)
                .reduce(both)
                .unwrap_or(Kind::Between);
            if kind == Kind::Between && !is_equal {
                has_rest = true;
                break;
            }
            let is_literal = is_equal && matches!(kind, Kind::Between | Kind::Word);
            // `key=value`: a value, even when all samples have the same.
            let follows_equals =
                matches!(pieces.last(), Some(Piece::Literal(text)) if text.ends_with('='));
            if is_literal && (kind == Kind::Between || !follows_equals) {
                match pieces.last_mut() {
                    Some(Piece::Literal(text)) => text.push_str(first.text),
                    _ => pieces.push(Piece::Literal(first.text.to_owned())),
                }
                continue;
            }
            let texts = column().map(|token| token.text.to_owned()).collect();
            pieces.push(Piece::Hole { kind, texts });
        }
        has_rest |= all.iter().any(|tokens| tokens.len() > shortest);
        let mut template = Self { pieces, has_rest };
        template.cut_prose();
        template.join_adjacent();
        template
    }

    /// Two words that differ, with nothing but a space between, are prose: the message begins with
    /// the first of them. So does a last word before text without form.
    fn cut_prose(&mut self) {
        let is_word = |piece: Option<&Piece>| matches!(piece, Some(Piece::Hole { kind: Kind::Word, texts }) if !is_method(texts) && !is_path(texts));
        let is_space = |piece: Option<&Piece>| matches!(piece, Some(Piece::Literal(text)) if text.trim().is_empty());
        for at in 0..self.pieces.len() {
            let is_prose = is_word(self.pieces.get(at))
                && match (is_space(self.pieces.get(at + 1)), self.has_rest) {
                    (true, rest) => {
                        is_word(self.pieces.get(at + 2)) || (rest && at + 2 >= self.pieces.len())
                    }
                    (false, rest) => rest && at + 1 == self.pieces.len(),
                };
            // `key=` or `[`: the word has a place of its own.
            let has_place = at > 0
                && matches!(self.pieces.get(at - 1), Some(Piece::Literal(text)) if text.ends_with(['=', '[', '(', '"']));
            if is_prose && !has_place {
                self.pieces.truncate(at);
                self.has_rest = true;
                return;
            }
        }
    }

    /// No two holes may stand together: what comes from the second on is text without form.
    fn join_adjacent(&mut self) {
        let is_hole = |piece: &Piece| matches!(piece, Piece::Hole { .. });
        let pairs = self.pieces.windows(2);
        if let Some(at) = pairs.into_iter().position(|pair| pair.iter().all(is_hole)) {
            self.pieces.truncate(at);
            self.has_rest = true;
        }
        // A rest right behind a hole would be adjacent, too.
        if self.has_rest && self.pieces.last().is_some_and(is_hole) {
            self.pieces.pop();
        }
        // Words at the end of what is common belong to the message; one that stands at a hole
        // without a space is its unit.
        if self.says_something()
            && let Some(Piece::Literal(text)) = self.pieces.last_mut()
        {
            let is_prose = |c: char| c.is_alphanumeric() || c == ' ';
            let before = text.trim_end_matches(is_prose).len();
            let words = text.split_at(before).1;
            if let Some(space) = words.find(' ') {
                let at = words.split_at(space).1;
                let spaces = at.len() - at.trim_start().len();
                self.has_rest |= spaces < at.len();
                text.truncate(before + space + spaces);
            }
        }
    }

    /// Whether there is a hole, and thus more to say than "it is a line".
    pub(super) fn says_something(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Hole { .. }))
    }

    /// Takes the last hole away; what it was is text without form then.
    pub(super) fn shorten(&mut self) -> bool {
        let is_hole = |piece: &Piece| matches!(piece, Piece::Hole { .. });
        let Some(at) = self.pieces.iter().rposition(is_hole) else {
            return false;
        };
        self.pieces.truncate(at);
        self.has_rest = true;
        true
    }

    /// The steps of the rule.
    pub(super) fn steps(&self) -> Vec<String> {
        let mut names = Names::default();
        let mut pattern = String::new();
        let mut more = Vec::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Literal(text) => pattern.push_str(&text.replace('<', "<<")),
                Piece::Hole { kind, texts } => {
                    let before = match at.checked_sub(1).and_then(|at| self.pieces.get(at)) {
                        Some(Piece::Literal(text)) => text.as_str(),
                        _ => "",
                    };
                    let after = match self.pieces.get(at + 1) {
                        Some(Piece::Literal(text)) => text.as_str(),
                        _ => "",
                    };
                    let name = names.of(*kind, texts, before, after);
                    if let Kind::Time(shape) = kind
                        && name == TIME_TEXT
                        && let Some(format) = tokens::time_format(*shape)
                    {
                        more.push(format!(
                            "time:\n  field: {TIME_TEXT}\n  formats: [{}]",
                            scalar(format)
                        ));
                    }
                    pattern.push_str(&format!("<{name}>"));
                }
            }
        }
        if self.has_rest {
            pattern.push_str("<message>");
        }
        let mut steps = vec![format!("pattern: {}", scalar(&pattern))];
        steps.extend(more);
        steps
    }
}

/// What a column of two kinds is.
fn both(a: Kind, b: Kind) -> Kind {
    match (a, b) {
        (a, b) if a == b => a,
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
        (Kind::Between, _) | (_, Kind::Between) => Kind::Between,
        _ => Kind::Word,
    }
}

/// Field that holds the text of a time until the `time` step reads it.
const TIME_TEXT: &str = "time_text";

/// Gives each hole a name of its own.
#[derive(Debug, Default)]
struct Names {
    taken: Vec<String>,
    n_unnamed: usize,
}

impl Names {
    /// Name and type, as they stand in a hole.
    fn of(&mut self, kind: Kind, texts: &[String], before: &str, after: &str) -> String {
        let kind_of_value = match kind {
            Kind::Int => ":int",
            Kind::Float => ":float",
            _ => "",
        };
        if let Kind::Time(shape) = kind {
            let name = match tokens::time_format(shape) {
                None => "@timestamp",
                Some(_) => TIME_TEXT,
            };
            if self.take(name) {
                return name.to_owned();
            }
        }
        let all = |fits: &dyn Fn(&str) -> bool| texts.iter().all(|text| fits(text));
        let is_class = |text: &str| {
            let parts = text.split('.').collect::<Vec<_>>();
            parts.len() > 2
                && parts
                    .iter()
                    .all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        };
        let is_thread = |text: &str| {
            text == "main"
                || ["exec-", "thread", "pool", "worker"]
                    .iter()
                    .any(|part| text.to_ascii_lowercase().contains(part))
        };
        let known: &[&str] = match kind {
            Kind::Level => &["log.level"],
            Kind::Ip => &["source.ip", "destination.ip"],
            _ if is_method(texts) => &["http.request.method"],
            Kind::Word if is_path(texts) => &["url.original"],
            Kind::Word if before.ends_with('[') && all(&is_thread) => &["process.thread.name"],
            Kind::Word if all(&is_class) => &["log.logger"],
            _ => &[],
        };
        for name in known {
            if self.take(name) {
                return (*name).to_owned();
            }
        }
        let unit = after
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default();
        let unit = match kind {
            Kind::Int | Kind::Float if !unit.is_empty() => format!("_{unit}"),
            _ => String::new(),
        };
        if let Some(word) = word_before(before) {
            let name = format!("{word}{unit}");
            for number in 1..10 {
                let name = if number == 1 {
                    name.clone()
                } else {
                    format!("{name}_{number}")
                };
                if self.take(&name) {
                    return format!("{name}{kind_of_value}");
                }
            }
        }
        loop {
            self.n_unnamed += 1;
            let name = format!("field_{}{unit}", self.n_unnamed);
            if self.take(&name) {
                return format!("{name}{kind_of_value}");
            }
        }
    }

    /// Whether the name is free and beside the others of this rule.
    fn take(&mut self, name: &str) -> bool {
        let mut pattern: String = self.taken.iter().map(|name| format!("<{name}> ")).collect();
        pattern.push_str(&format!("<{name}>"));
        let rule = format!("name: x\nsteps:\n  - pattern: {}\n", scalar(&pattern));
        let is_fine = !self.taken.iter().any(|taken| taken == name)
            && RuleSet::from_texts(&[(Path::new("x"), &rule)]).is_ok();
        if is_fine {
            self.taken.push(name.to_owned());
        }
        is_fine
    }
}

/// Methods of HTTP, all of them.
fn is_method(texts: &[String]) -> bool {
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    texts.iter().all(|text| METHODS.contains(&text.as_str()))
}

/// Paths, all of them.
fn is_path(texts: &[String]) -> bool {
    texts.iter().all(|text| text.starts_with('/'))
}

/// The word that a value belongs to: `took=`, `took: `, `took `, `took[`.
fn word_before(literal: &str) -> Option<String> {
    let trimmed = literal.trim_end_matches(|c: char| c.is_whitespace() || "=:[(\"'#".contains(c));
    // A bracket of its own names nothing: `x] [`.
    let start = trimmed
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || "_-.".contains(*c))
        .last()?
        .0;
    let word: String = trimmed
        .split_at(start)
        .1
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let word = word.trim_matches('_').to_owned();
    (word.len() <= 40 && word.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(word)
}
