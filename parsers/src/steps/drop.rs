//! `drop`: leaves the record out.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "drop",
        group: Group::Choosing,
        summary: "leaves the record out",
        doc: "The aggregator counts it under the rule's name, and what was dropped leaves its interval, so that an audit still adds up. Nothing can follow it.",
        form: Form::Flag,
        options: &[],
        examples: &[
            "name: health-checks\nmatch: {contains: ['\"GET /healthz ', kube-probe/]}\nsteps:\n  - drop: true\nexamples:\n  - line: '10.0.0.1 - - [x] \"GET /healthz HTTP/1.1\" 200'\n    dropped: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Drop;

fn read(_: &mut Reader<'_>, _: &Options<'_>) -> Option<Box<dyn Step>> {
    Some(Box::new(Drop))
}

impl Step for Drop {
    fn run(&self, _: &mut Work<'_>) -> Result<Flow, Failure> {
        Ok(Flow::Drop)
    }
}
