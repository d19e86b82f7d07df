//! What a stack trace says of its error: type and message.
//!
//! The line that says it is the first one, or in Python the last one that is not indented.

/// Type and message of the error of a trace, as ranges of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Said<'a> {
    pub(crate) kind: Option<&'a [u8]>,
    pub(crate) message: Option<&'a [u8]>,
}

/// Longest type name and message that are taken; the trace itself is kept whole.
const MAX_TYPE: usize = 256;
const MAX_MESSAGE: usize = 8 * 1024;

/// Words before the type, by language.
const PREFIXES: &[&[u8]] = &[
    b"Unhandled exception. ",
    b"Unhandled Exception: ",
    b"Unhandled exception at ",
    b"Uncaught ",
    b"PHP Fatal error:  Uncaught ",
    b"PHP Fatal error: Uncaught ",
    b"Fatal error: Uncaught ",
    b"Caused by: ",
];

/// Reads the type and message of a trace.
pub(crate) fn read(trace: &[u8]) -> Said<'_> {
    if trace.starts_with(b"Traceback ") {
        let last = trace
            .split(|b| *b == b'\n')
            .skip(1)
            .filter(|line| !line.is_empty() && !line[0].is_ascii_whitespace())
            .take_while(|line| !line.starts_with(b"During handling of"))
            .last();
        return last.map(read_line).unwrap_or_default();
    }
    let mut lines = trace.split(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    if first.starts_with(b"Unhandled exception:") {
        // Dart says it in the next line.
        return Said {
            kind: None,
            message: lines.next().and_then(some_text),
        };
    }
    read_line(first)
}

fn some_text(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii();
    (!text.is_empty() && text.len() <= MAX_MESSAGE).then_some(text)
}

fn read_line(line: &[u8]) -> Said<'_> {
    for go in [&b"panic: "[..], b"fatal error: "] {
        if let Some(message) = line.strip_prefix(go) {
            let kind = line.get(..go.len() - 2);
            return Said {
                kind,
                message: some_text(message),
            };
        }
    }
    let mut rest = line;
    // `Exception in thread "main" java.lang.…`
    if let Some(thread) = rest.strip_prefix(b"Exception in thread \"")
        && let Some(quote) = memchr::memchr(b'"', thread)
    {
        rest = thread[quote + 1..].trim_ascii_start();
    }
    while let Some(shorter) = PREFIXES
        .iter()
        .find_map(|prefix| rest.strip_prefix(*prefix))
    {
        rest = shorter;
    }
    let n = rest
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$' | b'\\' | b'/'))
        .count();
    let (kind, message) = rest.split_at(n);
    if kind.len() > MAX_TYPE || !is_type(kind) {
        return ruby(line);
    }
    match message {
        [] => Said {
            kind: Some(kind),
            message: None,
        },
        [b':', message @ ..] => Said {
            kind: Some(kind),
            message: some_text(message),
        },
        _ => ruby(line),
    }
}

/// `app.rb:3:in 'pay': no card (ArgumentError)`
fn ruby(line: &[u8]) -> Said<'_> {
    let text = line.trim_ascii_end();
    let Some(inner) = text.strip_suffix(b")") else {
        return Said::default();
    };
    let Some(open) = memchr::memrchr(b'(', inner) else {
        return Said::default();
    };
    let kind = &inner[open + 1..];
    if !is_type(kind) {
        return Said::default();
    }
    let before = &inner[..open];
    let Some(at) = memchr::memmem::find(before, b"': ") else {
        return Said::default();
    };
    Said {
        kind: Some(kind),
        message: some_text(&before[at + 3..]),
    }
}

/// Whether a word is the name of an error's type.
fn is_type(word: &[u8]) -> bool {
    const ENDINGS: &[&[u8]] = &[
        b"Error",
        b"Exception",
        b"Throwable",
        b"Failure",
        b"Warning",
        b"Exit",
        b"Interrupt",
    ];
    word.first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_' || *b == b'\\')
        && word.iter().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$' | b'\\' | b':' | b'/')
        })
        && !word.ends_with(b".")
        && (ENDINGS.iter().any(|ending| word.ends_with(ending))
            || (word.contains(&b'.') && !word.ends_with(b".go") && !word.ends_with(b".rb")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_messages_are_read() {
        let check = |trace: &str, kind: &str, message: &str| {
            let said = read(trace.as_bytes());
            let text =
                |t: Option<&[u8]>| String::from_utf8(t.unwrap_or_default().to_vec()).unwrap();
            assert_eq!(
                (text(said.kind).as_str(), text(said.message).as_str()),
                (kind, message),
                "{trace}"
            );
        };
        check(
            "java.lang.IllegalStateException: no stock: 3\n\tat a.B.c(B.java:1)",
            "java.lang.IllegalStateException",
            "no stock: 3",
        );
        check(
            "Exception in thread \"main\" java.lang.NullPointerException\n\tat a.B.c(B.java:1)",
            "java.lang.NullPointerException",
            "",
        );
        check(
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nValueError: bad: x",
            "ValueError",
            "bad: x",
        );
        check(
            "panic: runtime error: index out of range\n\ngoroutine 1 [running]:",
            "panic",
            "runtime error: index out of range",
        );
        check(
            "TypeError: x is not a function\n    at a (b.js:1:2)",
            "TypeError",
            "x is not a function",
        );
        check(
            "Unhandled exception. System.InvalidOperationException: no\n   at A.B()",
            "System.InvalidOperationException",
            "no",
        );
        check(
            "app.rb:3:in 'pay': no card (ArgumentError)\n\tfrom app.rb:9",
            "ArgumentError",
            "no card",
        );
        check(
            "PHP Fatal error:  Uncaught RuntimeException: no in /a.php:3\nStack trace:",
            "RuntimeException",
            "no in /a.php:3",
        );
        check(
            "Unhandled exception:\nBad state: no\n#0 main",
            "",
            "Bad state: no",
        );
        check("\tat a.B.c(B.java:1)", "", "");
        check("", "", "");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(trace in "[\\x00-\\x7f]{0,80}|Traceback [a-z\n ]{0,30}|Exception in thread \"[a\"]{0,4}") {
            let _ = read(trace.as_bytes());
        }
    }
}
