//! Panics, fatal errors and goroutine dumps of Go, and reports of its race detector.

use memchr::memmem;

use super::words::is_log_start;
use super::{Next, State, Step, begin as begin_any};

/// Most lines of a panic's message that are held until a goroutine follows.
const MESSAGE_LINES: usize = 8;

const RACE_LINE: &[u8] = b"==================";

pub(super) fn begin(line: &[u8]) -> Option<State> {
    match line {
        RACE_LINE => Some(State::RaceLine),
        b"WARNING: DATA RACE" => Some(State::Race),
        _ if is_goroutine(line) => Some(State::Goroutine),
        _ if line.starts_with(b"panic: ") || line.starts_with(b"fatal error: ") => {
            Some(State::Panic)
        }
        _ if is_signal(line) => Some(State::Panic),
        _ => None,
    }
}

pub(super) fn after_plain(next: Next<'_>) -> Option<Step> {
    if !is_goroutine(next.line) {
        return None;
    }
    let follows = memmem::find(next.first, b"panic").is_some()
        || memmem::find(next.first, b"fatal").is_some();
    Some(if follows {
        Step::join(State::Goroutine)
    } else {
        Step::START
    })
}

pub(super) fn step(state: State, next: Next<'_>) -> Step {
    match state {
        State::Panic => panic(next),
        State::Goroutine => goroutine(next),
        State::RaceLine if next.line == b"WARNING: DATA RACE" => Step::join(State::Race),
        State::Race => race(next),
        _ => Step::START,
    }
}

fn panic(next: Next<'_>) -> Step {
    let line = next.line;
    if is_goroutine(line) || line.starts_with(b"runtime stack:") || line.starts_with(b"PC=0x") {
        return Step::join(State::Goroutine);
    }
    if line.starts_with(b"[signal ") || line.starts_with(b"[recovered") {
        return Step::join(State::Panic);
    }
    if next.indented().is_some() && next.n_unsure == 0 {
        return Step::join(State::Panic);
    }
    if is_log_start(line) || begin_any(line) != State::Plain {
        return Step::START;
    }
    Step::unsure(State::Panic, next.n_unsure, MESSAGE_LINES)
}

fn goroutine(next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::Goroutine, next.n_unsure, 1);
    }
    let line = next.line;
    if is_goroutine(line) || line.starts_with(b"runtime stack:") || is_register(line) {
        return Step::join(State::Goroutine);
    }
    if next.n_unsure > 0 {
        return Step::START;
    }
    let goes_on = next.indented().is_some()
        || is_function(line)
        || line.starts_with(b"created by ")
        || line.starts_with(b"[originating from goroutine ")
        || line.starts_with(b"...additional frames elided...")
        || line.starts_with(b"... additional frames elided");
    if goes_on {
        return Step::join(State::Goroutine);
    }
    if line.starts_with(b"exit status ") {
        Step::join(State::Done)
    } else {
        Step::START
    }
}

fn race(next: Next<'_>) -> Step {
    if next.line == RACE_LINE {
        return Step::join(State::Done);
    }
    let starts = [
        &b"Read at "[..],
        b"Write at ",
        b"Atomic ",
        b"Previous ",
        b"Goroutine ",
        b"Mutex ",
        b"Location ",
    ];
    let goes_on = next.is_blank()
        || next.indented().is_some()
        || starts.iter().any(|start| next.line.starts_with(start));
    if goes_on {
        Step::join(State::Race)
    } else {
        Step::START
    }
}

/// `goroutine 12 [chan receive, 3 minutes]:`
fn is_goroutine(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"goroutine ") else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && memmem::find(&rest[digits..], b" [").is_some() && rest.ends_with(b"]:")
}

/// `SIGQUIT: quit`
fn is_signal(line: &[u8]) -> bool {
    line.starts_with(b"SIG")
        && line
            .iter()
            .take_while(|byte| byte.is_ascii_uppercase())
            .count()
            >= 5
        && memmem::find(line, b": ").is_some_and(|at| line[..at].iter().all(u8::is_ascii_uppercase))
}

/// `net/http.(*conn).serve(0xc000085040, 0x12f10a0)`
fn is_function(line: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'(', line) else {
        return false;
    };
    let name = &line[..at];
    let is_name = !name.is_empty()
        && name
            .iter()
            .all(|byte| !byte.is_ascii_whitespace() && *byte != b':')
        && (name.contains(&b'.') || name == b"panic");
    is_name && line.ends_with(b")")
}

/// `rax    0x0`, of the registers that a signal prints.
fn is_register(line: &[u8]) -> bool {
    let name = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let rest = line[name..].trim_ascii_start();
    (2..=6).contains(&name)
        && line[name..].starts_with(b" ")
        && rest.starts_with(b"0x")
        && rest[2..].iter().all(u8::is_ascii_hexdigit)
}
