//! YAML text to a tree in which every key and value knows its place in the file.
//!
//! Bounded whatever the text holds: depth, number of nodes (aliases are copied, so a bomb of them
//! counts) and, by the caller, its length.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper nesting than this is refused: no section of ours is deeper than ten.
const MAX_DEPTH: usize = 64;

/// More nodes than this are refused; the largest real configuration has some thousands.
const MAX_NODES: usize = 100_000;

/// A place in the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) position: Position,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Text; `plain` when it had no quotes, so that `null` and numbers can be told.
    Scalar { text: String, plain: bool },
    /// Items.
    List(Vec<Node>),
    /// Entries in the order of the file.
    Map(Vec<Entry>),
    /// A scalar that could not be expanded. Its problem is on the list already.
    Broken,
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Node,
}

/// Why there is no tree, or what is wrong with it though there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) position: Position,
    pub(crate) message: String,
}

impl Node {
    /// The value of `key`, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Where `key` stands.
    pub(crate) fn key_position(&self, key: &str) -> Option<Position> {
        self.entry(key).map(|entry| entry.position)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Whether nothing stands here.
    pub(crate) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// What to call this value in a message.
    pub(crate) fn name(&self) -> String {
        match &self.content {
            Content::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Content::Scalar { text, .. } => format!("`{}`", shorten(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a section".to_owned(),
            Content::Broken => "an unknown value".to_owned(),
        }
    }
}

/// The first characters of a value, for a message of one line.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let start: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    Cow::Owned(format!("{start}…"))
}

/// A container that is not closed yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Building,
}

enum Building {
    List(Vec<Node>),
    /// Entries, and the key whose value comes next.
    Map(Vec<Entry>, Option<(String, Position)>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    faults: Vec<Fault>,
    n_nodes: usize,
}

/// Parses one YAML document. The tree comes with what is wrong in it (duplicate keys, keys that
/// are no texts, further documents); without a tree the faults say why. An empty text is an empty
/// map.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str(text) {
        let result = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Fault {
                position: Position {
                    line: error.marker().line(),
                    column: error.marker().col() + 1,
                },
                message: format!("not valid YAML: {}", error.info()),
            }),
        };
        if let Err(fault) = result {
            builder.faults.push(fault);
            return (None, builder.faults);
        }
    }
    let empty = Node {
        position: Position { line: 1, column: 1 },
        content: Content::Map(Vec::new()),
    };
    let root = builder.root.unwrap_or(empty);
    (Some(root), builder.faults)
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let position = Position {
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        let fail = |message: &str| {
            Err(Fault {
                position,
                message: message.to_owned(),
            })
        };
        self.n_nodes += 1;
        if self.n_nodes > MAX_NODES {
            return fail("too many values: a configuration has at most 100000");
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let content = Content::Scalar {
                    text: text.into_owned(),
                    plain,
                };
                self.add(Node { position, content }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.n_nodes = self.n_nodes.saturating_add(count(&node));
                    self.add(Node { position, ..node }, 0)
                }
                None => fail("an alias stands before the end of what it refers to"),
            },
            Event::SequenceStart(anchor, _) => {
                self.push(position, anchor, Building::List(Vec::new()))
            }
            Event::MappingStart(anchor, _) => {
                self.push(position, anchor, Building::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return fail("not valid YAML: an end without a start");
                };
                let content = match open.content {
                    Building::List(items) => Content::List(items),
                    Building::Map(entries, _) => Content::Map(entries),
                };
                self.add(
                    Node {
                        position: open.position,
                        content,
                    },
                    open.anchor,
                )
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                fail("a second document starts here: a configuration is one document")
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, position: Position, anchor: usize, content: Building) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault {
                position,
                message: "nested too deeply".to_owned(),
            });
        }
        self.open.push(Open {
            position,
            anchor,
            content,
        });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            // The copy counts, as one of an alias does.
            self.n_nodes = self.n_nodes.saturating_add(count(&node));
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Building::List(items) => items.push(node),
            Building::Map(entries, pending) => match pending.take() {
                None => {
                    let position = node.position;
                    *pending = Some(match node.content {
                        Content::Scalar { text, .. } => (text, position),
                        _ => {
                            return Err(Fault {
                                position,
                                message: "a key must be a text".to_owned(),
                            });
                        }
                    });
                }
                Some((key, position)) => {
                    if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                        let message = format!(
                            "duplicate key `{}`, first given in line {}",
                            shorten(&key),
                            first.position.line
                        );
                        self.faults.push(Fault { position, message });
                    } else {
                        entries.push(Entry {
                            key,
                            position,
                            value: node,
                        });
                    }
                }
            },
        }
        Ok(())
    }
}

/// Nodes of a tree; its depth is bounded by [`MAX_DEPTH`] and that of its anchors.
fn count(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => items.iter().map(count).sum::<usize>() + 1,
        Content::Map(entries) => {
            entries
                .iter()
                .map(|entry| count(&entry.value))
                .sum::<usize>()
                + 1
        }
        _ => 1,
    }
}
