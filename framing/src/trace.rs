//! Stack traces.

/// What the open event is in the midst of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Nothing known.
    #[default]
    Plain,
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
pub(crate) struct Step {
    pub(crate) verdict: Verdict,
    pub(crate) state: State,
    /// The line heads the trace.
    pub(crate) heads: bool,
}

/// State of an event that starts with `line`.
pub(crate) fn begin(_line: &[u8]) -> State {
    State::Plain
}

/// Tells quickly that `line` cannot belong to an event in `state`.
pub(crate) fn may_join(_state: State, line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Judges `line`.
pub(crate) fn step(state: State, _first: &[u8], line: &[u8], _n_unsure: usize) -> Step {
    let verdict = if line.trim_ascii_start().starts_with(b"at ") {
        Verdict::Join
    } else {
        Verdict::Start
    };
    Step {
        verdict,
        state,
        heads: false,
    }
}

/// Where in `line` the trace starts.
pub(crate) fn head_at(_line: &[u8]) -> usize {
    0
}

/// Tells whether `line` heads a trace.
pub(crate) fn is_head(_line: &[u8]) -> bool {
    false
}
