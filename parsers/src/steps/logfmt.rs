//! `logfmt`: pairs like `level=info msg="order placed"`.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "logfmt",
        group: Group::Formats,
        summary: "pairs like `level=info msg=\"order placed\" took=12`",
        doc: "The text begins with a pair, has two or more, and at most one other word for three pairs. Names find their fields as those of `json` do; values are text, numbers too, since the same key holds `17` and `n/a` in the life of a program. The text stays the message. A line that is logfmt needs no rule. For other separators see `key_value`.",
        form: Form::Options,
        options: &[],
        examples: &[
            "name: prefixed-logfmt\nmatch: {starts_with: 'app: '}\nsteps:\n  - pattern: 'app: <message>'\n  - logfmt: {}\nexamples:\n  - line: 'app: level=warn order=A17 took=12'\n    fields: {log.level: warn, attributes.order: A17, attributes.took: 12}\n  - line: 'app: starting'\n    no_match: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Logfmt;

fn read(_: &mut Reader<'_>, _: &Options<'_>) -> Option<Box<dyn Step>> {
    Some(Box::new(Logfmt))
}

impl Step for Logfmt {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let outer = work.fields.message.take();
        if !work.fields.take_logfmt(work.text.bytes(), from, to) {
            return Err(Failure::at(from, "this is not logfmt"));
        }
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }
}
