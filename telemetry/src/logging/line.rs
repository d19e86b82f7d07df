//! One event as text or JSON.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::Format;

/// A longer message or field is cut: a log line is no place for a document.
const MAX_TEXT: usize = 4096;

/// The fields of an event.
#[derive(Debug, Default)]
pub(super) struct Line {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut line = Self::default();
        event.record(&mut line);
        line
    }

    pub(super) fn add(&mut self, name: &'static str, value: Value) {
        self.fields.push((name, value));
    }

    /// What the message says, as a hash: texts count, numbers do not, neither in fields nor in the
    /// message, so that "3 files" and "4 files" are the same message.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for part in self
            .message
            .split(|c: char| c.is_ascii_digit())
            .filter(|p| !p.is_empty())
        {
            part.hash(&mut hasher);
        }
        for (name, value) in &self.fields {
            name.hash(&mut hasher);
            if let Value::String(text) = value {
                text.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// The line with its newline.
    pub(super) fn render(&self, format: Format, metadata: &Metadata<'_>) -> String {
        let mut time = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut time)).is_err() {
            time.push('-');
        }
        match format {
            Format::Text => self.text(&time, metadata),
            Format::Json => self.json(time, metadata),
        }
    }

    fn text(&self, time: &str, metadata: &Metadata<'_>) -> String {
        let level = metadata.level().as_str();
        let mut out = format!("{time} {level:>5} {}: ", metadata.target());
        // Lists in messages keep their lines; other control characters never reach a terminal.
        for (idx, part) in self.message.split('\n').enumerate() {
            if idx > 0 {
                out.push_str("\n    ");
            }
            push_visible(&mut out, part);
        }
        for (name, value) in &self.fields {
            out.push(' ');
            out.push_str(name);
            out.push('=');
            match value {
                Value::String(text) if is_word(text) => out.push_str(text),
                value => push_visible(&mut out, &value.to_string()),
            }
        }
        out.push('\n');
        out
    }

    fn json(&self, time: String, metadata: &Metadata<'_>) -> String {
        let mut object = Map::new();
        object.insert("@timestamp".to_owned(), time.into());
        let level = metadata.level().as_str().to_ascii_lowercase();
        object.insert("log.level".to_owned(), level.into());
        object.insert("log.logger".to_owned(), metadata.target().into());
        object.insert("message".to_owned(), self.message.as_str().into());
        for (name, value) in &self.fields {
            object.entry(*name).or_insert_with(|| value.clone());
        }
        format!("{}\n", Value::Object(object))
    }

    fn take(&mut self, field: &Field, text: String) {
        let text = cut(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field.name(), text.into());
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_err() {
            text.push('…');
        }
        self.take(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }
}

/// Cuts a text at a character before [`MAX_TEXT`] bytes.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A text that needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
}

fn push_visible(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}
