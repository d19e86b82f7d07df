//! The lines of a shop's services, made from a seed.
//!
//! One call makes one event: the lines a program writes in one go, each with its own marker, so
//! that a lost frame of a stack trace is noticed like a lost line. Two runs from one seed write
//! the same bytes (but for the times, which the caller gives).

use crate::{marker, stamp::Civil};

/// The largest piece of one line that container runtimes write as one CRI line.
pub const CRI_PIECE: usize = 16 * 1024;

/// Bytes of a [`Kind::Short`] line, without what ends it.
pub const SHORT_LINE: usize = 80;

/// Which kinds of events a shop's services write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// All kinds but [`Kind::Short`], in the shares of FACTS.md.
    Shop,
    /// [`Kind::Json`] alone.
    Json,
    /// [`Kind::Short`] alone.
    Short,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An nginx access log line in the combined format.
    Nginx,
    /// An application's log line in JSON.
    Json,
    /// An application's log line of `key=value` pairs.
    Logfmt,
    /// A line of text with time and level.
    Plain,
    /// A Java stack trace behind its log line.
    Java,
    /// A Python traceback.
    Python,
    /// A Go panic.
    Go,
    /// One line longer than a runtime writes in one piece.
    Long,
    /// A line of text of [`SHORT_LINE`] bytes, which nothing but its text tells anything of.
    Short,
}

impl Kind {
    /// Whether programs write it to stderr.
    pub fn is_stderr(self) -> bool {
        matches!(self, Self::Java | Self::Python | Self::Go)
    }
}

/// Makes events and numbers their lines.
#[derive(Debug)]
pub struct Shop {
    mix: Mix,
    rng: fastrand::Rng,
    next: u32,
}

const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "PUT"];
const PATHS: [&str; 8] = [
    "/",
    "/catalogue",
    "/cart/items",
    "/checkout",
    "/api/v2/orders",
    "/api/v2/stock",
    "/static/js/app.3f9d2c.js",
    "/static/img/hero.webp",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "kube-probe/1.34",
];
const SERVICES: [&str; 6] = [
    "orders", "payments", "stock", "mailer", "search", "sessions",
];
const MESSAGES: [&str; 8] = [
    "order accepted",
    "payment authorised",
    "stock reserved",
    "session refreshed",
    "cache miss, asking the database",
    "retrying upstream call",
    "mail queued",
    "search answered from the second replica",
];
const LEVELS: [&str; 8] = [
    "info", "info", "info", "info", "debug", "debug", "warn", "error",
];
const CLASSES: [&str; 6] = [
    "com.shop.orders.OrderService.place",
    "com.shop.payments.Gateway.authorise",
    "org.springframework.web.servlet.FrameworkServlet.service",
    "jakarta.servlet.http.HttpServlet.service",
    "org.apache.catalina.core.StandardWrapper.invoke",
    "java.base/java.lang.Thread.run",
];
const WORDS: [&str; 16] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "glade", "heath", "inlet", "jetty",
    "knoll", "ledge", "marsh", "notch", "oasis", "plain",
];

impl Shop {
    /// A shop of [`Mix::Shop`] whose events follow from `seed` and whose first marker is `first`.
    pub fn new(seed: u64, first: u32) -> Self {
        Self::of(Mix::Shop, seed, first)
    }

    /// A shop that writes `mix`.
    pub fn of(mix: Mix, seed: u64, first: u32) -> Self {
        Self {
            mix,
            rng: fastrand::Rng::with_seed(seed),
            next: first,
        }
    }

    /// The marker that the next line will carry; the count of lines made when the first was 0.
    pub fn next_marker(&self) -> u32 {
        self.next
    }

    /// The kind of the next event.
    pub fn pick(&mut self) -> Kind {
        match self.mix {
            Mix::Shop => self.pick_of_shop(),
            Mix::Json => Kind::Json,
            Mix::Short => Kind::Short,
        }
    }

    /// The mix of FACTS.md by bytes: about half nginx, 30 % JSON, 15 % logfmt and plain, 5 %
    /// traces and long lines. Probabilities are weighted by the kinds' mean sizes.
    fn pick_of_shop(&mut self) -> Kind {
        match self.rng.u32(0..10_000) {
            0..5_053 => Kind::Nginx,
            5_053..7_112 => Kind::Json,
            7_112..8_612 => Kind::Logfmt,
            8_612..9_981 => Kind::Plain,
            9_981..9_990 => Kind::Java,
            9_990..9_994 => Kind::Python,
            9_994..9_997 => Kind::Go,
            _ => Kind::Long,
        }
    }

    /// Appends one event's lines, each ended by `\n`; a [`Kind::Long`] line has a marker in each
    /// piece of [`CRI_PIECE`] bytes.
    pub fn append_event(&mut self, kind: Kind, now_ns: u64, out: &mut Vec<u8>) {
        let time = Civil::from_ns(now_ns);
        match kind {
            Kind::Nginx => self.nginx(&time, out),
            Kind::Json => self.json(&time, out),
            Kind::Logfmt => self.logfmt(&time, out),
            Kind::Plain => self.plain(&time, out),
            Kind::Java => self.java(&time, out),
            Kind::Python => self.python(out),
            Kind::Go => self.go(out),
            Kind::Long => self.long(out),
            Kind::Short => self.short(&time, out),
        }
    }

    fn mark(&mut self, out: &mut Vec<u8>) {
        marker::append(out, self.next);
        self.next += 1;
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(..from.len())]
    }

    fn text(&mut self, out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, out: &mut Vec<u8>, below: u64) {
        let value = self.rng.u64(..below);
        append_number(out, value);
    }

    fn hex(&mut self, out: &mut Vec<u8>, digits: usize) {
        for _ in 0..digits {
            out.push(b"0123456789abcdef"[self.rng.usize(..16)]);
        }
    }

    fn nginx(&mut self, time: &Civil, out: &mut Vec<u8>) {
        self.text(out, "10.");
        self.number(out, 256);
        out.push(b'.');
        self.number(out, 256);
        out.push(b'.');
        self.number(out, 256);
        self.text(out, " - - [");
        time.append_clf(out);
        self.text(out, "] \"");
        let method = self.choose(&METHODS);
        self.text(out, method);
        out.push(b' ');
        let path = self.choose(&PATHS);
        self.text(out, path);
        self.text(out, "?r=");
        self.mark(out);
        self.text(out, " HTTP/1.1\" ");
        let status = ["200", "200", "200", "200", "304", "302", "404", "500"][self.rng.usize(..8)];
        self.text(out, status);
        out.push(b' ');
        self.number(out, 60_000);
        self.text(out, " \"https://shop.example/\" \"");
        let agent = self.choose(&AGENTS);
        self.text(out, agent);
        self.text(out, "\"\n");
    }

    fn json(&mut self, time: &Civil, out: &mut Vec<u8>) {
        self.text(out, "{\"time\":\"");
        time.append_rfc3339(out);
        self.text(out, "\",\"level\":\"");
        let level = self.choose(&LEVELS);
        self.text(out, level);
        self.text(out, "\",\"msg\":\"");
        let message = self.choose(&MESSAGES);
        self.text(out, message);
        out.push(b' ');
        self.mark(out);
        self.text(out, "\",\"service\":\"");
        let service = self.choose(&SERVICES);
        self.text(out, service);
        self.text(out, "\",\"trace_id\":\"");
        self.hex(out, 32);
        self.text(out, "\",\"span_id\":\"");
        self.hex(out, 16);
        self.text(out, "\",\"customer\":{\"id\":");
        self.number(out, 900_000);
        self.text(out, ",\"tier\":\"gold\"},\"duration_ms\":");
        self.number(out, 900);
        out.push(b'.');
        self.number(out, 100);
        self.text(out, ",\"items\":[");
        self.number(out, 90_000);
        out.push(b',');
        self.number(out, 90_000);
        self.text(out, "],\"cached\":false}\n");
    }

    fn logfmt(&mut self, time: &Civil, out: &mut Vec<u8>) {
        self.text(out, "ts=");
        time.append_rfc3339(out);
        self.text(out, " level=");
        let level = self.choose(&LEVELS);
        self.text(out, level);
        self.text(out, " component=");
        let service = self.choose(&SERVICES);
        self.text(out, service);
        self.text(out, " msg=\"");
        let message = self.choose(&MESSAGES);
        self.text(out, message);
        self.text(out, "\" ref=");
        self.mark(out);
        self.text(out, " took=");
        self.number(out, 5_000);
        self.text(out, "us\n");
    }

    fn plain(&mut self, time: &Civil, out: &mut Vec<u8>) {
        time.append_millis(out, b' ');
        let level = self.choose(&LEVELS).to_ascii_uppercase();
        self.text(out, "  ");
        self.text(out, &level);
        self.text(out, " [worker-");
        self.number(out, 16);
        self.text(out, "] ");
        let service = self.choose(&SERVICES);
        self.text(out, service);
        self.text(out, ": ");
        let message = self.choose(&MESSAGES);
        self.text(out, message);
        self.text(out, " (");
        self.mark(out);
        self.text(out, ")\n");
    }

    fn java(&mut self, time: &Civil, out: &mut Vec<u8>) {
        time.append_millis(out, b' ');
        self.text(out, " ERROR [http-nio-8080-exec-");
        self.number(out, 32);
        self.text(out, "] c.s.orders.OrderController : cannot place order ");
        self.mark(out);
        self.text(out, "\njava.lang.IllegalStateException: stock is negative ");
        self.mark(out);
        out.push(b'\n');
        for _ in 0..self.rng.usize(6..18) {
            self.frame(out);
        }
        self.text(
            out,
            "Caused by: java.sql.SQLTransientConnectionException: pool is empty ",
        );
        self.mark(out);
        out.push(b'\n');
        for _ in 0..self.rng.usize(2..6) {
            self.frame(out);
        }
        self.text(out, "\t... 12 more\n");
    }

    fn frame(&mut self, out: &mut Vec<u8>) {
        self.text(out, "\tat ");
        let class = self.choose(&CLASSES);
        self.text(out, class);
        self.text(out, "(Source.java:");
        self.number(out, 900);
        self.text(out, ") ~[");
        self.mark(out);
        self.text(out, ".jar]\n");
    }

    fn python(&mut self, out: &mut Vec<u8>) {
        self.text(out, "Traceback (most recent call last):\n");
        for _ in 0..self.rng.usize(2..6) {
            self.text(out, "  File \"/app/shop/views.py\", line ");
            self.number(out, 700);
            self.text(out, ", in handle\n    return place(request, \"");
            self.mark(out);
            self.text(out, "\")\n");
        }
        self.text(out, "ValueError: no stock left for ");
        self.mark(out);
        out.push(b'\n');
    }

    fn go(&mut self, out: &mut Vec<u8>) {
        self.text(
            out,
            "panic: runtime error: index out of range [5] with length 3 ",
        );
        self.mark(out);
        self.text(out, "\n\ngoroutine 18 [running]:\n");
        for _ in 0..self.rng.usize(2..5) {
            self.text(out, "main.place(0xc000012345, 0x3)\n\t/src/shop/");
            self.mark(out);
            self.text(out, ".go:42 +0x1d\n");
        }
    }

    fn long(&mut self, out: &mut Vec<u8>) {
        let pieces = self.rng.usize(2..4);
        for piece in 0..pieces {
            let start = out.len();
            self.mark(out);
            let size = if piece + 1 == pieces {
                CRI_PIECE / 2
            } else {
                CRI_PIECE
            };
            while out.len() - start < size {
                out.push(b' ');
                let word = self.choose(&WORDS);
                self.text(out, word);
            }
            out.truncate(start + size);
        }
        out.push(b'\n');
    }

    fn short(&mut self, time: &Civil, out: &mut Vec<u8>) {
        let start = out.len();
        time.append_millis(out, b' ');
        out.push(b' ');
        let level = self.choose(&LEVELS).to_ascii_uppercase();
        self.text(out, &level);
        out.push(b' ');
        self.mark(out);
        while out.len() - start < SHORT_LINE {
            out.push(b' ');
            let word = self.choose(&WORDS);
            self.text(out, word);
        }
        out.truncate(start + SHORT_LINE);
        out.push(b'\n');
    }
}

fn append_number(out: &mut Vec<u8>, value: u64) {
    let mut width = 1;
    let mut rest = value;
    while rest >= 10 {
        rest /= 10;
        width += 1;
    }
    crate::stamp::append_padded(out, value, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 9] = [
        Kind::Nginx,
        Kind::Json,
        Kind::Logfmt,
        Kind::Plain,
        Kind::Java,
        Kind::Python,
        Kind::Go,
        Kind::Long,
        Kind::Short,
    ];

    #[test]
    fn one_seed_makes_one_workload() {
        let make = || {
            let mut shop = Shop::new(7, 0);
            let mut out = Vec::new();
            for _ in 0..200 {
                let kind = shop.pick();
                shop.append_event(kind, 1_700_000_000_000_000_000, &mut out);
            }
            out
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn every_marker_stands_in_the_lines_once() {
        let mut shop = Shop::new(7, 5);
        for kind in KINDS {
            let mut out = Vec::new();
            let first = shop.next_marker();
            shop.append_event(kind, 1_700_000_000_000_000_000, &mut out);
            let mut found = Vec::new();
            marker::find_all(&out, |number| found.push(number));
            assert_eq!(
                found,
                (first..shop.next_marker()).collect::<Vec<_>>(),
                "{kind:?}"
            );
            assert_eq!(out.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn a_mix_of_one_kind_holds_that_kind() {
        let mut shop = Shop::of(Mix::Short, 3, 0);
        for _ in 0..100 {
            let mut out = Vec::new();
            let kind = shop.pick();
            shop.append_event(kind, 1_700_000_000_000_000_000, &mut out);
            assert_eq!(out.len(), SHORT_LINE + 1);
        }
        assert_eq!(Shop::of(Mix::Json, 3, 0).pick(), Kind::Json);
    }

    #[test]
    fn the_mix_is_the_one_of_the_figures() {
        let mut shop = Shop::new(1, 0);
        let mut bytes = [0usize; 9];
        let mut out = Vec::new();
        for _ in 0..100_000 {
            let kind = shop.pick();
            out.clear();
            shop.append_event(kind, 1_700_000_000_000_000_000, &mut out);
            bytes[KINDS.iter().position(|each| *each == kind).unwrap()] += out.len();
        }
        let total = bytes.iter().sum::<usize>() as f64;
        let share = |range: std::ops::Range<usize>| {
            bytes[range].iter().sum::<usize>() as f64 * 100.0 / total
        };
        let shares = [share(0..1), share(1..2), share(2..4), share(4..8)];
        for (share, wanted) in shares.iter().zip([50.0, 30.0, 15.0, 5.0]) {
            assert!((share - wanted).abs() < 4.0, "{shares:?}");
        }
    }
}
