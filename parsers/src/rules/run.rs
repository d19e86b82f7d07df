//! Trying the rules on a record: in their order, the first whose steps all succeed is the one.
//!
//! A step that fails leaves nothing behind: what it and those before it set is forgotten.

use regex::bytes::CaptureLocations;

use super::target::{Place, Type};
use super::{Condition, Hole, Rule, RuleId, RuleSet, Step};
use crate::StreamContext;
use crate::ecs::FieldId;
use crate::fields::{Fields, Form, Offer};
use crate::json::scan::{self, NumberFit};
use crate::json::{Member, ValueKind};
use crate::level::Level;
use crate::parser::Ran;
use crate::span::Span;
use crate::time::{self, Moment};

/// Memory for trying rules, of one thread.
#[derive(Debug)]
pub(crate) struct Runner {
    /// The stream that `candidates` are for: records of a stream come together.
    stream: u64,
    /// Rules whose `match` holds for the stream.
    candidates: Vec<u32>,
    /// Start and end of each captured text.
    found: Vec<(u32, u32)>,
    /// For each rule and step of it: where a regex notes its groups.
    locations: Vec<Vec<Option<CaptureLocations>>>,
}

impl Runner {
    pub(crate) fn new(rules: &RuleSet) -> Self {
        let locations = |step: &Step| match step {
            Step::Regex(regex, _) => Some(regex.capture_locations()),
            _ => None,
        };
        let of_rule = |rule: &Rule| rule.steps.iter().map(locations).collect();
        let locations = rules.rules.iter().map(of_rule).collect();
        Self {
            stream: 0,
            candidates: Vec::new(),
            found: Vec::new(),
            locations,
        }
    }

    /// Tries the rules on `line[..head]`.
    #[inline]
    pub(crate) fn run(
        &mut self,
        rules: &RuleSet,
        stream: &StreamContext,
        line: &[u8],
        head: usize,
        fields: &mut Fields,
    ) -> Ran {
        if rules.is_empty() {
            return Ran::NoMatch { tried: false };
        }
        if self.stream != stream.id {
            self.stream = stream.id;
            self.candidates.clear();
            let fits = |(_, rule): &(usize, &Rule)| rule.condition.fits_stream(stream);
            let fitting = rules.rules.iter().enumerate().filter(fits);
            self.candidates
                .extend(fitting.map(|(index, _)| index as u32));
        }
        let text = line.get(..head).unwrap_or_default();
        for candidate in 0..self.candidates.len() {
            let id = RuleId(self.candidates[candidate]);
            let Some(rule) = rules.rules.get(id.index()) else {
                continue;
            };
            if !rule.condition.fits_text(text) {
                continue;
            }
            let before = fields.tags;
            match self.run_steps(rule, id, line, head, fields) {
                Some(true) => return Ran::Dropped(id),
                Some(false) => return Ran::Matched(id),
                None => {
                    fields.start(&stream.owned);
                    fields.tags = before;
                }
            }
        }
        Ran::NoMatch {
            tried: !self.candidates.is_empty(),
        }
    }

    /// Whether the record is to be dropped; `None` when a step failed.
    fn run_steps(
        &mut self,
        rule: &Rule,
        id: RuleId,
        line: &[u8],
        head: usize,
        fields: &mut Fields,
    ) -> Option<bool> {
        // What the step at hand works on: the line, or the text that became the message.
        let (mut from, mut to) = (0, head);
        for (index, step) in rule.steps.iter().enumerate() {
            self.found.clear();
            let holes = match step {
                Step::Pattern(pattern, holes) => {
                    if !pattern.find(line, from, to, &mut self.found) {
                        return None;
                    }
                    holes
                }
                Step::Regex(regex, holes) => {
                    let locations = self
                        .locations
                        .get_mut(id.index())?
                        .get_mut(index)?
                        .as_mut()?;
                    regex.captures_read(locations, line.get(from..to)?)?;
                    for group in 0..locations.len() {
                        let (start, end) = locations.get(group).unwrap_or((0, 0));
                        self.found
                            .push(((from + start) as u32, (from + end) as u32));
                    }
                    holes
                }
                Step::Json | Step::Logfmt => {
                    // The message within this text is nearer than the text as a whole.
                    let outer = fields.message.take();
                    let is_taken = match step {
                        Step::Json => fields.take_json(line, from, to),
                        _ => fields.take_logfmt(line, from, to),
                    };
                    if !is_taken {
                        return None;
                    }
                    fields.message = fields.message.or(outer);
                    continue;
                }
                Step::Drop => return Some(true),
            };
            fields.names_dirty |= !fields.members.is_empty();
            for hole in holes {
                let (start, end) = *self.found.get(hole.group)?;
                let (start, end) = (start as usize, end as usize);
                if hole.target.place == Place::Message {
                    (from, to) = (start, end);
                }
                if !fill(hole, line, start, end, fields) {
                    return None;
                }
            }
        }
        Some(false)
    }
}

/// Puts a captured text where it belongs. False when it is not of the type.
fn fill(hole: &Hole, line: &[u8], start: usize, end: usize, fields: &mut Fields) -> bool {
    let text = line.get(start..end).unwrap_or_default();
    if hole.target.place == Place::Message {
        fields.message = Some(crate::fields::Slot {
            span: Span::line(start, end),
            form: Form::Text,
        });
        return true;
    }
    // Logs write `-` for what there is not.
    if matches!(text, b"" | b"-") {
        return true;
    }
    let mut span = Span::line(start, end);
    let mut kind = ValueKind::Text;
    let mut moment = None;
    match hole.target.kind {
        Type::String => {}
        Type::Int | Type::Float => {
            let is_int = hole.target.kind == Type::Int;
            match number_at(text, is_int) {
                Some(skipped) => span.start += skipped as u32,
                None => return false,
            }
            kind = ValueKind::Number;
        }
        Type::Bool => {
            if !matches!(text, b"true" | b"false") {
                return false;
            }
            kind = ValueKind::Bool;
        }
        Type::Ip => {
            let ip = std::str::from_utf8(text)
                .ok()
                .and_then(|t| t.parse::<std::net::IpAddr>().ok());
            if ip.is_none() {
                return false;
            }
        }
        Type::Time => {
            moment = time::parse_any(text);
            if moment.is_none() {
                return false;
            }
        }
    }
    match &hole.target.place {
        Place::Nowhere | Place::Message => {}
        Place::Time => {
            fields.set_time(moment);
        }
        Place::Level => match Level::from_text(text) {
            Some(level) => fields.level = Some(level),
            None => return false,
        },
        Place::Field(id) => {
            let offer = Offer {
                span,
                kind,
                dirty: false,
            };
            match moment {
                // A time in another format than the store's.
                Some(Moment::At(ns)) => {
                    let span = fields.write_time(ns);
                    fields.set(*id, span, Form::Text);
                }
                Some(Moment::OutOfRange) => {}
                None => {
                    fields.offer_field(line, *id, offer);
                    derive(*id, line, start, end, fields);
                }
            }
        }
        Place::Attribute(_) => {
            let value = match moment {
                Some(Moment::At(ns)) => fields.write_time(ns),
                _ => span,
            };
            let (key, hash) = (hole.name, hole.hash);
            fields.members.push(Member {
                key,
                hash,
                value,
                kind,
                dirty: false,
                taken: false,
            });
        }
    }
    true
}

/// How many leading zeros to skip so that a text is a JSON number; `None` when it is no number.
fn number_at(text: &[u8], is_int: bool) -> Option<usize> {
    let zeros = text.iter().take_while(|b| **b == b'0').count();
    let followed = text.get(zeros).is_some_and(u8::is_ascii_digit);
    let skipped = if followed {
        zeros
    } else {
        zeros.saturating_sub(1)
    };
    let number = text.get(skipped..)?;
    let scanned = scan::number(number, 0)?;
    let is_whole = number.iter().all(|b| b.is_ascii_digit() || *b == b'-');
    let fits =
        scanned.fit == NumberFit::Fits && scanned.end == number.len() && (is_whole || !is_int);
    fits.then_some(skipped)
}

/// Fields that follow from another: the IP of an address, path and query of a URL.
fn derive(id: FieldId, line: &[u8], start: usize, end: usize, fields: &mut Fields) {
    let text = line.get(start..end).unwrap_or_default();
    let span = Span::line(start, end);
    let mut offer = |id: FieldId, span: Span| {
        fields.offer_field(
            line,
            id,
            Offer {
                span,
                kind: ValueKind::Text,
                dirty: false,
            },
        );
    };
    match id {
        FieldId::SOURCE_ADDRESS => offer(FieldId::SOURCE_IP, span),
        FieldId::CLIENT_ADDRESS => offer(FieldId::CLIENT_IP, span),
        FieldId::SERVER_ADDRESS => offer(FieldId::SERVER_IP, span),
        FieldId::DESTINATION_ADDRESS => offer(FieldId::DESTINATION_IP, span),
        FieldId::URL_ORIGINAL if text.starts_with(b"/") => match memchr::memchr(b'?', text) {
            None => offer(FieldId::URL_PATH, span),
            Some(question) => {
                offer(FieldId::URL_PATH, Span::line(start, start + question));
                if start + question + 1 < end {
                    offer(FieldId::URL_QUERY, Span::line(start + question + 1, end));
                }
            }
        },
        _ => {}
    }
}

impl Condition {
    fn fits_stream(&self, stream: &StreamContext) -> bool {
        [
            (&self.namespace, "kubernetes.namespace"),
            (&self.pod, "kubernetes.pod.name"),
            (&self.container, "kubernetes.container.name"),
        ]
        .into_iter()
        .all(|(globs, key)| {
            let value = stream.get(key).unwrap_or_default().as_bytes();
            globs.is_empty() || globs.iter().any(|glob| glob_fits(glob.as_bytes(), value))
        })
    }

    #[inline]
    fn fits_text(&self, text: &[u8]) -> bool {
        (self.starts_with.is_empty() || self.starts_with.iter().any(|s| text.starts_with(s)))
            && (self.contains.is_empty() || self.contains.iter().any(|f| f.find(text).is_some()))
    }
}

/// Whether `text` fits a glob with `*` and `?`. Linear but for the last `*`: no blow-up.
fn glob_fits(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((star_g, star_t)) => {
                    star = Some((star_g, star_t + 1));
                    g = star_g + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit() {
        let check = |glob: &str, text: &str, fits| {
            assert_eq!(
                glob_fits(glob.as_bytes(), text.as_bytes()),
                fits,
                "{glob} {text}"
            )
        };
        check("web", "web", true);
        check("web", "web-1", false);
        check("web-*", "web-1", true);
        check("*-db-?", "shop-db-1", true);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b", "ab-a", false);
        check("*", "", true);
        check("?", "", false);
    }

    #[test]
    fn numbers_of_lines_become_numbers_of_json() {
        let check = |text: &str, is_int, expected: Option<&str>| {
            let found =
                number_at(text.as_bytes(), is_int).map(|skipped| text.get(skipped..).unwrap());
            assert_eq!(found, expected, "{text}");
        };
        check("200", true, Some("200"));
        check("007", true, Some("7"));
        check("000", true, Some("0"));
        check("0.25", false, Some("0.25"));
        check("00.5", false, Some("0.5"));
        check("0.25", true, None);
        check("2x", true, None);
        check("99999999999999999999", true, None);
        check("-5", true, Some("-5"));
        check("NaN", false, None);
    }
}
