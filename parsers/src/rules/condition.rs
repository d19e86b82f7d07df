//! `match`: for which records a rule is. What follows from the stream alone is asked once a
//! stream, the rest for each record.

use memchr::memmem::Finder;

use crate::marks::Marks;
use crate::{RecordView, StreamContext};

/// Every part that is given must hold; of a list one entry suffices.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// No stream unless its annotation names the rule.
    pub(super) by_name: bool,
    pub(super) stream: Vec<(Part, Vec<String>)>,
    /// `stdout` or `stderr`.
    pub(super) iostream: Vec<String>,
    pub(super) starts_with: Vec<Vec<u8>>,
    pub(super) contains: Vec<Needle>,
    /// No part of this may hold.
    pub(super) not: Option<Box<Condition>>,
}

/// A text to look for.
#[derive(Debug)]
pub(super) struct Needle {
    finder: Finder<'static>,
    /// Where its first quote stands: those of a line are known, and there are few. Benchmark:
    /// `plain/all` of `make bench-rules`.
    quote: Option<usize>,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        Self {
            finder: Finder::new(text).into_owned(),
            quote: text.find('"'),
        }
    }

    /// Whether it stands in `text`, whose marks are these.
    #[inline]
    fn is_in(&self, text: &[u8], marks: &Marks) -> bool {
        let Some(quote) = self.quote else {
            return self.finder.find(text).is_some();
        };
        let mut at = quote;
        while let Some(found) = marks.find(text, b'"', at, text.len()) {
            if text
                .get(found - quote..)
                .is_some_and(|rest| rest.starts_with(self.finder.needle()))
            {
                return true;
            }
            at = found + 1;
        }
        false
    }
}

/// What of a stream's metadata is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A field of the metadata, and what `explain` calls it.
    Field(&'static str, &'static str),
    /// The image, with or without its tag.
    Image,
    /// Where the stream comes from.
    Source,
    /// Any field of the metadata.
    Any(String),
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Part::Field(name, _) => name,
            Part::Image => "image",
            Part::Source => "source",
            Part::Any(key) => key,
        }
    }

    fn fits(&self, globs: &[String], stream: &StreamContext) -> bool {
        let any = |value: &str| {
            globs
                .iter()
                .any(|glob| glob_fits(glob.as_bytes(), value.as_bytes()))
        };
        match self {
            // What another source tells of a container is not what the container says.
            Part::Field("container", _) if !is_of_container(stream) => false,
            Part::Field(_, key) => any(stream.get(key).unwrap_or_default()),
            Part::Any(key) => any(stream.get(key).unwrap_or_default()),
            Part::Image => {
                let name = stream.get("container.image.name").unwrap_or_default();
                any(name)
                    || stream
                        .get("container.image.tag")
                        .is_some_and(|tag| any(&format!("{name}:{tag}")))
            }
            Part::Source => any(source_of(stream)),
        }
    }
}

/// Where a stream comes from: `input.type` of its metadata, else `container` or `file`.
fn source_of(stream: &StreamContext) -> &str {
    match stream.get("input.type") {
        Some(source) => source,
        None if stream.get("container.id").is_some()
            || stream.get("kubernetes.pod.name").is_some() =>
        {
            "container"
        }
        None => "file",
    }
}

/// Whether the lines may be those of a container.
fn is_of_container(stream: &StreamContext) -> bool {
    stream
        .get("input.type")
        .is_none_or(|source| source == "container")
}

impl Condition {
    /// The first part that does not hold for a stream: whether it stands under `not`, and its name.
    pub(super) fn stream_differs(&self, stream: &StreamContext) -> Option<(bool, &str)> {
        if self.by_name {
            return Some((false, "by_name"));
        }
        let differs = |(part, globs): &&(Part, Vec<String>)| !part.fits(globs, stream);
        if let Some((part, _)) = self.stream.iter().find(differs) {
            return Some((false, part.name()));
        }
        let not = self.not.as_deref()?;
        let excludes = |(part, globs): &&(Part, Vec<String>)| part.fits(globs, stream);
        let (part, _) = not.stream.iter().find(excludes)?;
        Some((true, part.name()))
    }

    /// The first part that does not hold for a record of a stream that fits; cheap ones first.
    /// `marks` are those of the text.
    #[inline]
    pub(super) fn record_differs(
        &self,
        record: &RecordView<'_>,
        text: &[u8],
        marks: &Marks,
    ) -> Option<&'static str> {
        if !self.iostream.is_empty() && !self.is_of_iostream(record) {
            return Some("iostream");
        }
        if !self.starts_with.is_empty() && !self.starts(text) {
            return Some("starts_with");
        }
        let not = self.not.as_deref();
        match not {
            Some(not) if not.is_of_iostream(record) => return Some("not.iostream"),
            Some(not) if not.starts(text) => return Some("not.starts_with"),
            _ => {}
        }
        if !self.contains.is_empty() && !self.holds(text, marks) {
            return Some("contains");
        }
        not.filter(|not| not.holds(text, marks))
            .map(|_| "not.contains")
    }

    fn is_of_iostream(&self, record: &RecordView<'_>) -> bool {
        record
            .iostream
            .is_some_and(|iostream| self.iostream.iter().any(|name| name == iostream))
    }

    #[inline]
    fn starts(&self, text: &[u8]) -> bool {
        self.starts_with.iter().any(|start| text.starts_with(start))
    }

    #[inline]
    fn holds(&self, text: &[u8], marks: &Marks) -> bool {
        self.contains.iter().any(|part| part.is_in(text, marks))
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
    fn needles_are_found_by_their_quotes() {
        let check = |needle: &str, text: &str| {
            let mut marks = Marks::default();
            marks.look(text.as_bytes());
            let found = Needle::new(needle).is_in(text.as_bytes(), &marks);
            assert_eq!(found, text.contains(needle), "{needle} in {text}");
        };
        for text in [
            "[x] \"GET\"",
            "\"] \"",
            "] \"",
            "\"",
            "",
            "a] b",
            "\\\"] \\\" \"a\" \"b\"",
        ] {
            for needle in ["] \"", "\" \"", "\"", "b\"", "a"] {
                check(needle, text);
            }
        }
    }

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
}
