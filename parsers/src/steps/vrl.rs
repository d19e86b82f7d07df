//! `vrl`: a program in the Vector Remap Language, for what steps cannot say. Behind the cargo
//! feature `vrl`: the crate is as large as the rest of the engine many times over.

#[cfg(feature = "vrl")]
mod program;

use super::{Entry, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Options, Reader};

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "vrl",
        group: Group::Patterns,
        summary: "a program in the Vector Remap Language: `vrl: '.total = to_int!(.count) * 2'`",
        doc: "For what the other steps cannot say, at several times their cost. `.` is the record: `.message` is the text that the step works on, fields of ECS stand under their nested names, attributes at the top, the stream's metadata under `%` by their flat names. What the program leaves there are the record's fields, as those of a JSON line; what it removes is gone. An `abort` and a failed call (`!`) fail the step. Functions that reach the network, files or the environment are not there. Programs of Tailrace that are built without the cargo feature `vrl`, as the shipped ones are, refuse rules with this step.",
        form: Form::Short("source"),
        options: &[OptionDoc {
            name: "source",
            kind: OptionKind::Text,
            need: Need::Required,
            doc: "the program",
        }],
        examples: &[
            "name: orders\nsteps:\n  - pattern: '<user.name> ordered <items>'\n  - vrl: |\n      .items = split(to_string!(.items), \",\")\n      .total = length(.items)\n      .user.name = upcase(string!(.user.name))\n      del(.message)\nexamples:\n  - line: 'bob ordered a,b,c'\n    fields: {user.name: BOB, attributes.total: 3}\n",
        ],
    },
    read,
};

#[cfg(feature = "vrl")]
fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let step = program::Vrl::compile(options.text("source")?);
    step.map_err(|what| reader.report(options.place("source"), what, None))
        .ok()
        .map(|step| Box::new(step) as _)
}

#[cfg(not(feature = "vrl"))]
fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let hint = "build it with the cargo feature `vrl`, or say it by other steps".to_owned();
    let what = "this program is built without `vrl`";
    reader.report(options.place("source"), what, Some(hint));
    None
}
