//! What a pod's annotations ask of its records: how lines are joined, and which share is kept. They
//! come with the stream's metadata, so they are sealed with its chunks.

use std::collections::BTreeSet;
use std::path::Path;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::RecordView;
use crate::level::Level;
use crate::multiline::Multiline;
use crate::rules::RuleSet;

const MULTILINE: &str = "kubernetes.annotations.tailrace.io/multiline";
const SAMPLE: &str = "kubernetes.annotations.tailrace.io/sample";

/// Records of this level or worse are kept, whatever share of the others is.
const KEEP_FROM: Level = Level::Warn;

/// Longest annotation that is read as an expression.
const MAX_MULTILINE: usize = 1_000;

/// What annotations ask of the records of a stream.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    pub(crate) multiline: Option<Multiline>,
    /// Records whose hash is below it are kept; `None`: all.
    keep_below: Option<u64>,
    /// What could not be used, and why.
    pub(crate) problems: Vec<String>,
}

impl Annotations {
    /// Reads them from metadata.
    pub(crate) fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let mut this = Self::default();
        if let Some(text) = get(MULTILINE) {
            match multiline(text) {
                Ok(multiline) => this.multiline = Some(multiline),
                Err(what) => this.problem("multiline", text, &what),
            }
        }
        if let Some(text) = get(SAMPLE) {
            match text.parse::<f64>() {
                Ok(share) if share > 0.0 && share < 1.0 => {
                    this.keep_below = Some((share * u64::MAX as f64) as u64);
                }
                Ok(1.0) => {}
                _ => this.problem("sample", text, "it is no share above 0 and up to 1"),
            }
        }
        this
    }

    fn problem(&mut self, name: &str, text: &str, what: &str) {
        self.problems
            .push(format!("cannot use `tailrace.io/{name}: {text}`: {what}"));
    }

    /// Whether a record is not among the share that is kept. Follows from its place and its bytes,
    /// so that one that is sent again is decided alike.
    pub(crate) fn drops(&self, record: &RecordView<'_>, level: Option<Level>) -> bool {
        let Some(keep_below) = self.keep_below else {
            return false;
        };
        if level >= Some(KEEP_FROM) {
            return false;
        }
        let mut place = [0; 16];
        place[..8].copy_from_slice(&record.stream.to_be_bytes());
        place[8..].copy_from_slice(&record.offset.to_be_bytes());
        xxh3_64_with_seed(record.message, xxh3_64(&place)) >= keep_below
    }
}

/// What stands behind `multiline:` in a rule, as text.
fn multiline(text: &str) -> Result<Multiline, String> {
    if text.len() > MAX_MULTILINE {
        return Err(format!("it is longer than {MAX_MULTILINE} bytes"));
    }
    // One line: what follows a break would be keys of the rule.
    if text.contains(['\n', '\r']) {
        return Err("it has to be one line".to_owned());
    }
    let rule = format!("name: annotation\nsteps:\n  - multiline: {text}\n");
    let place = Path::new("annotation");
    let rules =
        RuleSet::from_texts_within(&[(place, &rule)], &BTreeSet::new()).map_err(|problems| {
            let first = problems.first().map(|problem| problem.what.clone());
            first.unwrap_or_default()
        })?;
    rules
        .into_multiline()
        .ok_or_else(|| "it says nothing of lines".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(multiline: Option<&str>, sample: Option<&str>) -> Annotations {
        Annotations::of(|key| match key {
            MULTILINE => multiline,
            SAMPLE => sample,
            _ => None,
        })
    }

    #[test]
    fn multiline_is_written_as_in_a_rule() {
        let joins = |text: &str, line: &str| {
            let annotations = annotations(Some(text), None);
            assert!(annotations.problems.is_empty(), "{annotations:?}");
            annotations.multiline.unwrap().joins(b"a", line.as_bytes())
        };
        assert_eq!(joins("timestamp", "2024-05-01 10:00:00 x"), Some(false));
        assert_eq!(joins("{start: '^S'}", "x"), Some(true));
        assert_eq!(joins(r"{continue: '^\s'}", " x"), Some(true));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for text in ["", "cobol", "{start: '('}", "a\n  - drop", "{lines: 3}"] {
            let annotations = annotations(Some(text), None);
            assert!(annotations.multiline.is_none(), "{text}");
            assert_eq!(annotations.problems.len(), 1, "{text}");
        }
        for text in ["0", "-1", "2", "some"] {
            assert_eq!(annotations(None, Some(text)).problems.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_share_is_kept_and_all_that_warns() {
        let annotations = annotations(None, Some("0.25"));
        let drops = |offset: u64, level: Option<Level>| {
            let record = RecordView {
                stream: 7,
                offset,
                ..RecordView::of(b"hello")
            };
            annotations.drops(&record, level)
        };
        let n_kept = (0..10_000).filter(|offset| !drops(*offset, None)).count();
        assert!((2_300..2_700).contains(&n_kept), "{n_kept}");
        assert!((0..1_000).all(|offset| !drops(offset, Some(Level::Error))));
        let again = (0..100).all(|offset| drops(offset, None) == drops(offset, None));
        assert!(again);
    }
}
