//! What the sections declare of themselves, as data: the source of the reference page, of the
//! shipped default files and of the hints on unknown keys.

/// A struct of the configuration.
#[derive(Debug, Clone)]
pub struct SectionSchema {
    /// Doc comment of the struct.
    pub doc: String,
    /// Its keys, in the order of their declaration.
    pub fields: Vec<FieldSchema>,
}

/// One key.
#[derive(Debug, Clone)]
pub struct FieldSchema {
    /// Name of the key.
    pub key: &'static str,
    /// Doc comment of the field.
    pub doc: String,
    /// The key has to be there; `default` is then only an example.
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
    /// The default. [`Shown::Absent`] when nothing is the default.
    pub default: Shown,
    /// A value to show where the default is absent or depends on the machine.
    pub example: Option<&'static str>,
    /// The default depends on the machine: described here, never written into shipped files.
    pub varies: Option<&'static str>,
    /// Smallest and largest value.
    pub range: Option<(String, String)>,
}

/// What a key holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One scalar; the text says which (`size`, `duration`, `text`, …).
    Scalar(&'static str),
    /// One of some words.
    Choice(Vec<Choice>),
    /// A list.
    List(Box<Kind>),
    /// A map of texts.
    Map,
    /// Keys of its own.
    Section(SectionSchema),
}

/// One word of a [`Kind::Choice`].
#[derive(Debug, Clone)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: String,
}

/// A value in the shape that YAML shows it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Absent,
    /// A scalar, as plain YAML would hold it.
    Scalar(String),
    /// A list.
    List(Vec<Shown>),
    /// A section or a map.
    Map(Vec<(String, Shown)>),
}

impl Kind {
    /// The section behind this kind, through lists.
    pub fn section(&self) -> Option<&SectionSchema> {
        match self {
            Self::Section(section) => Some(section),
            Self::List(inner) => inner.section(),
            _ => None,
        }
    }

    /// What the reference calls it.
    pub fn name(&self) -> String {
        match self {
            Self::Scalar(name) => (*name).to_owned(),
            Self::Choice(choices) => {
                let names: Vec<String> = choices.iter().map(|c| format!("`{}`", c.name)).collect();
                format!("one of {}", names.join(", "))
            }
            Self::List(inner) if inner.section().is_some() => "list of sections".to_owned(),
            Self::List(inner) => format!("list of {}", inner.name()),
            Self::Map => "map of texts".to_owned(),
            Self::Section(_) => "section".to_owned(),
        }
    }
}

impl SectionSchema {
    /// Paths of all keys below this section, lists without their index.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_paths("", &mut found);
        found
    }

    fn collect_paths(&self, prefix: &str, found: &mut Vec<String>) {
        for field in &self.fields {
            let path = format!("{prefix}{}", field.key);
            if let Some(section) = field.kind.section() {
                let dots = if matches!(field.kind, Kind::List(_)) {
                    "[]."
                } else {
                    "."
                };
                section.collect_paths(&format!("{path}{dots}"), found);
            }
            found.push(path);
        }
    }
}
