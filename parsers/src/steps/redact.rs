//! `redact`: keeps secrets out of the document.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::redact::{Detector, Redaction, RedactionOptions};
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "redact",
        group: Group::Protecting,
        summary: "replaces secrets in all of the document: `redact: {}`",
        doc: "Works on the finished document: message, fields, texts within objects, whatever steps come after it. `email`, `card` (with its check digit), `iban` (likewise), `ip`, `jwt`, `bearer` (also `Basic`), `aws_key`, `private_key` (PEM blocks), `password` (in URLs, and values of pairs whose name ends like a secret's). Without `detectors` all of them but `ip`. A find becomes `[redacted:email]`, or with a key `[email:…]` with sixteen digits of a keyed hash, so that equal values can still be counted. Documents that had any are tagged `redacted`. Where finding the matches of your own expressions takes more than 200 ms of a record, the rest of the text is replaced, tagged `over_budget`. The aggregator's `redact: [usual]` does the same for every record of the installation, whatever its rule.",
        form: Form::Short("detectors"),
        options: &[
            OptionDoc {
                name: "detectors",
                kind: OptionKind::Choices(&Detector::NAMES),
                need: Need::Optional,
                doc: "what to look for",
            },
            OptionDoc {
                name: "regexes",
                kind: OptionKind::TextMap,
                need: Need::Optional,
                doc: "names, each with an expression of one's own",
            },
            OptionDoc {
                name: "secret_names",
                kind: OptionKind::Bool,
                need: Need::Default("true"),
                doc: "also values of fields that are named like secrets (`db_password`, `X-Api-Key`), whatever they look like",
            },
            OptionDoc {
                name: "key",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "replace by a hash with this secret; `${NAME}` stands for a variable of the environment",
            },
            OptionDoc {
                name: "drop",
                kind: OptionKind::Bool,
                need: Need::Default("false"),
                doc: "remove a field that holds a secret as a whole; in the message it is replaced",
            },
        ],
        examples: &[
            "name: shop\nsteps:\n  - json: {}\n  - redact: {}\nexamples:\n  - line: '{\"msg\":\"mail to bob@example.org\",\"api_key\":\"x1\",\"user\":{\"card\":\"4111 1111 1111 1111\",\"n\":1}}'\n    fields: {message: 'mail to [redacted:email]', attributes.api_key: '[redacted:secret]', attributes.user.card: '[redacted:card]', attributes.user.n: 1}\n",
            "name: own\nsteps:\n  - pattern: '<message>'\n  - redact: {detectors: [ip], regexes: {customer: 'C-\\d+'}}\nexamples:\n  - line: 'C-17 from 10.0.0.1'\n    fields: {message: '[redacted:customer] from [redacted:ip]'}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Redact {
    /// Its number among the set's.
    number: u32,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut redaction = RedactionOptions::usual();
    let given: Vec<Detector> = options
        .texts("detectors")
        .into_iter()
        .filter_map(|(_, name)| Detector::find(name))
        .collect();
    if options.node("detectors").is_some() || options.node("regexes").is_some() {
        redaction.detectors = given;
    }
    redaction.secret_names = options.flag("secret_names");
    redaction.drop = options.flag("drop");
    if let Some(text) = options.text("key") {
        let key = reader.secret(text, options.place("key"))?;
        redaction.hash_key = Some(key.into_bytes());
    }
    redaction.expressions = options
        .map("regexes")
        .iter()
        .filter_map(|(name, value)| Some((name.text.clone(), value.text()?.to_owned())))
        .collect();
    match Redaction::new(&redaction) {
        Ok(redaction) => {
            let number = reader.add_redaction(redaction);
            Some(Box::new(Redact { number }))
        }
        Err(what) => {
            let place = options.place("regexes");
            reader.report(place, format!("bad expression {what}"), None);
            None
        }
    }
}

impl Step for Redact {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        work.fields.redactions.push(self.number);
        Ok(Flow::Next)
    }
}
