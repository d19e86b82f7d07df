//! Traces with one frame a line: Java and its kin, .NET, Node, Ruby.

use super::words::{
    is_at_frame, is_cause, is_class, is_class_line, is_dotnet_line, is_log_start, is_more,
    is_ruby_frame, is_ruby_head, is_severe, name, speaks_of_exception,
};
use super::{Next, State, Step, begin as begin_any};

/// Most lines of an exception's message that are held until a frame follows.
const MESSAGE_LINES: usize = 4;

pub(super) fn begin(line: &[u8]) -> Option<State> {
    let text = line.trim_ascii_start();
    let is_indented = text.len() < line.len();
    if is_rails_head(text) {
        return Some(State::Rails);
    }
    if is_indented {
        return None;
    }
    let is_head = is_class_line(line)
        || [
            &b"Exception in thread "[..],
            b"Unhandled exception. ",
            b"Unhandled Exception: ",
            b"Uncaught ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
        || is_ruby_head(line);
    if is_head {
        return Some(State::Head);
    }
    if is_node_place(line) {
        return Some(State::Place);
    }
    is_console_head(line).then_some(State::Console)
}

pub(super) fn after_plain(next: Next<'_>) -> Option<Step> {
    if let Some(text) = next.indented() {
        if is_at_frame(text) || is_more(text) || is_dotnet_line(text) || is_ruby_frame(text) {
            return Some(Step::join(State::Frames));
        }
        if is_cause(text) || text.starts_with(b"nested exception is:") {
            return Some(after_cause(text));
        }
        return (is_class_line(text) && is_severe(next.first)).then_some(Step::head(State::Head));
    }
    if is_cause(next.line) {
        return Some(after_cause(next.line));
    }
    if is_dotnet_line(next.line) {
        return Some(Step::join(State::Frames));
    }
    if is_ruby_frame(next.line) {
        let follows = speaks_of_exception(next.first) || is_severe(next.first);
        return follows.then_some(Step::join(State::Frames));
    }
    // A logger prints the exception on the lines behind its own. Without a level that tells of
    // trouble the exception may as well be somebody else's, printed by itself.
    (is_class_line(next.line) && is_severe(next.first)).then_some(Step::head(State::Head))
}

pub(super) fn step(state: State, next: Next<'_>) -> Step {
    match state {
        State::Console => console(next),
        State::Head | State::Nested => head(state, next),
        State::Frames => frames(next),
        State::Properties => properties(next),
        // Any line may be the source line; the caret tells.
        State::Place => Step::unsure(State::Source, next.n_unsure, 1),
        State::Source if is_caret(next.line) => Step::join(State::Caret),
        State::Caret if next.is_blank() => Step::join(State::Caret),
        State::Caret => Step::join(State::Head),
        State::Rails => rails(next),
        _ => Step::START,
    }
}

fn after_cause(text: &[u8]) -> Step {
    Step::join(if text.ends_with(b"nested exception is:") {
        State::Nested
    } else {
        State::Head
    })
}

fn console(next: Next<'_>) -> Step {
    let Some(text) = next.line.strip_prefix(b"      ") else {
        return Step::START;
    };
    if is_class_line(text) {
        return Step::head(State::Head);
    }
    if is_at_frame(text.trim_ascii_start()) {
        return Step::join(State::Frames);
    }
    Step::join(State::Console)
}

fn head(state: State, next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::Head, next.n_unsure, MESSAGE_LINES);
    }
    if let Some(text) = next.indented() {
        if is_at_frame(text) || is_more(text) || is_dotnet_line(text) || is_ruby_frame(text) {
            return Step::join(if text.ends_with(b" {") {
                State::Properties
            } else {
                State::Frames
            });
        }
        if next.n_unsure > 0 || begin_any(next.line) != State::Plain {
            return Step::START;
        }
        return after_cause(text);
    }
    let line = next.line;
    if is_cause(line) {
        return after_cause(line);
    }
    if is_dotnet_line(line) || is_ruby_frame(line) {
        return Step::join(State::Frames);
    }
    if let Some(step) = super::numbered::after_plain(next) {
        return step;
    }
    if is_node_version(line) {
        return Step::join(State::Done);
    }
    if is_class_line(line) {
        let is_nested = state == State::Nested && next.n_unsure == 0;
        return if is_nested {
            Step::join(State::Head)
        } else {
            Step::START
        };
    }
    if is_log_start(line) || begin_any(line) != State::Plain {
        return Step::START;
    }
    Step::unsure(State::Head, next.n_unsure, MESSAGE_LINES)
}

fn frames(next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::Frames, next.n_unsure, 1);
    }
    if let Some(text) = next.indented() {
        let is_frame =
            is_at_frame(text) || is_more(text) || is_dotnet_line(text) || is_ruby_frame(text);
        // Indented lines of all kinds stand between frames (locks, properties, notes), but a
        // head does not, and behind a blank line only frames go on.
        if !is_frame
            && !is_cause(text)
            && (next.n_unsure > 0 || begin_any(next.line) != State::Plain)
        {
            return Step::START;
        }
        if is_cause(text) {
            return after_cause(text);
        }
        return Step::join(if text.ends_with(b" {") {
            State::Properties
        } else {
            State::Frames
        });
    }
    let line = next.line;
    if is_cause(line) {
        return after_cause(line);
    }
    if is_dotnet_line(line) || is_more(line) || is_ruby_frame(line) && next.n_unsure == 0 {
        return Step::join(State::Frames);
    }
    if is_node_version(line) {
        return Step::join(State::Done);
    }
    Step::START
}

fn properties(next: Next<'_>) -> Step {
    if next.line.starts_with(b"}") {
        return Step::join(State::Frames);
    }
    if next.indented().is_some() {
        return Step::join(State::Properties);
    }
    Step::START
}

fn rails(next: Next<'_>) -> Step {
    if next.is_blank() {
        return Step::unsure(State::Rails, next.n_unsure, 1);
    }
    let is_frame = is_ruby_frame(next.line.trim_ascii());
    let is_code =
        next.indented().is_some() && next.n_unsure == 0 && begin_any(next.line) == State::Plain;
    if is_frame || is_code {
        Step::join(State::Frames)
    } else {
        Step::START
    }
}

/// `NoMethodError (undefined method …):`
fn is_rails_head(text: &[u8]) -> bool {
    text.ends_with(b"):") && {
        let name = name(text);
        is_class(name) && text[name.len()..].starts_with(b" (")
    }
}

/// `/app/index.js:3`, `file:///app/index.mjs:3`, `node:internal/process/promises:288`.
fn is_node_place(line: &[u8]) -> bool {
    let starts = [&b"/"[..], b"file:///", b"node:", b"internal/"];
    if !starts.iter().any(|start| line.starts_with(start)) {
        return false;
    }
    let digits = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let path = &line[..line.len() - digits];
    digits > 0 && path.ends_with(b":") && !path.contains(&b' ')
}

fn is_caret(line: &[u8]) -> bool {
    line.contains(&b'^')
        && line
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'^' | b'~'))
}

fn is_node_version(line: &[u8]) -> bool {
    line.starts_with(b"Node.js v")
}

/// `fail: My.Category[0]`, as .NET's console logger writes.
fn is_console_head(line: &[u8]) -> bool {
    let Some((level, rest)) = line.split_at_checked(6) else {
        return false;
    };
    matches!(
        level,
        b"trce: " | b"dbug: " | b"info: " | b"warn: " | b"fail: " | b"crit: "
    ) && rest.strip_suffix(b"]").is_some_and(|rest| {
        let digits = rest
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        digits > 0 && rest[..rest.len() - digits].ends_with(b"[")
    })
}
