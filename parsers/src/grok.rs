//! Grok: regular expressions built from named pieces, `%{IP:source.ip} took %{NUMBER:ms:float}`.
//!
//! Logstash's core patterns are built in, in both flavours (`grok/ecs-v1`, `grok/legacy`). They
//! are written for an engine that goes back and tries again; here they run in time linear to the
//! line. [`translate`] leaves look-arounds out of the expression and [`check`] looks afterwards
//! whether they hold where the match went through. What matches without them and fulfils them is
//! exactly what the original finds: leaving conditions out only adds ways to match, and does not
//! change which is preferred. Only when a check fails, or when the expression has what no
//! automaton can do (back-references), the original runs, with a limit of steps.

mod check;
mod expand;
mod library;
mod translate;

use std::sync::OnceLock;

use crate::expression::{Around, Expression, Locations};
use crate::marks::Marks;
use check::Check;
pub(crate) use library::{Flavour, Library};

/// Memory that a compiled expression may take.
const MAX_SIZE: usize = 32 * 1024 * 1024;

/// Steps of the engine that goes back, on one line: some milliseconds where a step looks at a few
/// characters.
const MAX_STEPS: usize = 200_000;

/// What these steps may look at together, in bytes: a step may look at all of the rest of the line,
/// and the engine cannot be interrupted. A processor that looks at a gigabyte in a second needs half
/// a second for it.
const MAX_WORK: usize = 1 << 29;

/// Lengths of lines, up to each of which there is a limit of steps, and an engine that has it; a line
/// longer than all is not given to the engine.
const LENGTHS: [usize; 4] = [2 << 10, 16 << 10, 128 << 10, 1 << 20];

/// What is wrong with an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    fn new(what: impl Into<String>) -> Wrong {
        let what = what.into();
        Wrong { what, hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Wrong {
        let hint = Some(hint.into());
        Wrong { hint, ..self }
    }
}

/// A captured piece: `%{NUMBER:took:float}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capture {
    /// Name of the field, with dots: `[a][b]` is `a.b`.
    pub(crate) name: String,
    /// `int`, `float`, `bool`, `string`; `None` when nothing was said.
    pub(crate) kind: Option<&'static str>,
}

/// Where a capture's text stands; `None` when it took no part in the match.
pub(crate) type Range = Option<(usize, usize)>;

/// How a line fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Match,
    NoMatch,
    /// The line took more steps than allowed.
    OverLimit,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Grok {
    /// Without look-arounds; `None` when it cannot be had.
    linear: Option<Linear>,
    exact_text: String,
    /// For each of [`LENGTHS`], made when it is needed.
    exact: [OnceLock<Option<Box<Exact>>>; LENGTHS.len()],
    captures: Vec<Capture>,
    /// Why the expression cannot run in linear time.
    reason: Option<&'static str>,
}

#[derive(Debug)]
struct Linear {
    expression: Expression,
    /// Group of each capture; none for those within what is only looked at.
    groups: Vec<Option<usize>>,
    checks: Vec<Check>,
}

#[derive(Debug)]
struct Exact {
    regex: fancy_regex::Regex,
    groups: Vec<Option<usize>>,
}

/// Memory for matching one expression.
#[derive(Debug)]
pub(crate) struct Scratch {
    locations: Option<Locations>,
}

impl Grok {
    /// Compiles an expression with the patterns of `library`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: an unknown pattern or type, one that contains itself, a bad
    /// expression, one that takes too much memory.
    pub(crate) fn compile(expression: &str, library: &Library) -> Result<Grok, Wrong> {
        let expanded = expand::expand(expression, library)?;
        let translated = translate::translate(&expanded.text)?;
        let captures = expanded.captures;
        let mut grok = Grok {
            linear: None,
            exact_text: translated.exact,
            exact: Default::default(),
            captures,
            reason: translated.reason,
        };
        if grok.reason.is_none() {
            grok.linear = Some(Linear::compile(
                &translated.linear,
                translated.checks,
                grok.captures.len(),
            )?);
        } else if grok.exact(0).is_none() {
            return Err(Wrong::new("cannot compile the expression"));
        }
        Ok(grok)
    }

    /// What the expression captures, in the order of [`Grok::find`]'s ranges.
    pub(crate) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// Why a line may take time that grows faster than its length (up to the limit of steps);
    /// `None` when it does not.
    pub(crate) fn needs_back_tracking(&self) -> Option<&'static str> {
        self.reason
    }

    /// Memory for [`Grok::find`].
    pub(crate) fn scratch(&self) -> Scratch {
        let locations = self.linear.as_ref().map(|l| l.expression.locations());
        Scratch { locations }
    }

    /// Looks for the expression in `line[from..to]` (valid UTF-8) and sets `ranges`, one a capture,
    /// counted in `line`, whose beginning `marks` are of.
    pub(crate) fn find(
        &self,
        line: &[u8],
        (from, to): (usize, usize),
        marks: &Marks,
        scratch: &mut Scratch,
        ranges: &mut Vec<Range>,
    ) -> Found {
        ranges.clear();
        ranges.resize(self.captures.len(), None);
        let text = line.get(from..to).unwrap_or_default();
        let (Some(linear), Some(locations)) = (&self.linear, &mut scratch.locations) else {
            return self.find_exactly(text, from, ranges);
        };
        if !linear.expression.locate(line, from, to, marks, locations) {
            return Found::NoMatch;
        }
        for (range, group) in ranges.iter_mut().zip(&linear.groups) {
            *range = group.and_then(|group| locations.get(group));
        }
        let line = line.get(..to).unwrap_or_default();
        let holds = |check: &Check| check.holds(line, from, locations, ranges);
        if linear.checks.iter().all(holds) {
            return Found::Match;
        }
        self.find_exactly(text, from, ranges)
    }

    /// The engine that goes back, for a line of `n_bytes`.
    fn exact(&self, n_bytes: usize) -> Option<&Exact> {
        let (length, exact) = LENGTHS
            .iter()
            .zip(&self.exact)
            .find(|(length, _)| n_bytes <= **length)?;
        let compile = || {
            let regex = fancy_regex::RegexBuilder::new(&self.exact_text)
                .backtrack_limit(MAX_STEPS.min(MAX_WORK / length))
                .delegate_size_limit(MAX_SIZE)
                .build()
                .ok()?;
            let names: Vec<_> = regex.capture_names().collect();
            let groups = expand::groups(&names, self.captures.len());
            Some(Box::new(Exact { regex, groups }))
        };
        exact.get_or_init(compile).as_deref()
    }

    #[cold]
    fn find_exactly(&self, text: &[u8], from: usize, ranges: &mut [Range]) -> Found {
        if LENGTHS.iter().all(|length| text.len() > *length) {
            return Found::OverLimit;
        }
        let (Some(exact), Ok(text)) = (self.exact(text.len()), std::str::from_utf8(text)) else {
            return Found::NoMatch;
        };
        match exact.regex.captures(text) {
            Err(_) => Found::OverLimit,
            Ok(None) => Found::NoMatch,
            Ok(Some(captures)) => {
                for (range, group) in ranges.iter_mut().zip(&exact.groups) {
                    let found = group.and_then(|group| captures.get(group));
                    *range = found.map(|m| (from + m.start(), from + m.end()));
                }
                Found::Match
            }
        }
    }
}

impl Linear {
    fn compile(text: &str, mut checks: Vec<Check>, n_captures: usize) -> Result<Linear, Wrong> {
        let text = without_idle(text, &mut checks);
        let expression = Expression::compile_up_to(&text, MAX_SIZE)
            .map_err(|what| Wrong::new(format!("bad expression: {what}")))?;
        let names: Vec<_> = expression.group_names().collect();
        let groups = expand::groups(&names, n_captures);
        for check in &mut checks {
            let name = check.name();
            let position = names.iter().position(|n| *n == Some(&name));
            // The expression has a group for each check: both were written together.
            check.group = position.unwrap_or_default();
        }
        Ok(Linear {
            expression,
            groups,
            checks,
        })
    }
}

/// Leaves out the checks that hold wherever the expression matches, and their groups, which keep
/// what is around them apart.
fn without_idle(text: &str, checks: &mut Vec<Check>) -> String {
    let mut text = text.to_owned();
    if checks.is_empty() {
        return text;
    }
    let Some(around) = Around::of(&text) else {
        return text;
    };
    checks.retain(|check| {
        let group = format!("(?P<{}>", check.name());
        // Within a class of characters it would be no group.
        let is_idle = text.matches(&group).count() == 1 && check.always_holds(&around);
        if is_idle {
            text = text.replacen(&group, "(?:", 1);
        }
        !is_idle
    });
    text
}

#[cfg(test)]
mod tests;
