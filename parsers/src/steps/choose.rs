//! `if`, `try` and `stop`: which steps are run.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::fields::Fields;
use crate::formula::Formula;
use crate::rules::{Block, Options, Reader};
use crate::work::Work;

pub(super) static IF: Entry = Entry {
    doc: StepDoc {
        name: "if",
        group: Group::Choosing,
        summary: "steps for records that an expression holds for",
        doc: "An expression compares fields, of the record or of the stream's metadata, with texts in quotes, numbers, `true`, `false`, `null`, levels or other fields: `==`, `!=`, `<`, `<=`, `>`, `>=`, `contains`, `starts_with`, `ends_with`, `matches \"regex\"`, `in [\"a\", \"b\"]`, `in_network \"10.0.0.0/8\"`, `exists(field)`, `length(field) > 10`, joined by `and`, `or`, `not` and parentheses. A field without a value fails every comparison but `!=` and `not in`. `log.level` is ordered from `trace` to `fatal`; a word that is none of these stands in quotes, and `==`, `!=` and `in` alone can be asked of it. Names with other characters stand between backquotes.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "when",
                kind: OptionKind::Expression,
                need: Need::Required,
                doc: "the expression",
            },
            OptionDoc {
                name: "then",
                kind: OptionKind::Steps,
                need: Need::Required,
                doc: "steps for records that it holds for",
            },
            OptionDoc {
                name: "else",
                kind: OptionKind::Steps,
                need: Need::Optional,
                doc: "steps for the others",
            },
        ],
        examples: &[
            "name: shop\nsteps:\n  - json: {}\n  - if:\n      when: http.response.status_code >= 500 or log.level >= error\n      then:\n        - set: {event.outcome: failure}\n      else:\n        - set: {event.outcome: success}\nexamples:\n  - line: '{\"http.response.status_code\":503}'\n    fields: {event.outcome: failure}\n  - line: '{\"http.response.status_code\":200}'\n    fields: {event.outcome: success}\n",
        ],
    },
    read: read_if,
};

pub(super) static TRY: Entry = Entry {
    doc: StepDoc {
        name: "try",
        group: Group::Choosing,
        summary: "steps that may fail without the rule failing",
        doc: "When one of the steps fails, what they did is undone, and those of `else` are run instead, or none. So one rule can read a line that comes in several forms.",
        form: Form::Short("steps"),
        options: &[
            OptionDoc {
                name: "steps",
                kind: OptionKind::Steps,
                need: Need::Required,
                doc: "the steps to try",
            },
            OptionDoc {
                name: "else",
                kind: OptionKind::Steps,
                need: Need::Optional,
                doc: "steps for records on which they fail",
            },
        ],
        examples: &[
            "name: mixed\nsteps:\n  - pattern: '<log.level> <message>'\n  - try:\n      steps:\n        - json: {}\n      else:\n        - set: {format: plain}\nexamples:\n  - line: 'INFO {\"order\":\"A17\"}'\n    fields: {attributes.order: A17, attributes.format: null}\n  - line: 'INFO started'\n    fields: {message: started, attributes.format: plain}\n",
        ],
    },
    read: read_try,
};

pub(super) static STOP: Entry = Entry {
    doc: StepDoc {
        name: "stop",
        group: Group::Choosing,
        summary: "ends the rule: it has matched, later steps are not run",
        doc: "",
        form: Form::Flag,
        options: &[],
        examples: &[
            "name: shop\nsteps:\n  - pattern: '<log.level> <message>'\n  - if: {when: log.level < warn, then: [{stop: true}]}\n  - set: {event.kind: alert}\nexamples:\n  - line: INFO fine\n    fields: {log.level: info, event.kind: null}\n  - line: ERROR bad\n    fields: {event.kind: alert}\n",
        ],
    },
    read: |_, _| Some(Box::new(Stop)),
};

#[derive(Debug)]
struct If {
    when: Formula,
    then: Block,
    otherwise: Block,
}

#[derive(Debug)]
struct Try {
    steps: Block,
    otherwise: Block,
}

#[derive(Debug)]
struct Stop;

fn read_if(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let when = Formula::read(reader, options.text("when")?, options.place("when"));
    let then = options.block(reader, "then");
    let otherwise = options.block(reader, "else");
    Some(Box::new(If {
        when: when?,
        then,
        otherwise,
    }))
}

fn read_try(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let steps = options.block(reader, "steps");
    let otherwise = options.block(reader, "else");
    Some(Box::new(Try { steps, otherwise }))
}

impl Step for If {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        match self.when.holds(work) {
            true => work.run(&self.then),
            false => work.run(&self.otherwise),
        }
    }
}

impl Step for Try {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let own = work.step;
        let span = work.span;
        // Fields as they were: this step's memory, lent for the time.
        let mut before = work
            .memory::<Option<Box<Fields>>>()
            .and_then(Option::take)
            .unwrap_or_else(|| Box::new(Fields::new()));
        before.copy_from(work.fields);
        let flow = work.run(&self.steps);
        if flow.is_err() {
            work.fields.copy_from(&before);
            work.span = span;
            if let Some(trace) = &mut work.trace {
                trace.forgive();
            }
        }
        work.step = own;
        if let Some(kept) = work.memory::<Option<Box<Fields>>>() {
            *kept = Some(before);
        }
        match flow {
            Ok(flow) => Ok(flow),
            Err(_) => work.run(&self.otherwise),
        }
    }

    fn memory(&self) -> Option<Box<dyn std::any::Any + Send>> {
        Some(Box::new(Some(Box::new(Fields::new()))))
    }
}

impl Step for Stop {
    fn run(&self, _: &mut Work<'_>) -> Result<Flow, Failure> {
        Ok(Flow::Done)
    }
}
