//! Traces with numbered frames: PHP (xdebug's, Laravel's too) and Dart.

use memchr::memmem;

use super::words::{is_log_start, speaks_of_exception};
use super::{Next, State, Step, begin as begin_any};

/// Most lines of a message that are held until a frame follows.
const MESSAGE_LINES: usize = 6;

pub(super) fn begin(line: &[u8]) -> Option<State> {
    if line == b"Unhandled exception:" {
        return Some(State::DartHead);
    }
    let starts = [
        &b"PHP Fatal error:"[..],
        b"PHP Warning:",
        b"PHP Notice:",
        b"PHP Parse error:",
        b"PHP Recoverable fatal error:",
        b"Fatal error: ",
        b"exception '",
    ];
    starts
        .iter()
        .any(|start| line.starts_with(start))
        .then_some(State::PhpHead)
}

pub(super) fn after_plain(next: Next<'_>) -> Option<Step> {
    let line = next.line;
    let is_start = is_title(line) || is_frame(line) || is_xdebug_frame(line);
    (is_start && speaks_of_exception(next.first)).then_some(Step::join(State::Numbered))
}

pub(super) fn step(state: State, next: Next<'_>) -> Step {
    if is_frame(next.line) {
        return Step::join(State::Numbered);
    }
    match state {
        State::PhpHead => php(next),
        State::DartHead => Step::join(State::DartMessage),
        State::DartMessage => Step::unsure(State::DartMessage, next.n_unsure, MESSAGE_LINES),
        State::Numbered => numbered(next),
        _ => Step::START,
    }
}

fn php(next: Next<'_>) -> Step {
    let line = next.line;
    if is_title(line) || is_xdebug_frame(line) || line.starts_with(b"  thrown in ") {
        return Step::join(State::Numbered);
    }
    if is_log_start(line) || begin_any(line) != State::Plain {
        return Step::START;
    }
    Step::unsure(State::PhpHead, next.n_unsure, MESSAGE_LINES)
}

fn numbered(next: Next<'_>) -> Step {
    let line = next.line;
    if next.is_blank() {
        return Step::unsure(State::Numbered, next.n_unsure, 1);
    }
    if line.starts_with(b"Next ") && speaks_of_exception(line) {
        return Step::join(State::PhpHead);
    }
    if next.n_unsure > 0 {
        return Step::START;
    }
    let goes_on = is_xdebug_frame(line)
        || is_title(line)
        || line.starts_with(b"<asynchronous suspension>")
        || line.starts_with(b"===== asynchronous gap ")
        || next.indented().is_some() && begin_any(line) == State::Plain;
    if goes_on {
        return Step::join(State::Numbered);
    }
    // Laravel closes the JSON that the exception stands in.
    if line.trim_ascii_end() == b"\"}" {
        Step::join(State::Done)
    } else {
        Step::START
    }
}

/// The line before PHP's frames.
fn is_title(line: &[u8]) -> bool {
    line.starts_with(b"Stack trace:")
        || line.starts_with(b"PHP Stack trace:")
        || line.starts_with(b"[stacktrace]")
}

/// `#0 /app/a.php(9): f()`, `#1      main (file:///a.dart:3:4)`.
fn is_frame(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"#") else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b" ")
}

/// `PHP   1. {main}() /app/a.php:0`.
fn is_xdebug_frame(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"PHP  ") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b". ")
        || rest.starts_with(b"thrown in ")
        || memmem::find(rest, b"{main}").is_some()
}
