//! YAML to a tree that remembers where everything stands.
//!
//! Aliases are refused (a small file could stand for a huge tree), nesting and size are bounded.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Deepest nesting of a rule file.
const MAX_DEPTH: usize = 32;

/// A place in a file: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Text; `true` tells that it stood without quotes, so that it may mean null.
    Scalar(String, bool),
    List(Vec<Node>),
    /// Keys in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

impl Node {
    /// The value of a key, when this is a map that has it.
    pub(crate) fn member(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(members) => members
                .iter()
                .find(|(key, _)| key.text == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// What to call the node in a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(..) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// Whether it stood in quotes: a text, whatever it looks like.
    pub(crate) fn is_quoted(&self) -> bool {
        matches!(&self.value, Value::Scalar(_, false))
    }

    /// The texts of a list, or the one text, each with its place.
    pub(crate) fn texts(&self) -> Vec<(Place, &str)> {
        match &self.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| Some((item.place, item.text()?)))
                .collect(),
            _ => self
                .text()
                .map(|text| (self.place, text))
                .into_iter()
                .collect(),
        }
    }

    /// Whether it is `null`, `~` or nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true) if matches!(text.as_str(), "" | "~" | "null"))
    }
}

/// A container that is still open.
struct Open {
    place: Place,
    items: Vec<Node>,
    is_map: bool,
}

/// Reads the documents of a file.
///
/// # Errors
///
/// The place and the reason when the text is no YAML or uses what is refused.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, (Place, String)> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| (Place::from(*e.marker()), e.info().to_owned()))?;
        let place = Place::from(span.start);
        let done = match event {
            Event::Alias(_) => {
                return Err((place, "aliases are not supported in rules".to_owned()));
            }
            Event::Scalar(text, style, _, _) => {
                let value = Value::Scalar(text.into_owned(), style == ScalarStyle::Plain);
                Node { place, value }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= MAX_DEPTH {
                    return Err((place, format!("nested deeper than {MAX_DEPTH} levels")));
                }
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(Open {
                    place,
                    items: Vec::new(),
                    is_map,
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                close(done)?
            }
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.items.push(done),
            None => documents.push(done),
        }
    }
    Ok(documents)
}

fn close(open: Open) -> Result<Node, (Place, String)> {
    let Open {
        place,
        items,
        is_map,
    } = open;
    if !is_map {
        return Ok(Node {
            place,
            value: Value::List(items),
        });
    }
    let mut members: Vec<(Key, Node)> = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        let Value::Scalar(text, _) = key.value else {
            return Err((key.place, "a key must be a text".to_owned()));
        };
        if let Some((first, _)) = members.iter().find(|(k, _)| k.text == text) {
            let line = first.place.line;
            return Err((
                key.place,
                format!("`{text}` stands twice, first in line {line}"),
            ));
        }
        members.push((
            Key {
                place: key.place,
                text,
            },
            value,
        ));
    }
    Ok(Node {
        place,
        value: Value::Map(members),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one() {
        let nodes = documents("a: 1\nb:\n  - x\n---\nc: ~\n").unwrap();
        let Value::Map(members) = &nodes[0].value else {
            panic!("a map")
        };
        assert_eq!(members[1].0.place, Place { line: 2, column: 1 });
        let Value::List(items) = &members[1].1.value else {
            panic!("a list")
        };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
        let Value::Map(members) = &nodes[1].value else {
            panic!("a map")
        };
        assert!(members[0].1.is_null());
    }

    #[test]
    fn what_is_refused_says_where() {
        let check = |text: &str, line: usize| {
            assert_eq!(documents(text).unwrap_err().0.line, line, "{text}")
        };
        check("a: 1\na: 2\n", 2);
        check("a: &x 1\nb: *x\n", 2);
        check("a: [1\n", 2);
        check(&"[".repeat(100), 1);
    }
}
