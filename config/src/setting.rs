//! The types a key may have: how each is read, what it is called, how it is shown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::reader::Reader;
use crate::schema::{Kind, Shown};
use crate::tree::{Content, Node, shorten};
use crate::units::{ByteSize, format_duration, parse_duration};

/// A type that a key may have.
pub(crate) trait Setting: Sized {
    /// What the reference calls it.
    fn kind() -> Kind;

    /// Reads a value; `None` when there is a problem, which is then on the list.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;

    /// The value as YAML shows it.
    fn shown(&self) -> Shown;

    /// Whether `self < other`, for ranges. Types without an order answer no.
    fn is_below(&self, _other: &Self) -> bool {
        false
    }

    /// Whether a key with nothing behind it is read rather than taken as absent.
    fn takes_null() -> bool {
        false
    }
}

/// Types that are one scalar with `FromStr`-like reading.
macro_rules! scalar {
    ($ty:ty, $kind:literal, $expected:literal, $parse:expr, $show:expr, ordered: $ordered:literal) => {
        impl Setting for $ty {
            fn kind() -> Kind {
                Kind::Scalar($kind)
            }

            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                let text = reader.scalar(node, $expected)?;
                let parse: fn(&str) -> Result<$ty, String> = $parse;
                match parse(text) {
                    Ok(value) => Some(value),
                    Err(error) => {
                        let colon = if error.is_empty() { "" } else { ": " };
                        let message = format!(
                            "expected {}, got `{}`{colon}{error}",
                            $expected,
                            shorten(text)
                        );
                        reader.problem(node.position, message);
                        None
                    }
                }
            }

            fn shown(&self) -> Shown {
                let show: fn(&$ty) -> String = $show;
                Shown::Scalar(show(self))
            }

            fn is_below(&self, other: &Self) -> bool {
                $ordered && self < other
            }
        }
    };
}

/// The digits of a whole number; the error is empty as the expectation says all.
fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    clean.parse().map_err(|_| String::new())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        "yes" | "on" | "Yes" | "On" => Err("write `true`".to_owned()),
        "no" | "off" | "No" | "Off" => Err("write `false`".to_owned()),
        _ => Err(String::new()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
        match host {
            "" => format!("write `0.0.0.0{text}` for every interface"),
            "localhost" => "write the IP address: `127.0.0.1`".to_owned(),
            _ => String::new(),
        }
    })
}

scalar!(u32, "number", "a whole number", whole, u32::to_string, ordered: true);
scalar!(u64, "number", "a whole number", whole, u64::to_string, ordered: true);
scalar!(usize, "number", "a whole number", whole, usize::to_string, ordered: true);
scalar!(i32, "number", "a whole number", whole, i32::to_string, ordered: true);
scalar!(bool, "boolean", "`true` or `false`", boolean, bool::to_string, ordered: false);
scalar!(SocketAddr, "address", "an address like `127.0.0.1:7080`", address, SocketAddr::to_string, ordered: false);
scalar!(ByteSize, "size", "a size like `64MiB`", str::parse, ByteSize::to_string, ordered: true);
scalar!(Duration, "duration", "a duration like `5s`", parse_duration, |d| format_duration(*d), ordered: true);

impl Setting for String {
    fn kind() -> Kind {
        Kind::Scalar("text")
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        reader.scalar(node, "a text").map(str::to_owned)
    }

    fn shown(&self) -> Shown {
        Shown::Scalar(self.clone())
    }
}

impl Setting for PathBuf {
    fn kind() -> Kind {
        Kind::Scalar("path")
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = reader.scalar(node, "a path")?;
        if text.is_empty() || text.contains('\0') {
            reader.problem(
                node.position,
                "expected a path, got an empty one or a NUL".to_owned(),
            );
            return None;
        }
        Some(reader.resolve(text))
    }

    fn shown(&self) -> Shown {
        Shown::Scalar(self.display().to_string())
    }
}

impl<T: Setting> Setting for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn shown(&self) -> Shown {
        self.as_ref().map_or(Shown::Absent, T::shown)
    }

    fn is_below(&self, other: &Self) -> bool {
        match (self, other) {
            (Some(a), Some(b)) => a.is_below(b),
            _ => false,
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let items = match &node.content {
            Content::List(items) => items,
            Content::Broken => return None,
            Content::Scalar { .. } => {
                let hint = format!("write `[{}]`", node.name().trim_matches('`'));
                let message = format!("expected a list, got {}", node.name());
                reader.hinted(node.position, message, Some(hint));
                return None;
            }
            Content::Map(_) => {
                let hint = Some("start each item with `- `".to_owned());
                reader.hinted(
                    node.position,
                    "expected a list, got a section".to_owned(),
                    hint,
                );
                return None;
            }
        };
        let mut values = Vec::with_capacity(items.len());
        let mut all = true;
        for (idx, item) in items.iter().enumerate() {
            reader.enter(&format!("[{idx}]"));
            if item.is_null() && !T::takes_null() {
                reader.problem(item.position, "the item is empty".to_owned());
                all = false;
            } else if let Some(value) = T::read(item, reader) {
                values.push(value);
            } else {
                all = false;
            }
            reader.leave();
        }
        all.then_some(values)
    }

    fn shown(&self) -> Shown {
        Shown::List(self.iter().map(T::shown).collect())
    }
}

impl Setting for BTreeMap<String, String> {
    fn kind() -> Kind {
        Kind::Map
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Content::Map(entries) = &node.content else {
            if !matches!(node.content, Content::Broken) {
                let message = format!("expected `key: value` lines, got {}", node.name());
                reader.problem(node.position, message);
            }
            return None;
        };
        let mut values = BTreeMap::new();
        let mut all = true;
        for entry in entries {
            reader.enter(&entry.key);
            match reader.scalar(&entry.value, "a text") {
                Some(text) => {
                    values.insert(entry.key.clone(), text.to_owned());
                }
                None => all = false,
            }
            reader.leave();
        }
        all.then_some(values)
    }

    fn shown(&self) -> Shown {
        Shown::Map(
            self.iter()
                .map(|(k, v)| (k.clone(), Shown::Scalar(v.clone())))
                .collect(),
        )
    }
}
