//! Tables for people: columns as wide as their widest cell, numbers to the right.

use std::fmt;

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing are empty, cells too many are left out.
    pub fn row(&mut self, cells: &[String]) {
        let mut row = cells.to_vec();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            std::iter::once(&self.head)
                .chain(&self.rows)
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let is_number = |column: usize| {
            !self.rows.is_empty()
                && self.rows.iter().all(|row| {
                    row[column].starts_with(|first: char| first.is_ascii_digit())
                        || row[column].is_empty()
                        || row[column] == "-"
                })
        };
        let to_the_right: Vec<bool> = (0..self.head.len()).map(is_number).collect();
        for (number, row) in std::iter::once(&self.head).chain(&self.rows).enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                let padding = " ".repeat(widths[column] - cell.chars().count());
                if to_the_right[column] {
                    line.push_str(&padding);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&padding);
                }
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["file", "lag"]);
        table.row(&["a.log".to_owned(), "7".to_owned()]);
        table.row(&["größer.log".to_owned(), "1234".to_owned()]);
        assert_eq!(
            table.to_string(),
            "file         lag\na.log          7\ngrößer.log  1234"
        );
    }

    #[test]
    fn a_short_row_is_filled() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["x".to_owned()]);
        assert_eq!(table.to_string(), "a  b\nx");
        assert!(!table.is_empty());
    }

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
}
