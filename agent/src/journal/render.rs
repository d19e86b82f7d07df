//! An entry of the journal as one line of JSON.
//!
//! Names are ECS where it has one, with dots, so that the aggregator takes them as they are. The
//! last member is the entry's cursor: the spool is read back by it.

use journald::{Entry, Position};

/// Begins the last member. Within a text a quotation mark has a backslash before it, so this stands
/// nowhere else.
pub(crate) const CURSOR: &str = ",\"journald.cursor\":\"";

/// Most bytes of fields that have a place of their own, but for the message.
const MAX_FIXED: usize = 4 << 10;

/// Most bytes of a field that was chosen.
const MAX_CHOSEN: usize = 32 << 10;

/// Most fields that were chosen of one entry: journald takes 1,024, a store's mapping fewer.
const MAX_FIELDS: usize = 100;

const FIXED: [&str; 11] = [
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "UNIT",
    "_COMM",
    "_HOSTNAME",
    "_PID",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_SYSTEMD_UNIT",
    "_TRANSPORT",
];

/// Names, and beginnings of names that end with `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn of(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => known.as_bytes() == name,
        })
    }
}

/// Which entries are carried, and what of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) units: Names,
    pub(crate) fields: Names,
    /// The tailer's limit; a longer line would be cut, and be no JSON.
    pub(crate) max_line: usize,
}

impl Choice {
    /// How many bytes of a field are read.
    pub(crate) fn want(&self, name: &[u8]) -> Option<usize> {
        if name == b"MESSAGE" {
            return Some(self.max_line);
        }
        if FIXED.iter().any(|fixed| fixed.as_bytes() == name) {
            return Some(MAX_FIXED);
        }
        self.fields.has(name).then_some(MAX_CHOSEN)
    }

    /// Whether an entry is carried: by its unit, or the unit that systemd tells of in it.
    pub(crate) fn is_wanted(&self, entry: &Entry) -> bool {
        if self.units.0.is_empty() {
            return true;
        }
        let is_kernel = entry
            .get("_TRANSPORT")
            .is_some_and(|it| it.value == b"kernel");
        let mut units = ["_SYSTEMD_UNIT", "UNIT"].into_iter();
        is_kernel && self.units.has(b"kernel")
            || units.any(|name| entry.get(name).is_some_and(|it| self.units.has(it.value)))
    }

    /// Appends the entry's line. True when a value was cut to make it fit.
    pub(crate) fn append_line(&self, entry: &Entry, out: &mut Vec<u8>) -> bool {
        let from = out.len();
        let mut limit = self.max_line;
        loop {
            let is_cut = self.append(entry, limit, out);
            // The newline counts, too.
            if out.len() - from <= self.max_line || limit == 0 {
                return is_cut;
            }
            out.truncate(from);
            limit /= 2;
        }
    }

    fn append(&self, entry: &Entry, limit: usize, out: &mut Vec<u8>) -> bool {
        let mut is_cut = false;
        let mut text = |field: Option<journald::Field<'_>>| {
            let field = field?;
            let value = within(field.value, limit);
            is_cut |= field.is_cut || value.len() < field.value.len();
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let number = |name| -> Option<u64> {
            std::str::from_utf8(entry.get(name)?.value)
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let micros = number("_SOURCE_REALTIME_TIMESTAMP")
            .filter(|micros| *micros > 0)
            .unwrap_or(entry.position.realtime);
        out.extend_from_slice(b"{\"@timestamp\":\"");
        out.extend_from_slice(timestamp(micros).as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        append_text(out, &text(entry.get("MESSAGE")).unwrap_or_default());
        let level =
            number("PRIORITY").and_then(|priority| LEVELS.get(usize::try_from(priority).ok()?));
        let name = entry
            .get("_COMM")
            .or_else(|| entry.get("SYSLOG_IDENTIFIER"));
        for (key, value) in [
            ("log.level", level.map(|level| (*level).to_owned())),
            ("systemd.unit", text(entry.get("_SYSTEMD_UNIT"))),
            ("process.name", text(name)),
            ("host.hostname", text(entry.get("_HOSTNAME"))),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                append_key(out, key);
                append_text(out, &value);
            }
        }
        if let Some(pid) = number("_PID").or_else(|| number("SYSLOG_PID")) {
            append_key(out, "process.pid");
            out.extend_from_slice(pid.to_string().as_bytes());
        }
        let mut keys: Vec<String> = Vec::new();
        // At the last try they are left out.
        let chosen = entry
            .fields()
            .filter(|field| limit > 0 && self.fields.has(field.name));
        for field in chosen.take(MAX_FIELDS) {
            let name = String::from_utf8_lossy(field.name);
            let key = name.trim_start_matches('_').to_ascii_lowercase();
            // Of several of one name the first is carried.
            if key.is_empty() || keys.contains(&key) {
                continue;
            }
            if let Some(value) = text(Some(field)) {
                append_key(out, &format!("journald.{key}"));
                append_text(out, &value);
            }
            keys.push(key);
        }
        if is_cut {
            append_key(out, "journald.truncated");
            out.extend_from_slice(b"true");
        }
        out.extend_from_slice(CURSOR.as_bytes());
        out.extend_from_slice(entry.position.to_string().as_bytes());
        out.extend_from_slice(b"\"}\n");
        is_cut
    }
}

/// The position in the last member of a line.
pub(crate) fn position_of(line: &[u8]) -> Option<Position> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, last) = text.rsplit_once(CURSOR)?;
    last.strip_suffix("\"}")?.parse().ok()
}

/// The levels of syslog by their numbers; the aggregator makes them those that all programs share.
const LEVELS: [&str; 8] = [
    "emergency",
    "alert",
    "critical",
    "error",
    "warn",
    "notice",
    "info",
    "debug",
];

fn append_key(out: &mut Vec<u8>, key: &str) {
    out.push(b',');
    append_text(out, key);
    out.push(b':');
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    serde_json::to_writer(&mut *out, text).ok();
}

/// At most `limit` bytes that do not end within a character.
fn within(value: &[u8], limit: usize) -> &[u8] {
    let Some(cut) = value.get(..limit) else {
        return value;
    };
    if value.len() == limit {
        return value;
    }
    let is_inside = |at: usize| value.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let back = (0..4).find(|back| !is_inside(limit.saturating_sub(*back)));
    cut.get(..limit.saturating_sub(back.unwrap_or(0)))
        .unwrap_or_default()
}

/// Microseconds since 1970 as RFC 3339.
pub(crate) fn timestamp(micros: u64) -> String {
    let (year, month, day) = date(micros / 86_400_000_000);
    let of_day = micros % 86_400_000_000;
    let second = of_day / 1_000_000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        of_day % 1_000_000
    )
}

/// Digits of date and time to the nanosecond, as a number that grows with time.
pub(crate) fn digits(micros: u64) -> u128 {
    let mut out = Vec::new();
    let text = timestamp(micros);
    // Years above 9999 would make the number longer.
    out.extend(text.bytes().filter(u8::is_ascii_digit).take(20));
    let text = String::from_utf8(out).unwrap_or_default();
    text.parse::<u128>().unwrap_or_default() * 1000
}

/// The date of a day since 1970, by the algorithm of Howard Hinnant's `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_704_067_199_999_999, "2023-12-31T23:59:59.999999Z"),
            (1_709_164_800_123_456, "2024-02-29T00:00:00.123456Z"),
            (4_107_542_399_000_001, "2100-02-28T23:59:59.000001Z"),
        ] {
            assert_eq!(timestamp(micros), expected);
        }
        assert_eq!(
            digits(1_709_164_800_123_456),
            20_240_229_000_000_123_456_000
        );
        // Whatever a damaged file says.
        timestamp(u64::MAX);
        digits(u64::MAX);
    }

    #[test]
    fn values_are_cut_between_characters() {
        assert_eq!(within("aé".as_bytes(), 2), b"a");
        assert_eq!(within("aé".as_bytes(), 3), "aé".as_bytes());
        assert_eq!(within("a€€".as_bytes(), 6), "a€".as_bytes());
        assert_eq!(within(b"abc", 2), b"ab");
        assert_eq!(within(b"abc", 0), b"");
        assert_eq!(within(&[0x80; 9], 5).len(), 5);
    }

    #[test]
    fn names_and_beginnings_of_names_choose() {
        let names = Names::of(&["kubelet.service".to_owned(), "user@*".to_owned()]);
        assert!(names.has(b"kubelet.service") && names.has(b"user@1000.service"));
        assert!(!names.has(b"kubelet") && !names.has(b"cron.service"));
    }

    #[test]
    fn a_position_is_read_out_of_its_line() {
        let position: Position =
            "s=0000000000000000000000000000000a;i=1;b=0000000000000000000000000000000b;m=3;t=4;x=5"
                .parse()
                .unwrap();
        let line =
            format!("{{\"message\":\"x,\\\"journald.cursor\\\":\\\"\"{CURSOR}{position}\"}}");
        assert_eq!(position_of(line.as_bytes()), Some(position));
        assert_eq!(position_of(b"{\"message\":\"x\"}"), None);
    }
}
