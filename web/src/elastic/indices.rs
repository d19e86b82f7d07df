//! Which indices a request is about, within those that are searched here.

use crate::access::{Asker, Role, is_like};
use crate::api::{Api, Call};
use crate::params::at_most;
use crate::problem::Problem;

/// Characters of an index expression in a path.
pub(super) const MAX_INDEX: usize = 512;

impl Api {
    /// Whether a name or pattern lies within what is searched.
    pub(crate) fn is_searched(&self, name: &str) -> bool {
        is_within(&self.options.index, name)
    }

    /// The index expression for the store: what is asked for, where that lies within the
    /// configured ones, without what these leave out.
    pub(super) fn index(&self, asked: &str, call: &Call) -> Result<String, Problem> {
        let found = expression(&self.options.index, asked, &call.asker, false)?;
        Ok(found.unwrap_or_else(|| self.options.index.clone()))
    }

    /// As [`Api::index`]. With `skips_missing` a name outside of what is searched is one that does
    /// not exist, whether or not it does; `None` when no other is asked for.
    pub(super) fn index_that_is(
        &self,
        asked: &str,
        skips_missing: bool,
        call: &Call,
    ) -> Result<Option<String>, Problem> {
        expression(&self.options.index, asked, &call.asker, skips_missing)
    }

    /// The same of a path: the part before `word`, or all that is searched.
    pub(super) fn index_of(
        &self,
        segments: &[&str],
        word: &str,
        call: &Call,
    ) -> Result<String, Problem> {
        match segments.first() {
            Some(index) if *index != word => self.index(at_most("index", index, MAX_INDEX)?, call),
            _ => Ok(self.options.index.clone()),
        }
    }
}

fn is_within(configured: &str, name: &str) -> bool {
    let (left_out, taken): (Vec<&str>, Vec<&str>) = configured
        .split(',')
        .partition(|part| part.starts_with('-'));
    // Backing indices of data streams have names of their own.
    let stream = name.strip_prefix(".ds-").unwrap_or(name);
    let is_in = |pattern: &&str| is_like(pattern, stream);
    taken.iter().any(is_in)
        && !left_out
            .iter()
            .any(|pattern| is_like(pattern.trim_start_matches('-'), stream))
}

fn expression(
    configured: &str,
    asked: &str,
    asker: &Asker,
    skips_missing: bool,
) -> Result<Option<String>, Problem> {
    if matches!(asked, "_all" | "*") || asked == configured {
        return Ok(Some(configured.to_owned()));
    }
    let mut parts: Vec<&str> = Vec::new();
    let mut has_skipped = false;
    for part in asked
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let name = part.trim_start_matches('-');
        let is_plain = !name.is_empty()
            && !name.starts_with(['.', '_', '<'])
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
            || name.starts_with(".ds-logs-");
        // The trail and the letters are seen by those who see everything.
        let is_own = name.starts_with("logs-tailrace.")
            && asker.role == Role::Admin
            && asker.namespaces.is_empty();
        let is_searched = is_within(configured, name);
        if is_plain && !is_own && !is_searched {
            // A wider pattern means what of it is searched here.
            let within: Vec<&str> = configured
                .split(',')
                .filter(|known| !known.starts_with('-') && is_like(name, known))
                .collect();
            if !within.is_empty() && !part.starts_with('-') {
                parts.extend(within);
                continue;
            }
        }
        if !is_plain || !(is_searched || is_own) {
            // Patterns and hidden names are refused all the same: they are no slip of a date.
            if skips_missing && is_plain && !name.starts_with('.') && !name.contains('*') {
                has_skipped = true;
                continue;
            }
            return Err(Problem::forbidden(format!(
                "`{}` is none of the indices that are searched here: {configured}",
                name.chars().take(80).collect::<String>(),
            )));
        }
        parts.push(part);
    }
    if has_skipped && parts.iter().all(|part| part.starts_with('-')) {
        return Ok(None);
    }
    if parts.is_empty() {
        return Ok(Some(configured.to_owned()));
    }
    let is_own = parts.iter().all(|part| part.starts_with("logs-tailrace."));
    if !is_own {
        parts.extend(configured.split(',').filter(|part| part.starts_with('-')));
    }
    Ok(Some(parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: &str = "logs-*-*,-logs-tailrace.*";

    fn asker(role: Role, namespaces: &[&str]) -> Asker {
        Asker {
            user: None,
            role,
            namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
            auth: "none",
        }
    }

    fn asked(index: &str, asker: &Asker) -> Option<String> {
        expression(CONFIGURED, index, asker, false).ok().flatten()
    }

    #[test]
    fn only_what_is_searched_here_can_be_asked_for() {
        let viewer = asker(Role::Viewer, &[]);
        for index in ["_all", "*", "", CONFIGURED] {
            assert_eq!(
                asked(index, &viewer).as_deref(),
                Some(CONFIGURED),
                "{index}"
            );
        }
        for (index, expected) in [
            ("logs-shop-default", "logs-shop-default,-logs-tailrace.*"),
            ("logs-shop-*", "logs-shop-*,-logs-tailrace.*"),
            // A wider pattern.
            ("logs-*", "logs-*-*,-logs-tailrace.*"),
            (
                ".ds-logs-shop-default-2026.11.25-000001",
                ".ds-logs-shop-default-2026.11.25-000001,-logs-tailrace.*",
            ),
            (
                "logs-*-*,-logs-shop-*",
                "logs-*-*,-logs-shop-*,-logs-tailrace.*",
            ),
        ] {
            assert_eq!(asked(index, &viewer).as_deref(), Some(expected), "{index}");
        }
        for index in [
            "logs-nosuch",
            "secret-index",
            ".security",
            ".ds-logs-tailrace.audit-default-2026.11.25-000001",
            "_cluster",
            "<logs-{now/d}>",
            "logs-tailrace.audit-default",
            "logs-shop-default,secret-index",
            "logs-a-b/../secret",
        ] {
            assert_eq!(asked(index, &viewer), None, "{index}");
        }
    }

    #[test]
    fn names_that_are_not_there_are_passed_over() {
        let viewer = asker(Role::Viewer, &[]);
        let asked = |index: &str| expression(CONFIGURED, index, &viewer, true);
        for index in [
            "logs-nosuch",
            "logs-2026.11.27",
            "logs-2026.11.26,logs-2026.11.27",
            "secret-index",
            "logs-tailrace.audit-default",
            "logs-nosuch,-logs-a-b",
        ] {
            assert_eq!(asked(index), Ok(None), "{index}");
        }
        let expected = Ok(Some("logs-a-b,-logs-tailrace.*".to_owned()));
        assert_eq!(asked("logs-nosuch,logs-a-b,secret-index"), expected);
        // What is hidden or a pattern is no slip.
        for index in [
            ".security",
            ".ds-logs-tailrace.audit-default-2026.11.25-000001",
            "secret-*",
            "_cluster",
            "<logs-{now/d}>",
            "logs-a-b,.security",
        ] {
            assert!(asked(index).is_err(), "{index}");
        }
    }

    #[test]
    fn the_trail_is_for_those_who_see_everything() {
        let trail = "logs-tailrace.audit-default";
        assert_eq!(
            asked(trail, &asker(Role::Admin, &[])).as_deref(),
            Some(trail)
        );
        assert_eq!(asked(trail, &asker(Role::Editor, &[])), None);
        assert_eq!(asked(trail, &asker(Role::Admin, &["shop"])), None);
    }
}
