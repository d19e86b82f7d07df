//! The rules of a control file.

use std::time::Duration;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ends the process.
    Abort,
    /// Waits.
    Delay(Duration),
    /// Fails with an error number.
    Error(i32),
    /// Half of the bytes, then an error.
    Tear,
    /// Half of the bytes, then the end of the process.
    TearAbort,
    /// One bit is another.
    Flip,
    /// The wall clock stands so many milliseconds off.
    Step(i64),
}

/// One line of the file, with its count of passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    point: String,
    pub(super) action: Action,
    at: u64,
    every: u64,
    times: u64,
    file: String,
    passes: u64,
    strikes: u64,
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Rule::parse)
        .collect()
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (Some(point), Some(action)) = (words.next(), words.next()) else {
            return Err(format!("`{line}`: a point and an action are needed"));
        };
        let mut rule = Self {
            point: point.to_owned(),
            action: action_of(action)?,
            at: 1,
            every: 1,
            times: u64::MAX,
            file: String::new(),
            passes: 0,
            strikes: 0,
        };
        for word in words {
            let number = |value: &str| match value.parse::<u64>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("`{word}`: a number of 1 or more is needed")),
            };
            match word.split_once('=') {
                Some(("at", value)) => rule.at = number(value)?,
                Some(("every", value)) => rule.every = number(value)?,
                Some(("times", value)) => rule.times = number(value)?,
                Some(("in", value)) => value.clone_into(&mut rule.file),
                _ => return Err(format!("`{word}` is not understood")),
            }
        }
        Ok(rule)
    }

    pub(super) fn is_about(&self, name: &str, file: &str) -> bool {
        let named = match self.point.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.point,
        };
        named && file.contains(&self.file)
    }

    /// Counts a pass; the number of the strike when it is struck.
    pub(super) fn pass(&mut self) -> Option<u64> {
        self.passes += 1;
        let is_struck = self.passes >= self.at
            && (self.passes - self.at).is_multiple_of(self.every)
            && self.strikes < self.times;
        self.strikes += u64::from(is_struck);
        is_struck.then_some(self.strikes)
    }
}

fn action_of(word: &str) -> Result<Action, String> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let wrong = || format!("`{word}` is not an action");
    Ok(match (name, value) {
        ("abort", "") => Action::Abort,
        ("tear", "") => Action::Tear,
        ("tear-abort", "") => Action::TearAbort,
        ("flip", "") => Action::Flip,
        ("delay", value) => {
            let ms = value.strip_suffix("ms").and_then(|ms| ms.parse().ok());
            Action::Delay(Duration::from_millis(ms.ok_or_else(wrong)?))
        }
        ("step", value) => {
            let seconds: i64 = value.parse().map_err(|_| wrong())?;
            Action::Step(seconds.saturating_mul(1000))
        }
        // As Linux numbers them on every architecture that we build for.
        ("error", "EIO") => Action::Error(5),
        ("error", "EACCES") => Action::Error(13),
        ("error", "EMFILE") => Action::Error(24),
        ("error", "ENOSPC") => Action::Error(28),
        ("error", "EROFS") => Action::Error(30),
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(line: &str, passes: u64) -> Vec<u64> {
        let mut rule = Rule::parse(line).unwrap();
        (1..=passes)
            .filter_map(|pass| rule.pass().map(|_| pass))
            .collect()
    }

    #[test]
    fn rules_strike_as_they_say() {
        assert_eq!(struck("a abort", 3), [1, 2, 3]);
        assert_eq!(struck("a abort at=3", 5), [3, 4, 5]);
        assert_eq!(struck("a abort at=2 every=3 times=2", 20), [2, 5]);
        assert_eq!(struck("a delay=5ms times=1", 4), [1]);
    }

    #[test]
    fn a_rule_is_about_a_point_and_a_file() {
        let rule = Rule::parse("buffer.* error=ENOSPC in=.segment").unwrap();
        assert!(rule.is_about("buffer.write", "7.segment"));
        assert!(!rule.is_about("buffer.write", "7.marks"));
        assert!(!rule.is_about("journal.append", "7.segment"));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "a",
            "a burn",
            "a error=EWHAT",
            "a delay=5",
            "a abort at=0",
            "a abort now",
            "clock step=soon",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let text = "# none\n\n a  abort \nclock step=-3600\n";
        let rules = parse(text).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[1].action, Action::Step(-3_600_000));
    }
}
