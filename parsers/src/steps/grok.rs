//! `grok`: Logstash's patterns.

use std::any::Any;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::deadline::TOO_LONG;
use crate::emit;
use crate::grok::{Flavour, Found, Grok, Library, Range, Scratch};
use crate::rules::{Field, Options, Place, Reader};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "grok",
        group: Group::Patterns,
        summary: "Logstash's patterns, `%{IPORHOST:source.address} took %{NUMBER:took:float}`",
        doc: "All core patterns of Logstash are there, with the names of ECS. `%{NAME:field}` puts the text into a field, `%{NAME:field:type}` demands a type (`int`, `float`, `bool`, `string`), `[a][b]` is `a.b`, and `(?<field>…)` captures what stands in it. Of several expressions the first that is found counts. An expression is found anywhere in the text unless it has `^` and `$`. It runs in time linear to the text; one that needs more (a back-reference) has a limit of steps, over which the step fails; the limit is lower on long lines, and over 1 MiB there is none that it allows. A field that is captured twice has the first of its texts.",
        form: Form::Short("expr"),
        options: &[
            OptionDoc {
                name: "expr",
                kind: OptionKind::Texts,
                need: Need::Required,
                doc: "the expression, or several",
            },
            OptionDoc {
                name: "patterns",
                kind: OptionKind::TextMap,
                need: Need::Optional,
                doc: "patterns of your own, by name",
            },
            OptionDoc {
                name: "flavour",
                kind: OptionKind::Choice(&["ecs-v1", "legacy"]),
                need: Need::Default("ecs-v1"),
                doc: "whose names the core patterns use: those of ECS, or Logstash's old ones (`clientip`)",
            },
        ],
        examples: &[
            "name: access\nsteps:\n  - grok: '^%{COMBINEDAPACHELOG}$'\nexamples:\n  - line: '10.0.0.1 - bob [10/Oct/2000:13:55:36 -0700] \"GET /a.gif HTTP/1.0\" 200 2326 \"-\" \"curl/8\"'\n    fields:\n      source.ip: 10.0.0.1\n      user.name: bob\n      attributes.timestamp: 10/Oct/2000:13:55:36 -0700\n      http.request.method: GET\n      url.original: /a.gif\n      http.response.status_code: 200\n      http.response.body.bytes: 2326\n      http.request.referrer: null\n      user_agent.original: curl/8\n",
            "name: queue\nsteps:\n  - grok:\n      expr: '%{QUEUE:[queue][name]} took %{NUMBER:took:float} %{GREEDYDATA:message}'\n      patterns: {QUEUE: 'q-[a-z]+'}\nexamples:\n  - line: 'a q-mail took 1.5 done é'\n    fields: {attributes.queue.name: q-mail, attributes.took: 1.5, message: done é}\n  - line: 'x-mail took 1.5 done'\n    no_match: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct GrokStep {
    all: Vec<(Grok, Vec<Captured>)>,
    /// Some attribute is an object by the name of another: `a` and `a.b`.
    names_clash: bool,
}

/// Where a capture goes.
#[derive(Debug)]
struct Captured {
    field: Field,
    /// Captures before it that go to the same place.
    earlier: Vec<usize>,
}

/// Memory of one thread.
#[derive(Debug)]
struct Memory {
    scratch: Vec<Scratch>,
    ranges: Vec<Range>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let flavour = match options.text("flavour") {
        Some("legacy") => Flavour::Legacy,
        _ => Flavour::Ecs,
    };
    let own = options.map("patterns").iter();
    let own = own.filter_map(|(key, node)| Some((key.text.as_str(), node.text()?)));
    let library = Library::with(flavour, own);
    let mut all = Vec::new();
    let expressions = options.texts("expr");
    for (place, expression) in &expressions {
        let grok = match Grok::compile(expression, &library) {
            Ok(grok) => grok,
            Err(wrong) => {
                reader.report(*place, wrong.what, wrong.hint);
                continue;
            }
        };
        let mut fields: Vec<Captured> = Vec::new();
        for capture in grok.captures() {
            let text = match capture.kind {
                Some(kind) => format!("{}:{kind}", capture.name),
                None => capture.name.clone(),
            };
            let Some(field) = reader.field(&text, *place) else {
                continue;
            };
            let is_same = |other: &Captured| other.field.target.place == field.target.place;
            let earlier = (0..fields.len()).filter(|i| is_same(&fields[*i])).collect();
            fields.push(Captured { field, earlier });
        }
        if fields.len() == grok.captures().len() {
            all.push((grok, fields));
        }
    }
    let fields = || all.iter().flat_map(|(_, fields)| fields);
    let names: Vec<_> = fields()
        .filter_map(|c| c.field.target.attribute())
        .collect();
    let is_within = |outer: &&str, inner: &&str| {
        let rest = inner.strip_prefix(*outer);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let names_clash = names.iter().any(|a| names.iter().any(|b| is_within(a, b)));
    let is_whole = all.len() == expressions.len();
    is_whole.then(|| Box::new(GrokStep { all, names_clash }) as _)
}

impl Step for GrokStep {
    fn memory(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Memory {
            scratch: self.all.iter().map(|(grok, _)| grok.scratch()).collect(),
            ranges: Vec::new(),
        }))
    }

    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let not_found = Failure::at(from, "the expression is not found");
        let slot = work.memory.get_mut(work.step).and_then(Option::as_mut);
        let Some(memory) = slot.and_then(|m| m.downcast_mut::<Memory>()) else {
            return Err(not_found);
        };
        let line = work.text.bytes();
        let marks = &work.fields.marks;
        for ((grok, fields), scratch) in self.all.iter().zip(&mut memory.scratch) {
            if work.deadline.is_over() {
                return Err(Failure::at(from, TOO_LONG));
            }
            match grok.find(line, (from, to), marks, scratch, &mut memory.ranges) {
                Found::Match => {}
                Found::NoMatch => continue,
                Found::OverLimit => {
                    return Err(Failure::at(from, "the expression takes too many steps"));
                }
            }
            work.fields.names_dirty |= self.names_clash || !work.fields.members.is_empty();
            for (Captured { field, earlier }, range) in fields.iter().zip(&memory.ranges) {
                let Some((start, end)) = *range else { continue };
                // A name may be captured in several places, of which most took no part.
                let is_taken = |i: &usize| matches!(memory.ranges.get(*i), Some(Some(_)));
                if earlier.iter().any(is_taken) {
                    continue;
                }
                let span = Span::line(start, end);
                if field.target.place == Place::Message {
                    work.span = (start, end);
                }
                match emit::fill(field, line, span, work.fields) {
                    // What is no word for a level is still what the pattern found.
                    Err(_) if field.target.place == Place::Level => {}
                    filled => filled?,
                }
            }
            return Ok(Flow::Next);
        }
        Err(not_found)
    }

    fn needs_back_tracking(&self) -> Option<&'static str> {
        let all = self.all.iter();
        all.filter_map(|(grok, _)| grok.needs_back_tracking())
            .next()
    }

    fn explain(&self, _: &Work<'_>, _: &mut Failure) -> Option<String> {
        let reason = self.needs_back_tracking()?;
        Some(format!(
            "the expression is not found; it is slow for {reason}"
        ))
    }
}
