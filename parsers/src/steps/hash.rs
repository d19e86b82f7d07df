//! `hash`: a value's fingerprint in its place.

use ring::{digest, hmac};

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Field, Options, Reader};
use crate::value::Value;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "hash",
        group: Group::Shaping,
        summary: "replaces values by their hash: `hash: {fields: user.email, key: '${HASH_KEY}'}`",
        doc: "SHA-256 as hexadecimal digits. With a key it is an HMAC: without the key no one can find out a value by hashing guesses, and equal values can still be counted and joined. Fields that are not there are passed over.",
        form: Form::Short("fields"),
        options: &[
            OptionDoc {
                name: "fields",
                kind: OptionKind::Fields,
                need: Need::Required,
                doc: "the fields",
            },
            OptionDoc {
                name: "key",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the secret; `${NAME}` stands for a variable of the environment",
            },
            OptionDoc {
                name: "digits",
                kind: OptionKind::Integer(8, 64),
                need: Need::Default("64"),
                doc: "how many digits are kept",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - hash: {fields: user.email, digits: 16}\nexamples:\n  - line: 'user.email=bob@example.org a=1'\n    fields: {user.email: 686b5e4cf4f963ad}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Hash {
    fields: Vec<Field>,
    key: Option<hmac::Key>,
    n_digits: usize,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let fields = options.fields(reader, "fields");
    let key = match options.text("key") {
        Some(text) => Some(key(reader.secret(text, options.place("key"))?.as_bytes())),
        None => None,
    };
    let n_digits = options.integer("digits") as usize;
    Some(Box::new(Hash {
        fields,
        key,
        n_digits,
    }))
}

/// The key of a keyed hash.
pub(crate) fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// Appends the first digits of a text's hash.
pub(crate) fn append_hash(
    out: &mut Vec<u8>,
    text: &[u8],
    key: Option<&hmac::Key>,
    n_digits: usize,
) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut append = |bytes: &[u8]| {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        out.extend(digits.take(n_digits).map(|digit| HEX[usize::from(digit)]));
    };
    match key {
        Some(key) => append(hmac::sign(key, text).as_ref()),
        None => append(digest::digest(&digest::SHA256, text).as_ref()),
    }
}

impl Step for Hash {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for field in &self.fields {
            let Some(span) = work.text_of(field) else {
                continue;
            };
            let mut scratch = std::mem::take(&mut work.fields.scratch);
            scratch.clear();
            append_hash(
                &mut scratch,
                work.bytes(span),
                self.key.as_ref(),
                self.n_digits,
            );
            let span = work.write(|out| out.extend_from_slice(&scratch));
            work.fields.scratch = scratch;
            work.put(field, Value::text(span))?;
        }
        Ok(Flow::Next)
    }
}
