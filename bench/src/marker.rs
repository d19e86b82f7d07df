//! Markers: the sequence numbers that lines carry, and the ledger that counts them.
//!
//! A marker is `tr-` and eight lower-case hexadecimal digits. It survives every form a line may
//! take on its way (a URL's path, a JSON value, a stack frame, an escaped string), so the far end
//! needs to know nothing of formats to tell which lines came, and how often. A document may name a
//! marker twice (`message` and a field parsed from it): that is one arrival.

use std::{sync::LazyLock, time::Instant};

use anyhow::ensure;
use memchr::memmem::Finder;

/// What a marker begins with.
pub const PREFIX: &[u8] = b"tr-";

const HEX: &[u8; 16] = b"0123456789abcdef";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));

/// Appends the marker of `number`.
pub fn append(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(PREFIX);
    for shift in (0..8).rev() {
        out.push(HEX[(number >> (shift * 4)) as usize & 15]);
    }
}

/// Calls `each` for every marker in `bytes`.
pub fn find_all(bytes: &[u8], mut each: impl FnMut(u32)) {
    let mut rest = bytes;
    while let Some(at) = FINDER.find(rest) {
        rest = &rest[at + PREFIX.len()..];
        if let Some(number) = rest.get(..8).and_then(parse) {
            each(number);
            rest = &rest[8..];
        }
    }
}

fn parse(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(value))
    })
}

/// Counts arrivals of the markers `0..expected`: two bits each, so that 4 million lines take 1 MiB.
#[derive(Debug, Clone)]
pub struct Ledger {
    seen: Vec<u64>,
    again: Vec<u64>,
    expected: u32,
    strangers: u64,
    in_document: Vec<u32>,
    /// When each came first; empty unless times are kept.
    times: Vec<Option<Instant>>,
}

/// What a [`Ledger`] says at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Markers that never came.
    pub lost: u64,
    /// Markers that came more than once.
    pub doubled: u64,
    /// Arrivals of markers that nobody wrote.
    pub strangers: u64,
}

impl Balance {
    /// Says that every line came once.
    ///
    /// # Errors
    /// When one was lost, or came more than once.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.lost == 0 && self.doubled == 0,
            "{} lines were lost and {} came more than once",
            self.lost,
            self.doubled
        );
        Ok(())
    }
}

impl Ledger {
    /// An empty ledger for the markers `0..expected`.
    pub fn new(expected: u32) -> Self {
        let words = (expected as usize).div_ceil(64);
        Self {
            seen: vec![0; words],
            again: vec![0; words],
            expected,
            strangers: 0,
            in_document: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Keeps from now on when each marker came first: 16 bytes each.
    pub fn keep_times(&mut self) {
        self.times = vec![None; self.expected as usize];
    }

    /// When each marker came first, by its number; empty unless times are kept.
    pub fn times(&self) -> &[Option<Instant>] {
        &self.times
    }

    /// Counts the markers of one document, each once.
    pub fn document(&mut self, document: &[u8]) {
        let mut found = std::mem::take(&mut self.in_document);
        found.clear();
        find_all(document, |number| {
            if found.last() != Some(&number) {
                found.push(number);
            }
        });
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        for number in &found {
            self.arrived(*number);
        }
        self.in_document = found;
    }

    /// How many distinct markers have come.
    pub fn arrived_once(&self) -> u64 {
        self.seen
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// The outcome.
    pub fn balance(&self) -> Balance {
        Balance {
            lost: u64::from(self.expected) - self.arrived_once(),
            doubled: self
                .again
                .iter()
                .map(|word| u64::from(word.count_ones()))
                .sum(),
            strangers: self.strangers,
        }
    }

    fn arrived(&mut self, number: u32) {
        if number >= self.expected {
            self.strangers += 1;
            return;
        }
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen[word] & bit != 0 {
            self.again[word] |= bit;
        }
        self.seen[word] |= bit;
        if let Some(time) = self.times.get_mut(number as usize) {
            time.get_or_insert_with(Instant::now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_tells_losses_from_doubles_and_strangers() {
        let mut ledger = Ledger::new(70);
        let mut document = b"GET /tr-xx tr-0 ".to_vec();
        append(&mut document, 69);
        append(&mut document, 3);
        append(&mut document, 69);
        ledger.document(&document);
        ledger.document(b"\"tr-00000003\"");
        ledger.document(b"tr-00000046 beyond");
        assert_eq!(
            ledger.balance(),
            Balance {
                lost: 68,
                doubled: 1,
                strangers: 1
            }
        );
        assert_eq!(ledger.arrived_once(), 2);
        let told = ledger.balance().check().unwrap_err().to_string();
        assert!(told.starts_with("68 lines were lost and 1 came"), "{told}");
        assert!(ledger.times().is_empty());
        ledger.keep_times();
        ledger.document(b"tr-00000001");
        let n_timed = ledger.times().iter().flatten().count();
        assert_eq!((ledger.times().len(), n_timed), (70, 1));
    }
}
