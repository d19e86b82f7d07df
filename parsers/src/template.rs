//! Texts with fields in them: `shop-%{kubernetes.namespace}`.

use crate::rules::{Field, FilePlace, Reader};
use crate::span::Span;
use crate::work::Work;

/// A text with fields in it.
#[derive(Debug)]
pub(crate) struct Template {
    /// A text, and the field that follows it.
    parts: Vec<(String, Option<Field>)>,
}

impl Template {
    /// Reads a template; `None` when a field in it was reported.
    pub(crate) fn read(reader: &mut Reader<'_>, text: &str, place: FilePlace) -> Option<Template> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((name, behind)) = after.split_once('}') else {
                reader.report(place, "a `%{` is not closed", None);
                return None;
            };
            parts.push((before.to_owned(), Some(reader.source(name, place)?)));
            rest = behind;
        }
        parts.push((rest.to_owned(), None));
        Some(Template { parts })
    }

    /// Whether a field is in it.
    pub(crate) fn has_fields(&self) -> bool {
        self.parts.iter().any(|(_, field)| field.is_some())
    }

    /// Writes the text with the fields' values.
    pub(crate) fn fill(&self, work: &mut Work<'_>) -> Span {
        let mut filled = std::mem::take(&mut work.fields.filled);
        filled.clear();
        for (text, field) in &self.parts {
            filled.extend_from_slice(text.as_bytes());
            if let Some(span) = field.as_ref().and_then(|field| work.text_of(field)) {
                filled.extend_from_slice(work.bytes(span));
            }
        }
        let span = work.write(|out| out.extend_from_slice(&filled));
        work.fields.filled = filled;
        span
    }
}
