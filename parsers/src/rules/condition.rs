//! `match`: for which records a rule is. What follows from the stream alone is asked once a
//! stream, the rest for each record.

use memchr::memmem::Finder;

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
    pub(super) contains: Vec<Finder<'static>>,
    /// No part of this may hold.
    pub(super) not: Option<Box<Condition>>,
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

    /// The first part that does not hold for a record of a stream that fits.
    #[inline]
    pub(super) fn record_differs(
        &self,
        record: &RecordView<'_>,
        text: &[u8],
    ) -> Option<&'static str> {
        if !self.iostream.is_empty() && !self.is_of_iostream(record) {
            return Some("iostream");
        }
        if !self.starts_with.is_empty() && !self.starts(text) {
            return Some("starts_with");
        }
        if !self.contains.is_empty() && !self.is_in(text) {
            return Some("contains");
        }
        match self.not.as_deref() {
            None => None,
            Some(not) if not.is_of_iostream(record) => Some("not.iostream"),
            Some(not) if not.starts(text) => Some("not.starts_with"),
            Some(not) if not.is_in(text) => Some("not.contains"),
            Some(_) => None,
        }
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
    fn is_in(&self, text: &[u8]) -> bool {
        self.contains.iter().any(|part| part.find(text).is_some())
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
}
