//! Where a captured value goes and what type it must have.

use crate::ecs::{FieldId, Kind};

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Int,
    Float,
    Bool,
    Ip,
    Time,
}

impl Type {
    pub(crate) const NAMES: [&'static str; 6] = ["string", "int", "float", "bool", "ip", "time"];

    pub(crate) fn find(name: &str) -> Option<Type> {
        Some(match name {
            "string" => Type::String,
            "int" => Type::Int,
            "float" => Type::Float,
            "bool" => Type::Bool,
            "ip" => Type::Ip,
            "time" => Type::Time,
            _ => return None,
        })
    }
}

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the hole only skips text.
    Nowhere,
    /// It becomes the message, and the text that the next step works on.
    Message,
    /// `@timestamp`.
    Time,
    /// `log.level`.
    Level,
    Field(FieldId),
    /// `attributes.` and this name.
    Attribute(String),
    /// A field of the stream's metadata: it can be read only.
    Metadata(String),
}

/// Where a value goes, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) kind: Type,
}

impl Target {
    /// The name of the attribute that it is.
    pub(crate) fn attribute(&self) -> Option<&str> {
        match &self.place {
            Place::Attribute(name) => Some(name),
            _ => None,
        }
    }
}

/// Outermost names that rules may not fill.
const NOT_FOR_RULES: &[&str] = &["tailrace", "kubernetes", "container", "data_stream", "tags"];

/// Reads `name`, `name:type`, `_` or nothing.
///
/// # Errors
///
/// What is wrong, and a hint.
pub(crate) fn parse(text: &str) -> Result<Target, (String, Option<String>)> {
    let (name, kind) = match text.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (text, None),
    };
    let given = match kind {
        None => None,
        Some(kind) => Some(Type::find(kind).ok_or_else(|| {
            let hint = super::suggest::did_you_mean(kind, &Type::NAMES);
            let all = || format!("types are {}", Type::NAMES.join(", "));
            (
                format!("unknown type `{kind}`"),
                Some(hint.unwrap_or_else(all)),
            )
        })?),
    };
    let place = place(name)?;
    let (default, allowed): (Type, &[Type]) = match &place {
        Place::Time => (Type::Time, &[Type::Time]),
        Place::Message | Place::Level => (Type::String, &[Type::String]),
        Place::Field(id) => match id.kind() {
            Kind::Keyword => (
                Type::String,
                &[Type::String, Type::Int, Type::Float, Type::Bool, Type::Ip],
            ),
            Kind::Long => (Type::Int, &[Type::Int]),
            Kind::Float => (Type::Float, &[Type::Float, Type::Int]),
            Kind::Bool => (Type::Bool, &[Type::Bool]),
            Kind::Ip => (Type::Ip, &[Type::Ip]),
            Kind::Date => (Type::Time, &[Type::Time]),
        },
        Place::Nowhere | Place::Attribute(_) | Place::Metadata(_) => (
            Type::String,
            &[
                Type::String,
                Type::Int,
                Type::Float,
                Type::Bool,
                Type::Ip,
                Type::Time,
            ],
        ),
    };
    let kind = given.unwrap_or(default);
    if !allowed.contains(&kind) {
        let needed = Type::NAMES[default as usize];
        let what = format!(
            "`{name}` cannot hold a value of type `{}`",
            Type::NAMES[kind as usize]
        );
        return Err((
            what,
            Some(format!("write `{name}:{needed}` or leave the type out")),
        ));
    }
    Ok(Target { place, kind })
}

/// As [`parse`], for a field that is only read: the stream's metadata is among them.
///
/// # Errors
///
/// What is wrong, and a hint.
pub(crate) fn parse_source(text: &str) -> Result<Target, (String, Option<String>)> {
    const METADATA: &[&str] = &[
        "kubernetes",
        "container",
        "labels",
        "cloud",
        "host",
        "orchestrator",
        "agent",
        "input",
    ];
    let root = text.split('.').next().unwrap_or_default();
    let is_metadata = METADATA.contains(&root) && FieldId::find(text).is_none();
    if is_metadata || text == "log.file.path" {
        let place = Place::Metadata(text.to_owned());
        let kind = Type::String;
        return Ok(Target { place, kind });
    }
    parse(text)
}

fn place(name: &str) -> Result<Place, (String, Option<String>)> {
    match name {
        "" | "_" => return Ok(Place::Nowhere),
        "message" => return Ok(Place::Message),
        "@timestamp" | "time" => return Ok(Place::Time),
        "log.level" | "level" => return Ok(Place::Level),
        _ => {}
    }
    if let Some(id) = FieldId::find(name) {
        return Ok(Place::Field(id));
    }
    let root = name.split('.').next().unwrap_or_default();
    if NOT_FOR_RULES.contains(&root) {
        let hint = "choose another name; what lines say goes to `attributes`".to_owned();
        return Err((format!("`{name}` is set by Tailrace itself"), Some(hint)));
    }
    let name = name.strip_prefix("attributes.").unwrap_or(name);
    let is_fine = name.len() <= 128
        && name.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_@-".contains(&b))
        });
    if !is_fine {
        let hint = "letters, digits, `_`, `-`, `@`, with dots between parts".to_owned();
        return Err((format!("`{name}` is no name for a field"), Some(hint)));
    }
    Ok(Place::Attribute(name.to_owned()))
}

/// The fields that two targets of one rule fill at the same time, if they do: the same one, or
/// one that is an object in the other.
pub(crate) fn collision(a: &Target, b: &Target) -> Option<String> {
    match (&a.place, &b.place) {
        (Place::Nowhere, _) | (_, Place::Nowhere) | (Place::Message, Place::Message) => None,
        (Place::Attribute(a), Place::Attribute(b)) => {
            let inside = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|r| r.starts_with('.'));
            if a == b {
                Some(format!("`{a}` is filled twice"))
            } else if inside(a, b) || inside(b, a) {
                Some(format!(
                    "`{a}` and `{b}` cannot stand together: one is an object in the other"
                ))
            } else {
                None
            }
        }
        (Place::Field(a), Place::Field(b)) if a == b => {
            Some(format!("`{}` is filled twice", a.name()))
        }
        (Place::Time, Place::Time) => Some("`@timestamp` is filled twice".to_owned()),
        (Place::Level, Place::Level) => Some("`log.level` is filled twice".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let kind = |text: &str| parse(text).map(|t| t.kind);
        assert_eq!(kind("source.ip"), Ok(Type::Ip));
        assert_eq!(kind("http.response.status_code"), Ok(Type::Int));
        assert_eq!(kind("took:float"), Ok(Type::Float));
        assert_eq!(parse("_").unwrap().place, Place::Nowhere);
        assert_eq!(
            parse("attributes.a.b").unwrap().place,
            Place::Attribute("a.b".to_owned())
        );
        for wrong in [
            "a:flaot",
            "source.ip:string",
            "kubernetes.namespace",
            "a..b",
            "a b",
            "@timestamp:int",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parse("a:flaot").unwrap_err().1.unwrap(),
            "did you mean `float`?"
        );
    }

    #[test]
    fn collisions_are_found() {
        let both = |a: &str, b: &str| collision(&parse(a).unwrap(), &parse(b).unwrap()).is_some();
        assert!(
            both("a", "a")
                && both("a", "a.b")
                && both("source.ip", "source.ip")
                && both("time", "@timestamp")
        );
        assert!(!both("a", "ab") && !both("_", "_") && !both("message", "message"));
    }
}
