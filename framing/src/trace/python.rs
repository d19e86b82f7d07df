//! Tracebacks of Python, chained ones and exception groups too, and Ruby's reversed ones.

use super::words::{is_ruby_head, is_severe};
use super::{Next, State, Step, begin as begin_any};

const HEAD: &[u8] = b"Traceback (most recent call last):";
const GROUP: &[u8] = b"+ Exception Group ";

pub(super) fn begin(line: &[u8]) -> Option<State> {
    let text = line.trim_ascii_start();
    (line.starts_with(HEAD) || text.starts_with(GROUP) || is_file(text)).then_some(State::Python)
}

pub(super) fn after_plain(next: Next<'_>) -> Option<Step> {
    if next.line.starts_with(HEAD) {
        return is_severe(next.first).then_some(Step::head(State::Python));
    }
    let follows = memchr::memmem::find(next.first, HEAD).is_some();
    (follows && next.indented().is_some_and(is_file)).then_some(Step::join(State::Python))
}

pub(super) fn step(state: State, next: Next<'_>) -> Step {
    match state {
        State::Python => frames(next),
        State::PythonEnd => end(next),
        State::PythonLink => link(next),
        _ => Step::START,
    }
}

fn frames(next: Next<'_>) -> Step {
    if let Some(text) = next.indented() {
        // Nested groups stand behind a bar; this one is new.
        return if text.starts_with(GROUP) {
            Step::START
        } else {
            Step::join(State::Python)
        };
    }
    if next.is_blank() {
        // Groups have no line without indent at their end.
        return Step::unsure(State::PythonEnd, next.n_unsure, 1);
    }
    if is_exception(next.line) {
        Step::join(State::PythonEnd)
    } else {
        Step::START
    }
}

fn end(next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::PythonEnd, next.n_unsure, 1);
    }
    let text = next.line.trim_ascii_start();
    // Exception groups draw a bar at the left.
    if is_link(text.strip_prefix(b"| ").unwrap_or(text)) {
        return Step::join(State::PythonLink);
    }
    // Notes and the further lines of a message are often indented.
    let goes_on =
        next.n_unsure == 0 && next.indented().is_some() && begin_any(next.line) == State::Plain;
    if goes_on {
        Step::join(State::PythonEnd)
    } else {
        Step::START
    }
}

fn link(next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::PythonLink, next.n_unsure, 2);
    }
    if begin(next.line) == Some(State::Python) {
        Step::join(State::Python)
    } else {
        Step::START
    }
}

/// `File "a.py", line 3, in f`.
fn is_file(text: &[u8]) -> bool {
    text.starts_with(b"File \"") && memchr::memmem::find(text, b"\", line ").is_some()
}

/// The last line of a traceback: a dotted name, alone or with a message; for Ruby's reversed
/// form the place and the message.
fn is_exception(line: &[u8]) -> bool {
    let length = line
        .iter()
        .take_while(|&&byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || byte >= 0x80
        })
        .count();
    let is_name = length > 0 && !line[0].is_ascii_digit();
    is_name && matches!(line.get(length), None | Some(b':')) || is_ruby_head(line)
}

fn is_link(text: &[u8]) -> bool {
    text.starts_with(b"During handling of the above exception, another exception occurred:")
        || text.starts_with(b"The above exception was the direct cause of the following exception:")
}
