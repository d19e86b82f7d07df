//! Steps that change the text of fields: `lowercase`, `uppercase`, `trim`, `replace`.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::deadline::{Deadline, TOO_LONG};
use crate::expression::Expression;
use crate::rules::{Field, Options, Reader};
use crate::work::Work;

const FIELDS: OptionDoc = OptionDoc {
    name: "fields",
    kind: OptionKind::Fields,
    need: Need::Required,
    doc: "the fields; those that are not there are passed over",
};

pub(super) static LOWERCASE: Entry = Entry {
    doc: StepDoc {
        name: "lowercase",
        group: Group::Shaping,
        summary: "makes letters small: `lowercase: [http.request.method]`",
        doc: "",
        form: Form::Short("fields"),
        options: &[FIELDS],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<host> <rest>'\n  - lowercase: host\nexamples:\n  - line: WEB-Ä x\n    fields: {attributes.host: web-ä}\n",
        ],
    },
    read: |reader, options| read_case(reader, options, Change::Lower),
};

pub(super) static UPPERCASE: Entry = Entry {
    doc: StepDoc {
        name: "uppercase",
        group: Group::Shaping,
        summary: "makes letters capital: `uppercase: currency`",
        doc: "",
        form: Form::Short("fields"),
        options: &[FIELDS],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<currency> <rest>'\n  - uppercase: currency\nexamples:\n  - line: eur 12\n    fields: {attributes.currency: EUR}\n",
        ],
    },
    read: |reader, options| read_case(reader, options, Change::Upper),
};

pub(super) static TRIM: Entry = Entry {
    doc: StepDoc {
        name: "trim",
        group: Group::Shaping,
        summary: "takes white space, or other characters, off both ends",
        doc: "",
        form: Form::Short("fields"),
        options: &[
            FIELDS,
            OptionDoc {
                name: "characters",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "what to take off instead of white space",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: 'user=<user.name>,<rest>'\n  - trim: {fields: user.name, characters: '\"'''}\n  - trim: rest\nexamples:\n  - line: 'user=\"bob\",  x '\n    fields: {user.name: bob, attributes.rest: x}\n",
        ],
    },
    read: |reader, options| {
        let characters = options.text("characters").unwrap_or_default();
        read_case(reader, options, Change::Trim(characters.to_owned()))
    },
};

pub(super) static REPLACE: Entry = Entry {
    doc: StepDoc {
        name: "replace",
        group: Group::Shaping,
        summary: "replaces every match of an expression, or every occurrence of a text",
        doc: "In `with`, `$1` or `${name}` stands for a group of the expression, `$$` for a `$`. With `text` it is taken as it is.",
        form: Form::Options,
        options: &[
            FIELDS,
            OptionDoc {
                name: "regex",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "an expression; this or `text`",
            },
            OptionDoc {
                name: "text",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "a text",
            },
            OptionDoc {
                name: "with",
                kind: OptionKind::Text,
                need: Need::Default("''"),
                doc: "what stands there instead",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<http.request.method> <url.path>'\n  - replace: {fields: url.path, regex: '/\\d+', with: '/:id'}\n  - replace: {fields: http.request.method, text: T, with: t}\nexamples:\n  - line: GET /order/17/item/4\n    fields: {url.path: '/order/:id/item/:id', http.request.method: GEt}\n",
        ],
    },
    read: read_replace,
};

#[derive(Debug)]
enum Change {
    Lower,
    Upper,
    Trim(String),
    Text(Box<memchr::memmem::Finder<'static>>, String),
    Regex(Box<Expression>, String),
}

#[derive(Debug)]
struct Text {
    fields: Vec<Field>,
    change: Change,
}

fn read_case(
    reader: &mut Reader<'_>,
    options: &Options<'_>,
    change: Change,
) -> Option<Box<dyn Step>> {
    let fields = options.fields(reader, "fields");
    Some(Box::new(Text { fields, change }))
}

fn read_replace(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let with = options.text("with").unwrap_or_default().to_owned();
    let change = match (options.text("regex"), options.text("text")) {
        (Some(text), None) => match Expression::compile(text) {
            Ok(expression) => Change::Regex(Box::new(expression), with),
            Err(what) => {
                let place = options.place("regex");
                reader.report(place, format!("bad expression: {what}"), None);
                return None;
            }
        },
        (None, Some(text)) if !text.is_empty() => Change::Text(
            Box::new(memchr::memmem::Finder::new(text).into_owned()),
            with,
        ),
        _ => {
            let what = "`replace` needs one of `regex` and `text`";
            reader.report(options.place, what, None);
            return None;
        }
    };
    read_case(reader, options, change)
}

impl Change {
    /// Appends the changed text; false when there is no change.
    ///
    /// # Errors
    ///
    /// When it takes too long.
    fn append(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
        deadline: &mut Deadline,
    ) -> Result<bool, &'static str> {
        match self {
            Change::Lower | Change::Upper if text.is_ascii() => {
                out.extend_from_slice(text);
                match self {
                    Change::Lower => out.make_ascii_lowercase(),
                    _ => out.make_ascii_uppercase(),
                }
            }
            Change::Lower | Change::Upper => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                let changed = match self {
                    Change::Lower => text.to_lowercase(),
                    _ => text.to_uppercase(),
                };
                out.extend_from_slice(changed.as_bytes());
            }
            Change::Trim(characters) => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                let trimmed = match characters.is_empty() {
                    true => text.trim(),
                    false => text.trim_matches(|c| characters.contains(c)),
                };
                out.extend_from_slice(trimmed.as_bytes());
            }
            Change::Text(finder, with) => {
                let mut done = 0;
                for at in finder.find_iter(text) {
                    out.extend_from_slice(&text[done..at]);
                    out.extend_from_slice(with.as_bytes());
                    done = at + finder.needle().len();
                }
                out.extend_from_slice(&text[done..]);
            }
            Change::Regex(expression, with) => {
                let gives_up = || deadline.is_over_after_turn();
                if !expression.append_replaced(text, with, out, gives_up) {
                    return Err(TOO_LONG);
                }
            }
        }
        Ok(out.as_slice() != text)
    }
}

impl Step for Text {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for field in &self.fields {
            let mut deadline = work.deadline;
            let changed = work.change(field, |text, out| {
                self.change.append(text, out, &mut deadline)
            });
            work.deadline = deadline;
            changed?;
        }
        Ok(Flow::Next)
    }
}
