//! What single lines look like, whatever they stand in.

use memchr::memmem;

/// Tells by its first byte and word whether `line` may head a trace or join a plain line at all.
/// True for all that the other modules look for, and for few ordinary lines.
#[inline]
pub(super) fn is_marked(line: &[u8]) -> bool {
    let Some(&first) = line.first() else {
        return true;
    };
    let starts: &[&[u8]] = match first {
        b' ' | b'\t' => return is_marked_indented(line.trim_ascii()),
        b'#' => return line.get(1).is_some_and(u8::is_ascii_digit),
        b'-' => &[b"--- End of ", b"---> "],
        b'[' => &[b"[stacktrace]"],
        b'=' => &[b"=================="],
        b'/' => return is_place(line) || line.last().is_some_and(u8::is_ascii_digit),
        b'.' | b'_' => return is_place(line),
        b'C' => &[b"Caused by:"],
        b'E' => &[b"Exception in thread "],
        b'F' => &[b"Fatal error: "],
        b'P' => &[b"PHP "],
        b'S' => &[b"SIG", b"Stack trace:", b"Suppressed:"],
        b'T' => &[b"Traceback "],
        b'U' => &[b"Uncaught ", b"Unhandled "],
        b'W' => &[b"WARNING: DATA RACE", b"Wrapped by:"],
        b'c' => &[b"crit: "],
        b'd' => &[b"dbug: "],
        b'e' => &[b"exception '"],
        b'f' => &[b"fail: ", b"fatal error: ", b"file:///"],
        b'g' => &[b"goroutine "],
        b'i' => &[b"info: ", b"internal/"],
        b'n' => &[b"nested exception is:", b"node:"],
        b'p' => &[b"panic: "],
        b't' => &[b"trce: "],
        b'w' => &[b"warn: "],
        b'A'..=b'Z' | b'a'..=b'z' => &[],
        _ => return false,
    };
    starts.iter().any(|start| line.starts_with(start)) || is_class(name(line)) || is_place(line)
}

/// As [`is_marked`], for the text of an indented line.
fn is_marked_indented(text: &[u8]) -> bool {
    let starts: [&[u8]; 10] = [
        b"at ",
        b"eval at ",
        b"... ",
        b"--- End of ",
        b"---> ",
        b"Caused by:",
        b"Suppressed:",
        b"Wrapped by:",
        b"nested exception is:",
        b"+ Exception Group ",
    ];
    // Frames of Ruby, heads of Rails, places of Python.
    text.ends_with(b"'")
        || text.ends_with(b"):")
        || text.starts_with(b"File \"")
        || starts.iter().any(|start| text.starts_with(start))
        || is_class(name(text))
}

/// Tells whether the first word is a place in Ruby's source: `a.rb:3:in`.
#[inline]
fn is_place(line: &[u8]) -> bool {
    memchr::memchr(b' ', line).is_some_and(|at| line[..at].ends_with(b":in"))
}

/// Ends of the names of exception classes, in all the languages.
const CLASS_ENDS: [&[u8]; 7] = [
    b"Exception",
    b"Error",
    b"Throwable",
    b"Failure",
    b"Interrupt",
    b"Exit",
    b"Fault",
];

/// Tells whether `name` (with packages or modules before it) is one of an exception class.
#[inline]
pub(super) fn is_class(name: &[u8]) -> bool {
    matches!(name.last(), Some(b'n' | b'r' | b'e' | b't'))
        && CLASS_ENDS.iter().any(|end| name.ends_with(end))
}

/// A byte of a class name: `java.lang.Error`, `Foo::Error`, `App\Error`, `Outer$Error`.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b':' | b'\\' | b'/' | b'`')
}

/// The name at the start of `text`, without a colon at its end.
pub(super) fn name(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .enumerate()
        .position(|(n, &byte)| {
            // A colon belongs to a name only as `::`.
            !is_name_byte(byte)
                || byte == b':' && text.get(n + 1) != Some(&b':') && (n == 0 || text[n - 1] != b':')
        })
        .unwrap_or(text.len());
    &text[..end]
}

/// Tells whether `text` starts with the name of an exception class, and its message or nothing
/// behind it: `a.BError: message`, `Error`, `Error [CODE]: message`, `a.B.CException[message]`.
pub(super) fn is_class_line(text: &[u8]) -> bool {
    if !text.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    let name = name(text);
    is_class(name)
        && match &text[name.len()..] {
            [] | [b':'] | [b':', b' ' | b'\t', ..] | [b'[', ..] | [b' ', b'[', ..] => true,
            // What Java prints of a class whose message is empty or that has a proxy's name.
            [b' '] => true,
            _ => false,
        }
}

/// Tells whether `text` is a frame of Java, .NET or Node.
pub(super) fn is_at_frame(text: &[u8]) -> bool {
    text.starts_with(b"at ") || text.starts_with(b"eval at ")
}

/// Tells whether `text` says how many frames are left out, as Java does.
pub(super) fn is_more(text: &[u8]) -> bool {
    text.strip_prefix(b"... ")
        .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Tells whether `text` names the cause of the exception before it, or such.
pub(super) fn is_cause(text: &[u8]) -> bool {
    [&b"Caused by:"[..], b"Suppressed:", b"Wrapped by:"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Tells whether `text` is one of .NET's lines between exceptions.
pub(super) fn is_dotnet_line(text: &[u8]) -> bool {
    text.starts_with(b"--- End of ") || text.starts_with(b"---> ")
}

/// Where the frame of a Ruby backtrace ends its line number: `path.rb:12:in `. Gives what is behind.
fn after_ruby_place(text: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(text, b":in ")?;
    let (place, rest) = (&text[..at], &text[at + 4..]);
    let digits = place
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let path = place[..place.len() - digits].strip_suffix(b":")?;
    let quoted = matches!(rest.first(), Some(b'`' | b'\''));
    (digits > 0 && quoted && !path.is_empty()).then_some(rest)
}

/// Tells whether `text` is a frame of a Ruby backtrace.
pub(super) fn is_ruby_frame(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"from ").unwrap_or(text);
    after_ruby_place(text).is_some_and(|rest| rest.ends_with(b"'"))
}

/// Tells whether `text` is the first line of a Ruby backtrace, with the message behind the place.
pub(super) fn is_ruby_head(text: &[u8]) -> bool {
    after_ruby_place(text).is_some_and(|rest| memmem::find(rest, b"': ").is_some())
}

/// Words of levels from warning up, in lower case.
const SEVERE: [&[u8]; 13] = [
    b"error",
    b"err",
    b"warn",
    b"warning",
    b"fatal",
    b"severe",
    b"critical",
    b"crit",
    b"alert",
    b"emerg",
    b"panic",
    b"fail",
    b"wrn",
];

/// How much of a line is searched for its level: prefixes of loggers are shorter.
const PREFIX: usize = 256;

/// Tells whether `line` is a log line of a level that exceptions are logged at.
pub(super) fn is_severe(line: &[u8]) -> bool {
    if line.first() == Some(&b'{') {
        return false;
    }
    let prefix = &line[..line.len().min(PREFIX)];
    // klog: `E0102 15:04:05…`.
    if let [b'E' | b'F' | b'W', digits @ ..] = prefix
        && digits.len() > 4
        && digits[..4].iter().all(u8::is_ascii_digit)
    {
        return true;
    }
    prefix
        .split(|byte| !byte.is_ascii_alphabetic())
        .any(|word| {
            SEVERE
                .iter()
                .any(|severe| word.eq_ignore_ascii_case(severe))
        })
}

/// Tells whether `line` speaks of an exception or an error.
pub(super) fn speaks_of_exception(line: &[u8]) -> bool {
    [&b"xception"[..], b"rror", b"ERROR", b"Uncaught"]
        .iter()
        .any(|word| memmem::find(line, word).is_some())
}

/// Tells whether `line` looks like one that a logger starts with.
pub(super) fn is_log_start(line: &[u8]) -> bool {
    match line {
        [b'0'..=b'9' | b'{' | b'[' | b'<', ..] => true,
        [b'I' | b'W' | b'E' | b'F' | b'D', digit, ..] if digit.is_ascii_digit() => true,
        _ => {
            let word = &line[..line
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count()];
            [
                &b"info"[..],
                b"debug",
                b"trace",
                b"warn",
                b"warning",
                b"error",
                b"fatal",
                b"level",
                b"time",
                b"ts",
                b"notice",
                b"dbug",
                b"trce",
                b"fail",
                b"crit",
            ]
            .iter()
            .any(|start| word.eq_ignore_ascii_case(start) && word != b"Error")
        }
    }
}

/// Where in `line` a trace is headed: at the exception's name or what else its language says.
pub(super) fn find_head(line: &[u8]) -> Option<usize> {
    const SENTENCES: [&[u8]; 8] = [
        b"Traceback (most recent call last):",
        b"panic: ",
        b"panic serving ",
        b"V8 errors stack trace",
        b"Unhandled exception",
        b"PHP Fatal error:",
        b"Exception in thread ",
        // Laravel's JSON behind the message.
        b"{\"exception\":\"[object] (",
    ];
    for sentence in SENTENCES {
        if let Some(at) = memmem::find(line, sentence)
            && (at == 0 || !line[at - 1].is_ascii_alphanumeric())
        {
            return Some(at);
        }
    }
    for end in &CLASS_ENDS[..3] {
        for at in memmem::find_iter(line, end) {
            let after = at + end.len();
            if !matches!(line.get(after), None | Some(b':' | b'[' | b'\'')) {
                continue;
            }
            let length = line[..at]
                .iter()
                .rev()
                .take_while(|&&byte| is_name_byte(byte))
                .count();
            let start = at - length;
            let skipped = line[start..]
                .iter()
                .take_while(|byte| !byte.is_ascii_alphanumeric())
                .count();
            return Some(start + skipped);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_lines_are_told_from_prose() {
        for line in [
            "java.lang.Error",
            "a.b.C$DException: x",
            "Error: x",
            "Error [ERR_X]: y",
            "App\\Exceptions\\FooException: x",
            "Net::ReadTimeoutError: x",
            "KeyError:",
            "IndexNotFoundException[no such index]",
        ] {
            assert!(is_class_line(line.as_bytes()), "{line}");
        }
        for line in [
            "ERROR: x",
            "Errors: 1",
            "Error while reading",
            "Exception handling is on",
            ": Error",
            "",
            "1Error: x",
            "error: x",
        ] {
            assert!(!is_class_line(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn frames_and_heads_of_ruby_are_told_apart() {
        assert!(is_ruby_frame(b"from /a.rb:6:in `block in <main>'"));
        assert!(is_ruby_frame(b"actionpack (5.1.4) lib/a.rb:63:in `call'"));
        assert!(is_ruby_frame(b"/a.rb:6:in 'Foo#bar'"));
        assert!(!is_ruby_frame(
            b"/a.rb:6:in `/': divided by 0 (ZeroDivisionError)"
        ));
        assert!(is_ruby_head(
            b"/a.rb:6:in `/': divided by 0 (ZeroDivisionError)"
        ));
        assert!(!is_ruby_frame(b"logged:in `x'"));
    }

    #[test]
    fn levels_are_whole_words() {
        for line in [
            "12:00 ERROR x",
            "[WARN] x",
            "E0102 15:04:05 x",
            "level=error msg=x",
            "fail: A[0]",
        ] {
            assert!(is_severe(line.as_bytes()), "{line}");
        }
        for line in [
            "12:00 INFO terrors",
            "{\"level\":\"error\"}",
            "This is the first text line.",
        ] {
            assert!(!is_severe(line.as_bytes()), "{line}");
        }
    }
}
