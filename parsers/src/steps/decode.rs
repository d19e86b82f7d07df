//! `decode`: text that stands in another form.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::decode;
use crate::rules::{Field, Options, Place, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "decode",
        group: Group::Shaping,
        summary: "undoes an encoding: `decode: {field: payload, as: base64}`",
        doc: "`base64` (plain or for URLs), `url` (`%20` and `+`), `ansi` (colours are taken off), `json` (an object within a text: its members become fields, as those of the step `json` do, and the field is removed). When the field is `message`, later steps work on what it became. The step fails when the field is there and is not so encoded.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Default("message"),
                doc: "the field; when it is not there, nothing is done",
            },
            OptionDoc {
                name: "as",
                kind: OptionKind::Choice(&["base64", "url", "json", "ansi"]),
                need: Need::Required,
                doc: "how it is encoded",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - json: {}\n  - decode: {field: payload, as: base64}\n  - decode: {field: inner, as: json}\n  - decode: {as: ansi}\nexamples:\n  - line: '{\"payload\":\"aGVsbG8=\",\"inner\":\"{\\\"order\\\":\\\"A17\\\"}\",\"msg\":\"\\u001b[31mred\\u001b[0m\"}'\n    fields: {attributes.payload: hello, attributes.order: A17, attributes.inner: null, message: red}\n",
            "name: wrapped\nsteps:\n  - pattern: 'b64 <message>'\n  - decode: {as: base64}\n  - pattern: '<a> <b>'\nexamples:\n  - line: 'b64 eCB5'\n    fields: {attributes.a: x, attributes.b: 'y'}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Decode {
    field: Field,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    Url,
    Json,
    Ansi,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let encoding = match options.text("as")? {
        "base64" => Encoding::Base64,
        "url" => Encoding::Url,
        "json" => Encoding::Json,
        _ => Encoding::Ansi,
    };
    let field = options.field(reader, "field")?;
    Some(Box::new(Decode { field, encoding }))
}

impl Step for Decode {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        if self.encoding == Encoding::Json {
            return self.json(work);
        }
        work.change(&self.field, |text, out| match self.encoding {
            Encoding::Base64 if decode::append_base64(out, text) => Ok(true),
            Encoding::Base64 => Err("this is no base64"),
            Encoding::Url => {
                decode::append_percent(out, text);
                Ok(true)
            }
            _ => {
                decode::append_without_ansi(out, text);
                Ok(true)
            }
        })?;
        Ok(Flow::Next)
    }
}

impl Decode {
    fn json(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        // It becomes part of the text, where JSON is taken apart.
        let (from, to) = work.grow(span);
        let outer = work.fields.message.take();
        if !work.fields.take_json(work.text.bytes(), from, to) {
            work.fields.message = outer;
            return Err(Failure::at(
                span.start as usize,
                "this is not one JSON object",
            ));
        }
        work.fields.message = work.fields.message.or(outer);
        if self.field.target.place != Place::Message {
            work.remove(&self.field);
        }
        Ok(Flow::Next)
    }
}
