//! Formats that are made of other steps: rules that ship, by one word.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::rules::{Block, Options, Reader};
use crate::work::Work;

/// Steps of several rules: those of the first that fits.
#[derive(Debug)]
struct FirstOf(Vec<Block>);

fn read(reader: &mut Reader<'_>, options: &Options<'_>, rules: &[&str]) -> Option<Box<dyn Step>> {
    let block = |name: &&str| {
        let block = reader.alternative_of(name, options.place);
        debug_assert!(block.is_some(), "`{name}` ships");
        block
    };
    let blocks = rules.iter().map(block).collect::<Option<_>>()?;
    Some(Box::new(FirstOf(blocks)))
}

impl Step for FirstOf {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (mark, span) = (work.fields.mark(), work.span);
        let mut furthest = Failure::at(span.0, "the text has another format");
        for block in &self.0 {
            match work.run(block) {
                Ok(flow) => return Ok(flow),
                Err(failure) => {
                    if failure.at > furthest.at {
                        furthest = failure;
                    }
                    work.fields.reset(&mark);
                    work.span = span;
                }
            }
        }
        Err(furthest)
    }
}

/// Entries, and `ALL` of them: a name, what it is, the rules it stands for, and a line with a field.
macro_rules! words {
    ($($entry:ident $name:literal: $summary:literal, $rules:expr, $line:literal => $field:literal;)*) => {
        $(
            static $entry: Entry = Entry {
                doc: StepDoc {
                    name: $name,
                    group: Group::Formats,
                    summary: $summary,
                    doc: concat!(
                        "Stands for the rules that ship under this name, of which the first that fits counts. ",
                        "`use` takes a single one of them."
                    ),
                    form: Form::Options,
                    options: &[],
                    examples: &[concat!(
                        "name: a\nsteps:\n  - ", $name, ": {}\nexamples:\n  - line: ", $line,
                        "\n    fields: {", $field, "}\n"
                    )],
                },
                read: |reader, options| read(reader, options, $rules),
            };
        )*

        /// Every word, in the order of the reference.
        pub(super) static ALL: &[&Entry] = &[$(&$entry),*];
    };
}

words! {
    NGINX "nginx": "access and error logs of nginx",
        &["nginx.access", "nginx.forwarded", "nginx.bad_request", "nginx.error"],
        "'2021/04/01 13:02:31 [error] 31#31: *1 open() \"/x\" failed, client: 172.17.0.1, server: localhost'" => "log.level: error, client.ip: 172.17.0.1";
}
