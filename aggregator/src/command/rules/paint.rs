//! Colours for people at a terminal, and none for files and pipes.

use std::fmt;
use std::io::IsTerminal as _;

/// What a text means; how that looks is decided here alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A heading, the thing that is spoken of.
    Strong,
    /// What is around the matter.
    Faint,
    /// Wrong, or missing.
    Bad,
    /// Right, or added.
    Good,
    /// Worth a look.
    Warn,
    /// Names of fields.
    Name,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    colors: bool,
}

impl Paint {
    /// Colours when standard output is a terminal, unless `NO_COLOR` is set (<https://no-color.org>)
    /// or the terminal can none.
    pub(super) fn for_stdout() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colors: std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !dumb,
        }
    }

    /// No colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colors: false }
    }

    /// `text` in the colour of `style`.
    pub(super) fn text<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        let code = self.colors.then_some(match style {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Bad => "31",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Name => "36",
        });
        Painted { code, text }
    }
}

/// A text with its colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => self.text.fmt(f),
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
        }
    }
}

/// A line of a log or of a file for the terminal: control characters cannot move the cursor, and
/// each character keeps one column, so that a caret below it stands right.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_codes_around_the_text_or_nothing() {
        let on = Paint { colors: true };
        assert_eq!(on.text(Style::Bad, "x").to_string(), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint::plain().text(Style::Bad, "x").to_string(), "x");
        assert_eq!(
            format!("{:>3}|", Paint::plain().text(Style::Bad, "x")),
            "  x|"
        );
    }

    #[test]
    fn what_moves_the_cursor_is_shown_as_one_character() {
        assert_eq!(visible("a\tb\x1b[1mc\nd"), "a b\u{fffd}[1mc⏎d");
    }
}
