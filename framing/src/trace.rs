//! Stack traces of Java, Python, Go, Node, .NET, Ruby, PHP and Dart, told by the shape of lines.
//!
//! A state machine over the lines of one iostream. Ordinary lines cost a look at their first
//! byte and word. Lines that belong to a trace only if a later line says so (a blank line, the
//! lines of a message) are taken [`Verdict::Unsure`] and given back when it does not.
//!
//! What a line is depends on the state, the first line of the event and the line itself; never on
//! what came before the event.

mod frames;
mod go;
mod numbered;
mod python;
mod words;

/// What the open event is in the midst of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Nothing known.
    #[default]
    Plain,
    /// A message of .NET's console logger, indented under its head.
    Console,
    /// An exception has been named; its message may go on, frames may follow.
    Head,
    /// As [`State::Head`], after "nested exception is:".
    Nested,
    /// Frames of Java, .NET, Node or Ruby, one a line.
    Frames,
    /// An object that Node prints behind the frames.
    Properties,
    /// Node's place in the source, where a source line follows.
    Place,
    /// Node's source line, where a caret follows.
    Source,
    /// Node's caret, where the error follows.
    Caret,
    /// Rails' head, where a blank line or frames follow.
    Rails,
    /// Frames and code of Python.
    Python,
    /// Python's exception line.
    PythonEnd,
    /// The sentence between two of Python's tracebacks.
    PythonLink,
    /// A panic of Go.
    Panic,
    /// Frames of Go's goroutines.
    Goroutine,
    /// The line that Go's race detector starts with.
    RaceLine,
    /// A report of Go's race detector.
    Race,
    /// PHP's exception line.
    PhpHead,
    /// Dart's head, where the message follows.
    DartHead,
    /// Dart's message.
    DartMessage,
    /// Numbered frames of PHP or Dart.
    Numbered,
    /// The trace is over.
    Done,
}

impl State {
    /// Tells whether a trace, or the head of one, has been seen.
    pub(crate) fn is_trace(self) -> bool {
        !matches!(self, Self::Plain | Self::Console | Self::RaceLine)
    }
}

/// What a line is to the open event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It starts a new one.
    Start,
    /// It belongs to the event, and so do the unsure lines before it.
    Join,
    /// It belongs to the event if a later line does.
    Unsure,
}

/// Outcome of [`step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) verdict: Verdict,
    /// State after the line, if it does not start a new event.
    pub(crate) state: State,
    /// The line heads the trace; if no line does, the first one of the event does.
    pub(crate) heads: bool,
}

impl Step {
    const START: Self = Self {
        verdict: Verdict::Start,
        state: State::Plain,
        heads: false,
    };

    fn join(state: State) -> Self {
        Self {
            verdict: Verdict::Join,
            state,
            heads: false,
        }
    }

    fn head(state: State) -> Self {
        Self {
            verdict: Verdict::Join,
            state,
            heads: true,
        }
    }

    /// Unsure while fewer than `most` lines are.
    fn unsure(state: State, n_unsure: usize, most: usize) -> Self {
        if n_unsure < most {
            Self {
                verdict: Verdict::Unsure,
                state,
                heads: false,
            }
        } else {
            Self::START
        }
    }
}

/// A line and what is known of the event it comes after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next<'a> {
    /// First line of the event.
    pub(crate) first: &'a [u8],
    /// The line.
    pub(crate) line: &'a [u8],
    /// Unsure lines at the end of the event.
    pub(crate) n_unsure: usize,
}

impl<'a> Next<'a> {
    /// The line without white space around it, when it is indented and not blank.
    fn indented(&self) -> Option<&'a [u8]> {
        match self.line.first() {
            Some(b' ' | b'\t') => {
                let text = self.line.trim_ascii();
                (!text.is_empty()).then_some(text)
            }
            _ => None,
        }
    }

    fn is_blank(&self) -> bool {
        self.line.trim_ascii().is_empty()
    }
}

/// State of an event that starts with `line`.
#[inline]
pub(crate) fn begin(line: &[u8]) -> State {
    if !words::is_marked(line) {
        return State::Plain;
    }
    python::begin(line)
        .or_else(|| go::begin(line))
        .or_else(|| numbered::begin(line))
        .or_else(|| frames::begin(line))
        .unwrap_or(State::Plain)
}

/// Tells quickly that `line` cannot belong to an event in `state`: all that ordinary lines pay.
#[inline]
pub(crate) fn may_join(state: State, line: &[u8]) -> bool {
    state != State::Plain || words::is_marked(line)
}

/// Judges the line after an event in `state`.
pub(crate) fn step(state: State, next: Next<'_>) -> Step {
    match state {
        State::Plain => plain(next),
        State::Console
        | State::Head
        | State::Nested
        | State::Frames
        | State::Properties
        | State::Place
        | State::Source
        | State::Caret
        | State::Rails => frames::step(state, next),
        State::Python | State::PythonEnd | State::PythonLink => python::step(state, next),
        State::Panic | State::Goroutine | State::RaceLine | State::Race => go::step(state, next),
        State::PhpHead | State::DartHead | State::DartMessage | State::Numbered => {
            numbered::step(state, next)
        }
        State::Done => Step::START,
    }
}

/// Judges the line after a first line that heads no trace by its start: a log line with an
/// exception in its midst, or one that a logger prints an exception behind.
fn plain(next: Next<'_>) -> Step {
    if next.line.is_empty() {
        // Spring Boot leaves a line blank before the exception.
        return match words::is_severe(next.first) {
            true => Step::unsure(State::Plain, next.n_unsure, 1),
            false => Step::START,
        };
    }
    if next.first.trim_ascii().is_empty() {
        return Step::START;
    }
    let step = python::after_plain(next)
        .or_else(|| go::after_plain(next))
        .or_else(|| numbered::after_plain(next))
        .or_else(|| frames::after_plain(next))
        .unwrap_or(Step::START);
    if next.n_unsure == 0 || step.heads {
        step
    } else {
        Step::START
    }
}

/// Tells whether a line that heads no trace by its start does so by what is in it.
pub(crate) fn is_head(line: &[u8]) -> bool {
    // Traces in JSON are escaped and stand in one line.
    line.first() != Some(&b'{') && words::find_head(line).is_some()
}

/// Where in `line`, which heads a trace, the trace starts: at the exception's name.
pub(crate) fn head_at(line: &[u8]) -> usize {
    words::find_head(line).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_by_their_start() {
        let cases: &[(&str, State)] = &[
            ("java.lang.IllegalStateException: bad", State::Head),
            ("Exception in thread \"main\" java.lang.Error", State::Head),
            ("TypeError: x is not a function", State::Head),
            ("Error", State::Head),
            ("Traceback (most recent call last):", State::Python),
            (
                "  + Exception Group Traceback (most recent call last):",
                State::Python,
            ),
            ("panic: my panic", State::Panic),
            (
                "fatal error: all goroutines are asleep - deadlock!",
                State::Panic,
            ),
            ("goroutine 7 [running]:", State::Goroutine),
            ("==================", State::RaceLine),
            ("WARNING: DATA RACE", State::Race),
            ("Unhandled exception:", State::DartHead),
            (
                "Unhandled exception. System.InvalidOperationException: no",
                State::Head,
            ),
            ("PHP Fatal error:  Uncaught Exception: x", State::PhpHead),
            (
                "exception 'Exception' with message 'x' in /a.php:1",
                State::PhpHead,
            ),
            (" NoMethodError (undefined method `a'):", State::Rails),
            (
                "/a.rb:6:in `/': divided by 0 (ZeroDivisionError)",
                State::Head,
            ),
            ("/app/index.js:3", State::Place),
            ("node:internal/process/promises:288", State::Place),
            ("fail: My.Category[0]", State::Console),
            ("This is the first text line.", State::Plain),
            (
                "It sounds tympanic: a word which means like a drum.",
                State::Plain,
            ),
            ("ERROR something failed", State::Plain),
            ("Errors: 0", State::Plain),
            ("2026-01-01 ERROR java.lang.Error: x", State::Plain),
            ("{\"error\":\"java.lang.Error: x\"}", State::Plain),
            ("=====", State::Plain),
            ("/usr/bin/env: not found", State::Plain),
            ("panicking", State::Plain),
            ("", State::Plain),
            ("   ", State::Plain),
        ];
        for &(line, state) in cases {
            assert_eq!(begin(line.as_bytes()), state, "{line}");
        }
    }

    #[test]
    fn heads_are_found_in_the_midst_of_lines() {
        let cases: &[(&str, Option<&str>)] = &[
            (
                "12:00 ERROR [main] a.B - java.lang.Error: x",
                Some("java.lang.Error: x"),
            ),
            (
                "Jul 09 MakeLog: RuntimeException: Run",
                Some("RuntimeException: Run"),
            ),
            (
                "INFO:root:Traceback (most recent call last):",
                Some("Traceback (most recent call last):"),
            ),
            (
                "2019/01/15 07:48:05 http: panic serving [::1]:54143: x",
                Some("panic serving [::1]:54143: x"),
            ),
            ("E0102 x.go:1] panic: boom", Some("panic: boom")),
            ("It sounds tympanic: a word which means like a drum.", None),
            ("12:00 ERROR request failed", None),
            ("no exception: at all", None),
        ];
        for &(line, expected) in cases {
            let found = words::find_head(line.as_bytes()).and_then(|at| line.get(at..));
            assert_eq!(found, expected, "{line}");
        }
        assert!(!is_head(b"{\"e\":\"java.lang.Error: x\"}"));
    }
}
