//! `ltsv`: labelled tab-separated values.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit::Message;
use crate::json::{MAX_KEY, ValueKind};
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "ltsv",
        group: Group::Formats,
        summary: "labelled tab-separated values, `host:web-1<TAB>status:200`",
        doc: "Every pair becomes a field under its label. Names find their fields as those of `json` do; values are text, and `-` is text, too. The step fails when a pair has no colon.",
        form: Form::Options,
        options: &[OptionDoc {
            name: "label_separator",
            kind: OptionKind::Text,
            need: Need::Default("':'"),
            doc: "the character between label and value",
        }],
        examples: &[
            "name: t\nsteps:\n  - ltsv: {}\nexamples:\n  - line: \"time:2024-01-02T03:04:05Z\\tlevel:warn\\treq:GET /a:b\\tempty:\"\n    fields:\n      '@timestamp': 2024-01-02T03:04:05.000000000Z\n      log.level: warn\n      attributes.req: GET /a:b\n      attributes.empty: ''\n  - line: \"a:1\\tb\"\n    no_match: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Ltsv {
    separator: u8,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let separator = options.text("label_separator")?;
    let [separator] = separator.as_bytes() else {
        let what = "`label_separator` must be one ASCII character";
        reader.report(options.place("label_separator"), what, None);
        return None;
    };
    let separator = *separator;
    Some(Box::new(Ltsv { separator }))
}

impl Step for Ltsv {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let outer = work.fields.message.take();
        let mut out = work.emit();
        let mut at = from;
        while at < to {
            let rest = out.line().get(at..to).unwrap_or_default();
            let length = memchr::memchr2(b'\t', b'\n', rest).unwrap_or(rest.len());
            let end = at + length;
            if length == 0 {
                at += 1;
                continue;
            }
            let Some(colon) = memchr::memchr(self.separator, &rest[..length]) else {
                return Err(Failure::at(at, "a pair without its separator"));
            };
            // Some writers put blanks after the tab.
            let blanks = rest[..colon].iter().take_while(|b| **b == b' ').count();
            if colon == blanks || colon > MAX_KEY {
                return Err(Failure::at(at, "a label is empty or too long"));
            }
            if out.is_full() {
                return Err(Failure::at(at, "too many pairs"));
            }
            out.pair(
                (at + blanks, at + colon),
                (at + colon + 1, end),
                ValueKind::Text,
            );
            at = end + 1;
        }
        if out.n_pairs() == 0 {
            return Err(Failure::at(from, "there is no pair"));
        }
        out.finish(Message::Taken);
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }
}
