//! `use`: the steps of another rule.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Block, Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "use",
        group: Group::Patterns,
        summary: "the steps of another rule: `use: nginx.access`",
        doc: "Takes the steps of a rule of the same set, or of one that ships with Tailrace, as if they stood here; its `match` is not asked. So a rule may say for which containers a known format is, read what stands around it, and go on with its fields.",
        form: Form::Short("rule"),
        options: &[OptionDoc {
            name: "rule",
            kind: OptionKind::Text,
            need: Need::Required,
            doc: "the rule's name",
        }],
        examples: &[
            "name: edge\nmatch: {namespace: ingress}\nsteps:\n  - pattern: 'edge: <message>'\n  - use: nginx.access\nexamples:\n  - line: 'edge: 10.0.0.1 - - [10/Oct/2023:13:55:36 +0200] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8\"'\n    fields: {source.ip: 10.0.0.1, http.response.status_code: 200, tailrace.rule: edge}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Use {
    steps: Block,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let name = options.text("rule")?;
    let place = options.place("rule");
    match reader.steps_of(name, place) {
        Some(steps) => Some(Box::new(Use { steps })),
        None => {
            let hint = "name a rule of these files, or one that ships".to_owned();
            reader.report(place, format!("there is no rule `{name}`"), Some(hint));
            None
        }
    }
}

impl Step for Use {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        work.run(&self.steps)
    }
}
