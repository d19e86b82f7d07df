//! `user_agent`: which program asked, on which system.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::value::Value;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "user_agent",
        group: Group::Shaping,
        summary: "browser, version, system and device of a `User-Agent`",
        doc: "Fills `user_agent.name`, `user_agent.version`, `user_agent.os.name`, `user_agent.os.version` and `user_agent.device.name`. The browsers, systems and tools that make up nearly all traffic are known; of others the first `name/version` is taken. Crawlers have the device `Spider`.",
        form: Form::Short("field"),
        options: &[OptionDoc {
            name: "field",
            kind: OptionKind::Field,
            need: Need::Default("user_agent.original"),
            doc: "where the text is; it stays. When it is not there, nothing is done",
        }],
        examples: &[
            "name: t\nsteps:\n  - pattern: 'ua=<user_agent.original>'\n  - user_agent: {}\nexamples:\n  - line: 'ua=Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36'\n    fields: {user_agent.name: Chrome, user_agent.version: 124.0.0.0, user_agent.os.name: Windows, user_agent.os.version: '10'}\n  - line: 'ua=Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1'\n    fields: {user_agent.name: Mobile Safari, user_agent.os.name: iOS, user_agent.os.version: '17.4', user_agent.device.name: iPhone}\n  - line: 'ua=kube-probe/1.29'\n    fields: {user_agent.name: kube-probe, user_agent.version: '1.29', user_agent.os.name: null}\n  - line: 'ua=Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'\n    fields: {user_agent.name: Googlebot, user_agent.version: '2.1', user_agent.device.name: Spider}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct UserAgent {
    field: Field,
    /// Name, version, name and version of the system, device.
    parts: [Field; 5],
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let mut part = |name: &str| reader.field(name, options.place);
    let parts = [
        part("user_agent.name")?,
        part("user_agent.version")?,
        part("user_agent.os.name")?,
        part("user_agent.os.version")?,
        part("user_agent.device.name")?,
    ];
    Some(Box::new(UserAgent { field, parts }))
}

/// What stands before a browser's version, and its name; those that pretend to be others first.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge Mobile"),
    ("EdgiOS/", "Edge Mobile"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("Opera/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi"),
    ("Electron/", "Electron"),
    ("HeadlessChrome/", "HeadlessChrome"),
    ("CriOS/", "Chrome Mobile iOS"),
    ("FxiOS/", "Firefox iOS"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("MSIE ", "IE"),
];

/// What stands in the text of a system, and its name; the version stands behind it.
const SYSTEMS: &[(&str, &str)] = &[
    ("Windows NT ", "Windows"),
    ("iPhone OS ", "iOS"),
    ("CPU OS ", "iOS"),
    ("Android ", "Android"),
    ("Android", "Android"),
    ("Mac OS X ", "Mac OS X"),
    ("CrOS ", "Chrome OS"),
    ("Ubuntu", "Ubuntu"),
    ("Linux", "Linux"),
    ("FreeBSD", "FreeBSD"),
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Found<'a> {
    name: &'a str,
    version: &'a str,
    system: &'static str,
    system_version: &'a str,
    device: &'static str,
}

/// The text between `mark` and the next space or mark of punctuation.
fn behind<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    rest.split([' ', ';', ')', ',', '/']).next()
}

fn parse(text: &str) -> Found<'_> {
    let mut found = Found::default();
    let product = |word: &str| word.contains('/') && !word.starts_with("Mozilla/");
    let crawler = text
        .split([' ', ';', '(', ')'])
        .filter(|word| !word.starts_with('+'))
        .find(|word| {
            let lower = word.to_ascii_lowercase();
            ["bot", "crawler", "spider", "slurp"]
                .iter()
                .any(|name| lower.contains(name))
        });
    let browser = BROWSERS
        .iter()
        .find_map(|(mark, name)| Some((*name, behind(text, mark)?)));
    if let Some(word) = crawler {
        (found.name, found.version) = word.split_once('/').unwrap_or((word, ""));
        found.device = "Spider";
    } else if let Some((name, version)) = browser {
        let is_mobile = text.contains("Mobile");
        found.name = match name {
            "Chrome" if is_mobile => "Chrome Mobile",
            "Firefox" if is_mobile => "Firefox Mobile",
            _ => name,
        };
        found.version = version;
    } else if text.contains("Safari/") && text.contains("Version/") {
        found.name = match text.contains("Mobile/") {
            true => "Mobile Safari",
            false => "Safari",
        };
        found.version = behind(text, "Version/").unwrap_or_default();
    } else if text.contains("Trident/") {
        found.name = "IE";
        found.version = behind(text, "rv:").unwrap_or_default();
    } else if let Some(word) = text.split(' ').find(|word| product(word)) {
        (found.name, found.version) = word.split_once('/').unwrap_or_default();
    }
    if let Some((mark, system)) = SYSTEMS.iter().find(|(mark, _)| text.contains(mark)) {
        found.system = system;
        found.system_version = match (*system, behind(text, mark).unwrap_or_default()) {
            ("Windows", "6.1") => "7",
            ("Windows", "6.2") => "8",
            ("Windows", "6.3") => "8.1",
            ("Windows", "10.0") => "10",
            (_, version) if version.starts_with(|c: char| c.is_ascii_digit()) => version,
            _ => "",
        };
    }
    if found.device.is_empty() {
        found.device = ["iPhone", "iPad", "Macintosh"]
            .into_iter()
            .find(|device| text.contains(device))
            .map_or(
                "",
                |device| if device == "Macintosh" { "Mac" } else { device },
            );
    }
    found
}

impl Step for UserAgent {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let mut filled = std::mem::take(&mut work.fields.filled);
        filled.clear();
        let text = std::str::from_utf8(work.bytes(span)).unwrap_or_default();
        let found = parse(text);
        let values = [
            found.name,
            found.version,
            found.system,
            found.system_version,
            found.device,
        ];
        let mut ends = [0; 5];
        for (end, value) in ends.iter_mut().zip(values) {
            filled.extend_from_slice(value.as_bytes());
            *end = filled.len() as u32;
        }
        // iOS and macOS write versions with underscores.
        let versions = ends[2] as usize..ends[3] as usize;
        for byte in filled.get_mut(versions).into_iter().flatten() {
            if *byte == b'_' {
                *byte = b'.';
            }
        }
        let all = work.write(|out| out.extend_from_slice(&filled));
        work.fields.filled = filled;
        let mut start = 0;
        for (field, end) in self.parts.iter().zip(ends) {
            let part = Span {
                start: all.start + start,
                end: all.start + end,
                source: all.source,
            };
            if start < end {
                work.put(field, Value::text(part))?;
            }
            start = end;
        }
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told() {
        let check = |text: &str, name: &str, version: &str, system: &str| {
            let found = parse(text);
            assert_eq!(
                (found.name, found.version, found.system),
                (name, version, system),
                "{text}"
            );
        };
        check("curl/8.5.0", "curl", "8.5.0", "");
        check("Go-http-client/1.1", "Go-http-client", "1.1", "");
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
            "Firefox",
            "125.0",
            "Linux",
        );
        check(
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
            "Chrome Mobile",
            "124.0.0.0",
            "Android",
        );
        check(
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36 Edg/124.0.1",
            "Edge",
            "124.0.1",
            "Windows",
        );
        check(
            "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
            "IE",
            "11.0",
            "Windows",
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
            "Safari",
            "17.4",
            "Mac OS X",
        );
        check("-", "", "", "");
        check("", "", "", "");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(Mozilla/5.0|Windows NT |bot|Version/|[a-z0-9 ();/._-]){0,12}") {
            parse(&text);
        }
    }
}
