//! `rename` and `copy`: values to other names.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Field, Options, Reader};
use crate::work::Work;

pub(super) static RENAME: Entry = Entry {
    doc: StepDoc {
        name: "rename",
        group: Group::Shaping,
        summary: "moves values to other fields: `rename: {usr: user.name}`",
        doc: "A field that is not there is passed over. The value must fit the type of the field it goes to, else the step fails. What stood there before is replaced.",
        form: Form::Map("fields"),
        options: &[OptionDoc {
            name: "fields",
            kind: OptionKind::FieldMap,
            need: Need::Required,
            doc: "old names, each with the new one",
        }],
        examples: &[
            "name: shop\nsteps:\n  - json: {}\n  - rename: {usr: user.name, http.code: http.response.status_code}\nexamples:\n  - line: '{\"usr\":\"bob\",\"http\":{\"code\":404,\"x\":1}}'\n    fields: {user.name: bob, http.response.status_code: 404, attributes.usr: null, attributes.http.x: 1}\n",
        ],
    },
    read: |reader, options| read(reader, options, true),
};

pub(super) static COPY: Entry = Entry {
    doc: StepDoc {
        name: "copy",
        group: Group::Shaping,
        summary: "copies values to other fields: `copy: {kubernetes.namespace: team}`",
        doc: "As `rename`, and the old field stays. The stream's metadata can be copied from.",
        form: Form::Map("fields"),
        options: &[OptionDoc {
            name: "fields",
            kind: OptionKind::FieldMap,
            need: Need::Required,
            doc: "names to copy from, each with the one to copy to",
        }],
        examples: &[
            "name: shop\nsteps:\n  - logfmt: {}\n  - copy: {order: transaction.id, kubernetes.namespace: team}\nexamples:\n  - line: 'order=A17 took=1'\n    metadata: {kubernetes.namespace: shop}\n    fields: {transaction.id: A17, attributes.order: A17, attributes.team: shop}\n",
        ],
    },
    read: |reader, options| read(reader, options, false),
};

#[derive(Debug)]
struct Rename {
    fields: Vec<(Field, Field)>,
    removes: bool,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>, removes: bool) -> Option<Box<dyn Step>> {
    let mut fields = Vec::new();
    for (key, value) in options.map("fields") {
        let from = match removes {
            true => reader.field(&key.text, key.place),
            false => reader.source(&key.text, key.place),
        };
        let to = reader.field(value.text()?, value.place);
        fields.push((from?, to?));
    }
    Some(Box::new(Rename { fields, removes }))
}

impl Step for Rename {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for (from, to) in &self.fields {
            let Some(value) = work.get(from) else {
                continue;
            };
            if self.removes {
                work.remove(from);
            }
            work.put(to, value)?;
        }
        Ok(Flow::Next)
    }
}
