//! `%{NAME:field:type}` to a regular expression with groups `c0`, `c1`, … in the order of the
//! fields. Knows nothing of the expression between but how its own named groups look.

use super::{Capture, Library, Wrong};
use crate::rules::did_you_mean;

/// Deepest nesting of names, and longest text: beyond it a pattern contains itself.
const MAX_DEPTH: usize = 64;
const MAX_TEXT: usize = 1024 * 1024;

/// An expression without `%{…}`.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) text: String,
    pub(super) captures: Vec<Capture>,
}

/// Puts patterns for their names.
///
/// # Errors
///
/// Unknown names and types; a pattern that contains itself.
pub(super) fn expand(expression: &str, library: &Library) -> Result<Expanded, Wrong> {
    let (text, captures) = (String::new(), Vec::new());
    let mut expanded = Expanded { text, captures };
    append(expression, library, &mut expanded, 0)?;
    Ok(expanded)
}

/// The group of each capture, from the names of an engine's groups.
pub(super) fn groups(names: &[Option<&str>], n_captures: usize) -> Vec<Option<usize>> {
    let group = |index: usize| {
        let name = format!("c{index}");
        names.iter().position(|n| *n == Some(&name))
    };
    (0..n_captures).map(group).collect()
}

fn append(
    expression: &str,
    library: &Library,
    to: &mut Expanded,
    depth: usize,
) -> Result<(), Wrong> {
    if depth > MAX_DEPTH || to.text.len() > MAX_TEXT {
        return Err(Wrong::new("a pattern contains itself, or is too large"));
    }
    let mut rest = expression;
    while let Some(at) = rest.find(['%', '(', '\\']) {
        let (before, found) = rest.split_at(at);
        to.text.push_str(before);
        if let Some(piece) = found.strip_prefix("%{") {
            let (piece, after) = piece
                .split_once('}')
                .ok_or_else(|| Wrong::new("a `%{` is not closed"))?;
            append_piece(piece, library, to, depth)?;
            rest = after;
        } else if let Some((name, after)) = back_reference(found) {
            let is_it = |capture: &Capture| capture.name == field_name(name);
            let number = to.captures.iter().rposition(is_it);
            let number = number.ok_or_else(|| Wrong::new(format!("no group `{name}` before")))?;
            to.text.push_str(&format!("\\k<c{number}>"));
            rest = after;
        } else if let Some((name, after)) = named_group(found) {
            open_group(name, None, to);
            rest = after;
        } else {
            // A backslash and what it escapes stay together.
            let mut length = found.chars().next().map_or(0, char::len_utf8);
            if found.starts_with('\\') {
                length += found.chars().nth(1).map_or(0, char::len_utf8);
            }
            let (kept, after) = found.split_at(length);
            to.text.push_str(kept);
            rest = after;
        }
    }
    to.text.push_str(rest);
    Ok(())
}

/// `(?<name>` or `(?P<name>` at the front, and what follows.
fn named_group(text: &str) -> Option<(&str, &str)> {
    let inside = text
        .strip_prefix("(?<")
        .or_else(|| text.strip_prefix("(?P<"))?;
    if inside.starts_with(['=', '!']) {
        return None;
    }
    inside.split_once('>')
}

/// `\k<name>` at the front, and what follows.
fn back_reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("\\k<")?.split_once('>')
}

fn open_group(name: &str, kind: Option<&'static str>, to: &mut Expanded) {
    to.text.push_str(&format!("(?P<c{}>", to.captures.len()));
    let name = field_name(name);
    to.captures.push(Capture { name, kind });
}

/// `[a][b]` as `a.b`; what Logstash keeps beside the event goes nowhere.
fn field_name(name: &str) -> String {
    let name = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(inside) => inside.replace("][", "."),
        None => name.to_owned(),
    };
    if name.starts_with("@metadata") {
        return "_".to_owned();
    }
    name.replace('?', "")
}

fn append_piece(
    piece: &str,
    library: &Library,
    to: &mut Expanded,
    depth: usize,
) -> Result<(), Wrong> {
    let mut parts = piece.splitn(3, ':');
    let name = parts.next().unwrap_or_default();
    let (field, kind) = (parts.next(), parts.next());
    let pattern = library.get(name).ok_or_else(|| unknown(name, library))?;
    let kind = kind.map(kind_of).transpose()?;
    match field.filter(|field| !field.is_empty()) {
        Some(field) => open_group(field, kind, to),
        None => to.text.push_str("(?:"),
    }
    append(pattern, library, to, depth + 1)?;
    to.text.push(')');
    Ok(())
}

fn unknown(name: &str, library: &Library) -> Wrong {
    let names: Vec<&str> = library.names().collect();
    let wrong = Wrong::new(format!("there is no pattern `{name}`"));
    match did_you_mean(name, &names) {
        Some(hint) => wrong.hint(hint),
        None => wrong.hint("write it under `patterns`, or use one of Logstash's core patterns"),
    }
}

/// Our type of a type of Logstash or Elasticsearch.
fn kind_of(kind: &str) -> Result<&'static str, Wrong> {
    Ok(match kind {
        "int" | "integer" | "long" => "int",
        "float" | "double" => "float",
        "bool" | "boolean" => "bool",
        "string" | "keyword" => "string",
        "ip" => "ip",
        "time" => "time",
        _ => {
            let wrong = Wrong::new(format!("unknown type `{kind}`"));
            return Err(wrong.hint("types are int, float, bool, string, ip, time"));
        }
    })
}
