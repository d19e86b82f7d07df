//! The macros that declare sections and words: one declaration gives the struct, its default, its
//! reader and its schema, so that none of them can drift from the others.

use crate::fields::{At, Fields};
use crate::schema::SectionSchema;

/// A struct of the configuration; implemented by [`section!`].
pub(crate) trait Section: Sized + Default {
    /// What it declares of itself.
    fn schema() -> SectionSchema;

    /// Takes every key. `None` when a key had a problem (which is then on the list).
    fn take(fields: &mut Fields<'_>) -> Option<Self>;
}

/// Rules that hold between keys of one section. Runs only when every key by itself was right.
pub(crate) trait Check {
    /// Puts what is wrong on the list.
    fn check(&self, _at: &mut At<'_>) {}
}

/// A test of one value; the error says what is expected.
pub(crate) type Test<T> = fn(&T) -> Result<(), String>;

/// What a key may hold beyond its type.
#[derive(Debug, Clone)]
pub(crate) struct Rule<T> {
    pub(crate) required: bool,
    pub(crate) range: Option<(T, T)>,
    pub(crate) example: Option<&'static str>,
    pub(crate) varies: Option<&'static str>,
    pub(crate) check: Option<Test<T>>,
}

impl<T> Rule<T> {
    /// Anything of the type.
    pub(crate) fn any() -> Self {
        Self {
            required: false,
            range: None,
            example: None,
            varies: None,
            check: None,
        }
    }

    /// The key has to be there; its default is only an example.
    pub(crate) fn required() -> Self {
        Self {
            required: true,
            ..Self::any()
        }
    }

    /// Smallest and largest value, both allowed.
    pub(crate) fn range(min: T, max: T) -> Self {
        Self {
            range: Some((min, max)),
            ..Self::any()
        }
    }

    /// What the reference shows where there is no default.
    pub(crate) fn example(text: &'static str) -> Self {
        Self {
            example: Some(text),
            ..Self::any()
        }
    }

    /// The default depends on the machine; `text` says how.
    pub(crate) fn varies(text: &'static str, example: &'static str) -> Self {
        Self {
            varies: Some(text),
            example: Some(example),
            ..Self::any()
        }
    }

    /// A test of the value by itself; the error says what is expected.
    pub(crate) fn check(self, check: Test<T>) -> Self {
        Self {
            check: Some(check),
            ..self
        }
    }

    /// Adds an example.
    pub(crate) fn show(self, text: &'static str) -> Self {
        Self {
            example: Some(text),
            ..self
        }
    }
}

/// Declares a section: `key: Type = default` and, after `=>`, a [`Rule`] that narrows it.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident: $ty:ty = $default:expr $(=> $rule:expr)?,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::section::Section for $name {
            fn schema() -> $crate::schema::SectionSchema {
                let default = Self::default();
                $crate::schema::SectionSchema {
                    doc: $crate::section::join_doc(&[$($doc),*]),
                    fields: vec![$(
                        $crate::section::describe::<$ty>(
                            stringify!($field),
                            &[$($field_doc),*],
                            &default.$field,
                            $crate::section::rule_or_any!($($rule)?),
                        )
                    ),*],
                }
            }

            fn take(fields: &mut $crate::fields::Fields<'_>) -> Option<Self> {
                $(let $field = fields.take::<$ty>(
                    stringify!($field),
                    || $default,
                    $crate::section::rule_or_any!($($rule)?),
                );)*
                Some(Self { $($field: $field?,)* })
            }
        }

        impl $crate::setting::Setting for $name {
            fn kind() -> $crate::schema::Kind {
                $crate::schema::Kind::Section(<Self as $crate::section::Section>::schema())
            }

            fn read(
                node: &$crate::tree::Node,
                reader: &mut $crate::reader::Reader,
            ) -> Option<Self> {
                $crate::fields::read_section(node, reader)
            }

            fn shown(&self) -> $crate::schema::Shown {
                $crate::schema::Shown::Map(vec![$(
                    (
                        stringify!($field).to_owned(),
                        $crate::setting::Setting::shown(&self.$field),
                    )
                ),*])
            }
        }
    };
}

/// The rule, or [`Rule::any`] when none is given.
macro_rules! rule_or_any {
    () => {
        $crate::section::Rule::any()
    };
    ($rule:expr) => {
        $rule
    };
}

/// Declares a choice of words: `Variant = "word"`.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident = $word:literal,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $variant_doc])* $variant,)*
        }

        impl $name {
            /// The word in the configuration file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl $crate::setting::Setting for $name {
            fn kind() -> $crate::schema::Kind {
                $crate::schema::Kind::Choice(vec![$($crate::schema::Choice {
                    name: $word,
                    doc: $crate::section::join_doc(&[$($variant_doc),*]),
                }),*])
            }

            fn read(
                node: &$crate::tree::Node,
                reader: &mut $crate::reader::Reader,
            ) -> Option<Self> {
                let words = [$($word),*];
                match reader.word(node, &words)?.as_str() {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn shown(&self) -> $crate::schema::Shown {
                $crate::schema::Shown::Scalar(self.as_str().to_owned())
            }
        }
    };
}

pub(crate) use {choice, rule_or_any, section};

/// Lines of a doc comment as one text; the compiler keeps the blank after `///`.
pub(crate) fn join_doc(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines
        .iter()
        .map(|l| l.strip_prefix(' ').unwrap_or(l))
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The schema of one field.
pub(crate) fn describe<T: crate::setting::Setting>(
    key: &'static str,
    doc: &[&str],
    default: &T,
    rule: Rule<T>,
) -> crate::schema::FieldSchema {
    let text = |value: &T| match value.shown() {
        crate::schema::Shown::Scalar(text) => text,
        _ => String::new(),
    };
    crate::schema::FieldSchema {
        key,
        doc: join_doc(doc),
        required: rule.required,
        kind: T::kind(),
        default: default.shown(),
        example: rule.example,
        varies: rule.varies,
        range: rule.range.map(|(min, max)| (text(&min), text(&max))),
    }
}
