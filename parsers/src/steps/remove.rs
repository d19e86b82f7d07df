//! `remove` and `keep`: which fields a document has.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::ecs::FieldSet;
use crate::rules::{Field, Options, Place, Reader};
use crate::value::Value;
use crate::work::Work;

pub(super) static REMOVE: Entry = Entry {
    doc: StepDoc {
        name: "remove",
        group: Group::Shaping,
        summary: "removes fields: `remove: [password, http.request.headers]`",
        doc: "Those that are not there are passed over. `message` becomes empty; time and level cannot be removed.",
        form: Form::Short("fields"),
        options: &[OptionDoc {
            name: "fields",
            kind: OptionKind::Fields,
            need: Need::Required,
            doc: "the fields",
        }],
        examples: &[
            "name: shop\nsteps:\n  - json: {}\n  - remove: [token, user.session]\nexamples:\n  - line: '{\"token\":\"x\",\"a\":1,\"user\":{\"session\":\"s\",\"n\":2}}'\n    fields: {attributes.token: null, attributes.a: 1, attributes.user.session: null, attributes.user.n: 2}\n",
        ],
    },
    read: read_remove,
};

pub(super) static KEEP: Entry = Entry {
    doc: StepDoc {
        name: "keep",
        group: Group::Shaping,
        summary: "removes all fields that the rule found but these: `keep: [user.name, order]`",
        doc: "`@timestamp`, `message`, `log.level`, what Tailrace itself writes and the stream's metadata stay in any case.",
        form: Form::Short("fields"),
        options: &[OptionDoc {
            name: "fields",
            kind: OptionKind::Fields,
            need: Need::Required,
            doc: "the fields",
        }],
        examples: &[
            "name: shop\nsteps:\n  - logfmt: {}\n  - keep: [order, user.name]\nexamples:\n  - line: 'order=1 user.name=bob debug=x source.ip=10.0.0.1'\n    fields: {attributes.order: 1, user.name: bob, attributes.debug: null, source.ip: null}\n",
        ],
    },
    read: read_keep,
};

#[derive(Debug)]
struct Remove {
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Keep {
    fields: Vec<Field>,
    /// Those of them that are fields of ECS.
    ecs: FieldSet,
}

fn read_remove(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let fields = options.fields(reader, "fields");
    for field in &fields {
        if matches!(field.target.place, Place::Time | Place::Level) {
            reader.report(
                options.place("fields"),
                "time and level cannot be removed",
                None,
            );
        }
    }
    Some(Box::new(Remove { fields }))
}

fn read_keep(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let fields = options.fields(reader, "fields");
    let mut ecs = FieldSet::default();
    for field in &fields {
        if let Place::Field(id) = field.target.place {
            ecs.insert(id);
        }
    }
    Some(Box::new(Keep { fields, ecs }))
}

impl Step for Remove {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for field in &self.fields {
            if field.target.place == Place::Message {
                let nothing = work.write(|_| {});
                work.put(field, Value::text(nothing))?;
            } else {
                // A name may stand more than once.
                while work.remove(field) {}
            }
        }
        Ok(Flow::Next)
    }
}

impl Step for Keep {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        work.fields.used = work.fields.used.intersection(&self.ecs);
        let mut kept = std::mem::take(&mut work.fields.kept);
        kept.clear();
        for field in &self.fields {
            if let (Place::Attribute(_), Some(value)) = (&field.target.place, work.get(field)) {
                kept.push((field.name, field.hash, value));
            }
        }
        work.fields.members.clear();
        work.fields.names_dirty |= kept.len() > 1;
        for (key, hash, value) in kept.drain(..) {
            work.fields.push_member(key, hash, value);
        }
        work.fields.kept = kept;
        Ok(Flow::Next)
    }
}
