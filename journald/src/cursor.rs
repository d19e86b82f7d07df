//! Where reading stands, as text that outlives the process.

use crate::format::Id;
use std::fmt;
use std::str::FromStr;

/// The place of one entry. Written as systemd writes cursors, so that `journalctl --cursor` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Names the row of sequence numbers: that of one journald as long as its files are whole.
    pub seqnum_id: Id,
    /// Grows by one from entry to entry, over all files of the row.
    pub seqnum: u64,
    /// The boot that the entry was written in.
    pub boot_id: Id,
    /// Microseconds since that boot.
    pub monotonic: u64,
    /// Microseconds since 1970, when the entry was written.
    pub realtime: u64,
    /// Sum over what the entry says.
    pub xor_hash: u64,
}

/// What was read: the last entry of each row of sequence numbers.
///
/// More than one when a journal was begun anew, or in memory before the disk was there, or when
/// several journald run on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    positions: Vec<Position>,
}

/// Rows that are remembered. The row that was written to least lately is forgotten first; time then
/// tells what of it was read.
const MAX_POSITIONS: usize = 64;

/// A text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of a journal")]
pub struct CursorError;

impl Cursor {
    /// The last position of each row.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The last position of the row `id`.
    pub fn of(&self, id: Id) -> Option<&Position> {
        self.positions.iter().find(|known| known.seqnum_id == id)
    }

    /// Everything up to `position` was read. Goes forward only.
    pub fn advance(&mut self, position: Position) {
        let known = self
            .positions
            .iter_mut()
            .find(|known| known.seqnum_id == position.seqnum_id);
        if let Some(known) = known {
            if position.seqnum > known.seqnum {
                *known = position;
            }
            return;
        }
        if self.positions.len() >= MAX_POSITIONS {
            let oldest = self.positions.iter().enumerate();
            if let Some((idx, _)) = oldest.min_by_key(|(_, known)| known.realtime) {
                self.positions.swap_remove(idx);
            }
        }
        self.positions.push(position);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "s={};i={:x};b={};m={:x};t={:x};x={:x}",
            self.seqnum_id, self.seqnum, self.boot_id, self.monotonic, self.realtime, self.xor_hash
        )
    }
}

impl FromStr for Position {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut position = Self::default();
        let mut seen = 0_u8;
        for part in text.split(';') {
            let (key, value) = part.split_once('=').ok_or(CursorError)?;
            let id = || u128::from_str_radix(value, 16).map(Id).or(Err(CursorError));
            let number = || u64::from_str_radix(value, 16).or(Err(CursorError));
            match key {
                "s" => position.seqnum_id = id()?,
                "i" => position.seqnum = number()?,
                "b" => position.boot_id = id()?,
                "m" => position.monotonic = number()?,
                "t" => position.realtime = number()?,
                "x" => position.xor_hash = number()?,
                _ => return Err(CursorError),
            }
            seen += 1;
        }
        if seen == 6 {
            Ok(position)
        } else {
            Err(CursorError)
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in &self.positions {
            writeln!(f, "{position}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut cursor = Self::default();
        for line in text.lines() {
            cursor.advance(line.parse()?);
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_text_it_was() {
        let text = "s=2d117d0640ae4a7e995f74b4444dd4aa;i=1;b=0123456789abcdef0123456789abcdef;m=3e8;t=60a24181e4000;x=56b0c6677cf4ca20";
        let position: Position = text.parse().unwrap();
        assert_eq!(position.to_string(), text);
        assert_eq!((position.seqnum, position.monotonic), (1, 1000));
        let mut cursor = Cursor::default();
        cursor.advance(position);
        let (lower, other) = (
            Position {
                seqnum: 0,
                ..position
            },
            Position {
                seqnum_id: Id(7),
                ..position
            },
        );
        cursor.advance(lower);
        cursor.advance(other);
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        assert_eq!(cursor.of(Id(7)), Some(&other));
        assert_eq!(cursor.of(position.seqnum_id), Some(&position));
        for wrong in [
            "s=1",
            "",
            "s=x;i=1;b=1;m=1;t=1;x=1",
            "i=1;i=1;i=1;i=1;i=1;i=1;i=1",
        ] {
            assert_eq!(wrong.parse::<Position>(), Err(CursorError), "{wrong}");
        }
    }

    #[test]
    fn the_rows_that_are_remembered_are_bounded() {
        let mut cursor = Cursor::default();
        for n in 0..1000 {
            let (seqnum_id, realtime) = (Id(u128::from(n)), n);
            cursor.advance(Position {
                seqnum_id,
                realtime,
                seqnum: 1,
                ..Position::default()
            });
        }
        assert_eq!(cursor.positions().len(), MAX_POSITIONS);
        assert!(cursor.of(Id(999)).is_some());
    }
}
