//! Aligned columns for the commands that people run.

use std::fmt;

/// A table that prints itself with aligned columns. Columns whose cells are all numbers stand to
/// the right. Control characters in cells are shown as `�`, so that a name cannot move the cursor.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|text| clean(text)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Missing cells are empty; cells beyond the last column are left out.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let mut row: Vec<String> = cells
            .iter()
            .take(self.head.len())
            .map(|cell| clean(cell.as_ref()))
            .collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Width in characters and whether the column stands to the right.
    fn columns(&self) -> Vec<(usize, bool)> {
        self.head
            .iter()
            .enumerate()
            .map(|(idx, head)| {
                let cells = || self.rows.iter().filter_map(move |row| row.get(idx));
                let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
                let right = !self.rows.is_empty() && cells().all(|cell| is_number(cell));
                (width.max(head.chars().count()), right)
            })
            .collect()
    }
}

impl fmt::Display for Table {
    /// One line a row, without a newline after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        for (idx, row) in std::iter::once(&self.head).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (cell, (width, right)) in row.iter().zip(&columns) {
                let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *right {
                    line.push_str(&blanks);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&blanks);
                }
                line.push_str("  ");
            }
            if idx > 0 {
                f.write_str("\n")?;
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

/// A number, perhaps with a unit behind it (`12.5MiB`, `3s`, `90%`) or `-` for none.
fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || {
        let number = cell.trim_end_matches(|c: char| c.is_ascii_alphabetic() || "%/ ".contains(c));
        !number.is_empty()
            && number
                .bytes()
                .all(|b| b.is_ascii_digit() || b".,_-+".contains(&b))
    }
}

/// `bytes` for people: `512 B`, `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A span of time for people: `250ms`, `12s`, `3m 5s`, `2h 10m`, `4d 3h`.
pub fn span(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_and_spans() {
        for (given, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(bytes(given), expected);
        }
        for (given, expected) in [(0, "0ms"), (59, "59s"), (185, "3m 5s"), (7800, "2h 10m")] {
            assert_eq!(span(Duration::from_secs(given)), expected);
        }
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["output", "docs", "state"]);
        assert!(table.is_empty());
        table.row(&["main", "12", "ok"]);
        table.row(&["größer", "1234", "red\x1b[31m\n"]);
        table.row(&["short"]);
        assert_eq!(
            table.to_string(),
            "output  docs  state\n\
             main      12  ok\n\
             größer  1234  red\u{fffd}[31m\u{fffd}\n\
             short"
        );
    }
}
