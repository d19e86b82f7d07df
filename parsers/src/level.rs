//! Severity: the many ways programs write it, to six words; and words that are none of these.

/// `log.level` of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// `trace`.
    Trace,
    /// `debug`.
    Debug,
    /// `info`.
    Info,
    /// `warn`.
    Warn,
    /// `error`.
    Error,
    /// `fatal`.
    Fatal,
}

/// What a rule found where it says that a level stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Known(Level),
    Other(Word),
}

impl Said {
    /// Reads a level, or a word that may be one to its program. `None`: the rule was wrong about
    /// what stands there.
    pub(crate) fn read(text: &[u8]) -> Option<Said> {
        let known = Level::from_text(text).map(Said::Known);
        known.or_else(|| Word::of(text).map(Said::Other))
    }
}

/// A word for a level that is not known here, `AUDIT` say, in lower case: it stands in `log.level` as
/// ECS wants it, and is neither above nor below any [`Level`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    bytes: [u8; Word::MAX_BYTES],
    n: u8,
}

impl Word {
    /// Longest word: the longest level that is known has 13 bytes. Text beyond is prose, an id or a
    /// secret.
    const MAX_BYTES: usize = 16;

    /// A text that is a word: letters, in it `_` and `-`, and up to two digits at its end (`P2`).
    pub(crate) fn of(text: &[u8]) -> Option<Word> {
        let n_digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let letters = text.get(..text.len() - n_digits).unwrap_or_default();
        let is_word = text.len() <= Self::MAX_BYTES
            && n_digits <= 2
            && letters.first().is_some_and(u8::is_ascii_alphabetic)
            && letters
                .iter()
                .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-'));
        if !is_word {
            return None;
        }
        let mut bytes = [0; Self::MAX_BYTES];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = from.to_ascii_lowercase();
        }
        let n = text.len() as u8;
        Some(Word { bytes, n })
    }

    /// The word: nothing in it needs an escape in JSON.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.n)).unwrap_or_default()
    }
}

/// In plain text a level stands near the start of its line. Looking further finds more words of
/// prose than levels, and costs time on every line.
const LOOK_AT: usize = 96;

impl Level {
    /// The word in `log.level`.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level that a word names, in any case. Also numbers: 10 to 60 as pino and bunyan write
    /// them, 0 to 7 as syslog and GELF do.
    pub(crate) fn from_text(text: &[u8]) -> Option<Level> {
        if text.first().is_some_and(u8::is_ascii_digit) {
            return Self::from_number(text);
        }
        if let [letter] | [letter, b'1'..=b'5'] = text {
            return Self::from_letter(*letter);
        }
        let mut lower = [0; 16];
        let word = lower.get_mut(..text.len())?;
        for (to, from) in word.iter_mut().zip(text) {
            *to = from.to_ascii_lowercase();
        }
        Self::from_lower(word)
    }

    /// A level of one letter, as MongoDB (`I`, `D2`), glog and Android write it. Only for what is
    /// known to be a level: in prose a letter is a word.
    fn from_letter(letter: u8) -> Option<Level> {
        Some(match letter.to_ascii_lowercase() {
            b't' | b'v' => Level::Trace,
            b'd' => Level::Debug,
            b'i' | b'n' => Level::Info,
            b'w' => Level::Warn,
            b'e' => Level::Error,
            b'f' | b'c' => Level::Fatal,
            _ => return None,
        })
    }

    fn from_lower(word: &[u8]) -> Option<Level> {
        Some(match word {
            b"trace" | b"trac" | b"trc" | b"finest" | b"finer" | b"verbose" | b"verb" | b"vrb"
            | b"silly" | b"trace2" | b"trace3" | b"trace4" => Level::Trace,
            b"debug" | b"debu" | b"dbg" | b"debg" | b"fine" | b"dbug" | b"debug2" | b"debug3"
            | b"debug4" => Level::Debug,
            b"info" | b"inf" | b"information" | b"informational" | b"notice" | b"note" | b"log"
            | b"config" | b"default" | b"http" | b"success" | b"info2" | b"info3" | b"info4" => {
                Level::Info
            }
            b"warn" | b"wrn" | b"warning" | b"warn2" | b"warn3" | b"warn4" => Level::Warn,
            b"error" | b"erro" | b"err" | b"eror" | b"fail" | b"severe" | b"failure"
            | b"error2" | b"error3" | b"error4" => Level::Error,
            b"fatal" | b"ftl" | b"fata" | b"crit" | b"critical" | b"crt" | b"panic" | b"pani"
            | b"dpanic" | b"pnc" | b"emerg" | b"emergency" | b"alert" | b"off" | b"fatal2"
            | b"fatal3" | b"fatal4" => Level::Fatal,
            _ => return None,
        })
    }

    fn number(text: &[u8]) -> Option<u32> {
        let digits = text.len() <= 3 && !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        digits.then(|| text.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0')))
    }

    /// 10 to 60 as pino and bunyan write them, 0 to 7 as syslog and GELF do.
    pub(crate) fn from_number(text: &[u8]) -> Option<Level> {
        Some(match Self::number(text)? {
            0..=2 => Level::Fatal,
            3 => Level::Error,
            4 => Level::Warn,
            5 | 6 => Level::Info,
            7 => Level::Debug,
            10..=19 => Level::Trace,
            20..=29 => Level::Debug,
            30..=39 => Level::Info,
            40..=49 => Level::Warn,
            50..=59 => Level::Error,
            60..=69 => Level::Fatal,
            _ => return None,
        })
    }

    /// Python's `levelno`.
    pub(crate) fn from_python(text: &[u8]) -> Option<Level> {
        Some(match Self::number(text)? {
            1..=9 => Level::Trace,
            10..=19 => Level::Debug,
            20..=29 => Level::Info,
            30..=39 => Level::Warn,
            40..=49 => Level::Error,
            50..=59 => Level::Fatal,
            _ => return None,
        })
    }

    /// OpenTelemetry's severity number.
    pub(crate) fn from_otel(text: &[u8]) -> Option<Level> {
        Some(match Self::number(text)? {
            1..=4 => Level::Trace,
            5..=8 => Level::Debug,
            9..=12 => Level::Info,
            13..=16 => Level::Warn,
            17..=20 => Level::Error,
            21..=24 => Level::Fatal,
            _ => return None,
        })
    }

    /// The level that a plain line shows near its start: an upper-case word (`ERROR`, `WRN`), a
    /// word in brackets (`[error]`), after a name (`level=error`), before a colon at the start of
    /// the line (`error: …`), or klog's first letter (`E0102 15:04:05`).
    #[inline]
    pub(crate) fn in_line(line: &[u8]) -> Option<Level> {
        let head = &line[..line.len().min(LOOK_AT)];
        if let Some(level) = klog(head) {
            return Some(level);
        }
        let mut at = 0;
        while at < head.len() {
            // Letters and digits end or begin words; the run between two others is one word.
            let class = CLASS[usize::from(head[at])];
            if class == OTHER {
                at += 1;
                continue;
            }
            let start = at;
            let mut all = 0;
            while at < head.len() && CLASS[usize::from(head[at])] != OTHER {
                all |= CLASS[usize::from(head[at])];
                at += 1;
            }
            // Upper or lower case only, of a length that a level has; cut words are none.
            let n = at - start;
            if (3..=13).contains(&n) && (all == UPPER || all == LOWER) {
                let cut = at == head.len() && line.len() > head.len();
                if !cut && let Some(level) = in_context(head, start, at, all == UPPER) {
                    return Some(level);
                }
            }
        }
        None
    }
}

const OTHER: u8 = 0;
const UPPER: u8 = 1;
const LOWER: u8 = 2;
const DIGIT: u8 = 4;

/// What each byte is to a word. Bytes above ASCII count as letters: they never make a level.
const CLASS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        if b.is_ascii_uppercase() {
            table[i] = UPPER;
        } else if b.is_ascii_lowercase() {
            table[i] = LOWER;
        } else if b.is_ascii_digit() || b == b'_' || b >= 0x80 {
            table[i] = DIGIT;
        }
        i += 1;
    }
    table
};

/// Whether the first letter can begin a level: most words of prose end here.
const fn begins_level(byte: u8) -> bool {
    matches!(
        byte | 0x20,
        b't' | b'f' | b'v' | b's' | b'd' | b'i' | b'n' | b'l' | b'w' | b'e' | b'c' | b'p' | b'a'
    )
}

fn in_context(head: &[u8], start: usize, end: usize, upper: bool) -> Option<Level> {
    let word = &head[start..end];
    if !begins_level(word[0]) {
        return None;
    }
    // Most words are no levels: the context is looked at last.
    let level = Level::from_text(word)?;
    let before = start.checked_sub(1).map(|i| head[i]);
    let after = head.get(end).copied();
    let is_bracketed = matches!(
        (before, after),
        (Some(b'['), Some(b']')) | (Some(b'<'), Some(b'>')) | (Some(b'('), Some(b')'))
    );
    let is_free = !matches!(
        before,
        Some(b'-' | b'.' | b'/' | b'=' | b'\'' | b'"' | b':' | b'@')
    ) && !matches!(
        after,
        Some(b'-' | b'.' | b'/' | b'=' | b'\'' | b'"' | b'(' | b'@')
    );
    if is_named(&head[..start]) {
        return Some(level);
    }
    let fits = if upper {
        is_bracketed || is_free
    } else {
        is_bracketed
            || (start == 0 && after == Some(b':'))
            || (before == Some(b'|') && after == Some(b'|'))
            || (after == Some(b' ') && head[..start].ends_with(b"| "))
    };
    (fits && !is_ambiguous(word)).then_some(level)
}

/// Whether what stands before a word calls it a level.
fn is_named(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"\"").unwrap_or(before);
    [
        &b"level="[..],
        b"lvl=",
        b"severity=",
        b"level:",
        b"level: ",
        b"level\":",
        b"level\": ",
    ]
    .iter()
    .any(|name| before.ends_with(name))
}

/// Words that are levels to some loggers and something else to everyone: they count after a name
/// only.
fn is_ambiguous(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"http", b"log", b"off", b"default", b"config", b"note", b"fine", b"success", b"fail",
        b"failure", b"silly",
    ];
    WORDS.iter().any(|w| w.eq_ignore_ascii_case(word))
}

/// klog and glog: `E0102 15:04:05.678901`.
fn klog(head: &[u8]) -> Option<Level> {
    let level = match head.first()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        b'D' => Level::Debug,
        _ => return None,
    };
    let date = head.get(1..5)?.iter().all(u8::is_ascii_digit);
    (date && head.get(5) == Some(&b' ') && head.get(8) == Some(&b':')).then_some(level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_of_plain_lines() {
        let check = |line: &str, expected: &str| {
            assert_eq!(
                Level::in_line(line.as_bytes()).map_or("", Level::name),
                expected,
                "{line}"
            );
        };
        check(
            "2024-01-02 03:04:05,123 ERROR [main] c.e.Shop - no stock",
            "error",
        );
        check(
            "2024/01/02 03:04:05 [error] 12#12: *1 open() failed",
            "error",
        );
        check("time=x level=error msg=y", "error");
        check("level=\"warning\" msg=y", "warn");
        check("E0102 15:04:05.678901       1 server.go:12] boom", "error");
        check("I0102 15:04:05.678901       1 server.go:12] fine", "info");
        check("E0102 not klog", "");
        check("[INFO] started", "info");
        check("INFO:root:hello", "info");
        check("WARNING:root:hello", "warn");
        check("error: cannot open file", "error");
        check("an error: cannot open file", "");
        check("3:04PM INF listening", "info");
        check("2024-01-02T03:04:05Z WRN slow", "warn");
        check("2024-01-02 | debug | hello", "debug");
        check("<error> x", "error");
        check("GET /ERROR/x", "");
        check("no errors at all", "");
        check("ERRORS are not a level", "");
        check("GET / HTTP/1.1", "");
        check("the HTTP server", "");
        check("1:M 02 Jan 2024 03:04:05.678 * Ready", "");
        check("2024-01-02 03:04:05.000 UTC [1] LOG:  listening", "");
        check(
            "2024-01-02 03:04:05.000 UTC [1] FATAL:  no such database",
            "fatal",
        );
        check("CRITICAL - x", "fatal");
        check("", "");
        check(&format!("{}ERROR", " ".repeat(LOOK_AT - 3)), "");
        check(&format!("{}ERROR", " ".repeat(LOOK_AT - 5)), "error");
    }

    #[test]
    fn levels_of_values() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                Level::from_text(text.as_bytes()).map_or("", Level::name),
                expected,
                "{text}"
            );
        };
        check("Information", "info");
        check("WARNING", "warn");
        check("dpanic", "fatal");
        check("Notice", "info");
        check("30", "info");
        check("60", "fatal");
        check("3", "error");
        check("7", "debug");
        check("8", "");
        check("300", "");
        check("audit", "");
        check("", "");
        check("a word longer than any level", "");
        assert_eq!(Level::from_python(b"30"), Some(Level::Warn));
        assert_eq!(Level::from_otel(b"17"), Some(Level::Error));
    }

    #[test]
    fn words_for_levels_are_no_prose() {
        let check = |text: &str, expected: &str| {
            let found = Said::read(text.as_bytes());
            let found = match &found {
                Some(Said::Known(level)) => level.name().as_bytes(),
                Some(Said::Other(word)) => word.text(),
                None => b"",
            };
            assert_eq!(found, expected.as_bytes(), "{text}");
        };
        check("WARNING", "warn");
        check("AUDIT", "audit");
        check("Business_Event", "business_event");
        check("P2", "p2");
        check("X", "x");
        check("a-word-of-16-let", "");
        check("abcdefghijklmnop", "abcdefghijklmnop");
        check("abcdefghijklmnopq", "");
        check("A123", "");
        check("12:30:45", "");
        check("300", "");
        check("very bad", "");
        check("größe", "");
        check("_x", "");
        check("", "");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Level::in_line(&line);
            let _ = Said::read(&line);
        }
    }
}
