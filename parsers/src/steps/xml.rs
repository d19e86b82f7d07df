//! `xml`: one element, as the JSON object that says the same.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::escape;
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "xml",
        group: Group::Formats,
        summary: "one XML element, `<event id=\"7\"><user>bob</user></event>`",
        doc: "Elements become objects under their names, those of one name in a row arrays, attributes members with `attribute_prefix` before their names, text beside other content `text_key`. An element that holds text alone becomes that text; `true`, `false`, `null` and numbers get their types with `types`. Comments, processing instructions and document types are skipped; entities of the document itself are not expanded. The step fails when the text is not one well-formed element.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "attribute_prefix",
                kind: OptionKind::Text,
                need: Need::Default("'@'"),
                doc: "put before names of attributes",
            },
            OptionDoc {
                name: "text_key",
                kind: OptionKind::Text,
                need: Need::Default("text"),
                doc: "what text beside attributes or elements is called",
            },
            OptionDoc {
                name: "types",
                kind: OptionKind::Bool,
                need: Need::Default("true"),
                doc: "write booleans, numbers and null as such",
            },
        ],
        examples: &[
            "name: x\nmatch: {starts_with: '<'}\nsteps:\n  - xml: {}\nexamples:\n  - line: '<?xml version=\"1.0\"?><event id=\"7\"><user>bob &amp; é</user><tag>a</tag><tag>b</tag><!-- c --><n>1</n></event>'\n    fields:\n      attributes.event.@id: '7'\n      attributes.event.user: bob & é\n      attributes.event.tag: '[\"a\",\"b\"]'\n      attributes.event.n: 1\n  - line: '<event><user>bob</event>'\n    no_match: true\n",
        ],
    },
    read,
};

/// Deepest nesting; beyond it the step fails.
const MAX_DEPTH: usize = 32;
/// Elements and attributes of one record: each is compared with those beside it, and a document
/// keeps no more names than `json` does in any case.
const MAX_PARTS: usize = 4096;

#[derive(Debug)]
struct Xml {
    prefix: Box<str>,
    text_key: Box<str>,
    has_types: bool,
}

fn read(_: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    Some(Box::new(Xml {
        prefix: options.text("attribute_prefix").unwrap_or_default().into(),
        text_key: options.text("text_key").unwrap_or_default().into(),
        has_types: options.flag("types"),
    }))
}

impl Step for Xml {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let mut json = Vec::new();
        let line = work.text.bytes();
        let mut parser = Parser {
            options: self,
            line: line.get(..to).unwrap_or_default(),
            at: from,
            n_parts: 0,
        };
        parser.document(&mut json)?;
        let span = work.text.append(&json);
        let outer = work.fields.message.take();
        if !work.fields.take_json(work.text.bytes(), span.0, span.1) {
            return Err(Failure::at(
                from,
                "the element has too many or too deep parts",
            ));
        }
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }
}

struct Parser<'p> {
    options: &'p Xml,
    line: &'p [u8],
    at: usize,
    /// Elements and attributes so far.
    n_parts: usize,
}

/// Members of an element so far, each written as JSON.
type Members = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

fn add(members: &mut Members, name: &[u8], value: Vec<u8>) {
    match members.iter_mut().find(|(other, _)| other == name) {
        Some((_, values)) => values.push(value),
        None => members.push((name.to_vec(), vec![value])),
    }
}

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, why: &'static str) -> Result<T, Failure> {
        Err(Failure::at(self.at.min(self.line.len()), why))
    }

    fn skip_space(&mut self) {
        self.at += self
            .rest()
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
    }

    /// Goes on behind `end`.
    fn skip_past(&mut self, end: &[u8]) -> Result<(), Failure> {
        match memchr::memmem::find(self.rest(), end) {
            Some(length) => {
                self.at += length + end.len();
                Ok(())
            }
            None => self.fail("a comment or declaration is not closed"),
        }
    }

    /// Comments, processing instructions, document types and blanks between elements.
    fn skip_misc(&mut self) -> Result<(), Failure> {
        loop {
            self.skip_space();
            if self.rest().starts_with(b"<!--") {
                self.skip_past(b"-->")?;
            } else if self.rest().starts_with(b"<?") {
                self.skip_past(b"?>")?;
            } else if self.rest().starts_with(b"<!DOCTYPE") {
                let rest = self.rest();
                let close = memchr::memchr(b'>', rest).unwrap_or_default();
                // A subset of its own has declarations, which end with the same sign.
                let has_subset = memchr::memchr(b'[', &rest[..close]).is_some();
                self.skip_past(if has_subset { &b"]>"[..] } else { b">" })?;
            } else {
                return Ok(());
            }
        }
    }

    fn document(&mut self, json: &mut Vec<u8>) -> Result<(), Failure> {
        self.skip_misc()?;
        json.push(b'{');
        let (name, value) = self.element(1)?;
        escape::append_string(json, &name);
        json.push(b':');
        // What is a scalar at the outermost level is one of the object, too.
        json.extend_from_slice(&value);
        json.push(b'}');
        self.skip_misc()?;
        match self.rest() {
            [] => Ok(()),
            _ => self.fail("text follows the element"),
        }
    }

    fn name(&mut self) -> Result<Vec<u8>, Failure> {
        let ends = |b: &u8| b.is_ascii_whitespace() || b"=/<>\"'&".contains(b);
        let length = self
            .rest()
            .iter()
            .position(ends)
            .unwrap_or(self.rest().len());
        if length == 0 {
            return self.fail("a name should follow");
        }
        let name = self.rest()[..length].to_vec();
        self.at += length;
        Ok(name)
    }

    /// The element at a `<`: its name and its value as JSON.
    fn element(&mut self, depth: usize) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        self.n_parts += 1;
        if depth > MAX_DEPTH || self.n_parts > MAX_PARTS {
            return self.fail("too many or too deeply nested elements");
        }
        if self.rest().first() != Some(&b'<') {
            return self.fail("an element should begin here");
        }
        self.at += 1;
        let name = self.name()?;
        let mut members = Members::new();
        loop {
            self.skip_space();
            if self.rest().starts_with(b"/>") {
                self.at += 2;
                return Ok((name, self.value(members, Vec::new())));
            }
            if self.rest().first() == Some(&b'>') {
                self.at += 1;
                break;
            }
            self.attribute(&mut members)?;
        }
        let text = self.content(&name, &mut members, depth)?;
        Ok((name, self.value(members, text)))
    }

    fn attribute(&mut self, members: &mut Members) -> Result<(), Failure> {
        self.n_parts += 1;
        if self.n_parts > MAX_PARTS {
            return self.fail("too many attributes");
        }
        let name = self.name()?;
        self.skip_space();
        if self.rest().first() != Some(&b'=') {
            return self.fail("`=` should follow the name of an attribute");
        }
        self.at += 1;
        self.skip_space();
        let quote = match self.rest().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return self.fail("an attribute's value should be in quotes"),
        };
        self.at += 1;
        let Some(length) = memchr::memchr(quote, self.rest()) else {
            return self.fail("a quote is not closed");
        };
        let mut text = Vec::new();
        append_text(&mut text, &self.rest()[..length]);
        self.at += length + 1;
        let mut json = Vec::new();
        escape::append_string(&mut json, &text);
        let mut key = self.options.prefix.as_bytes().to_vec();
        key.extend_from_slice(&name);
        add(members, &key, json);
        Ok(())
    }

    /// What stands between the tags of an element: elements go to `members`, text comes back, a
    /// piece for each run.
    fn content(
        &mut self,
        name: &[u8],
        members: &mut Members,
        depth: usize,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let mut runs: Vec<Vec<u8>> = Vec::new();
        let mut run = Vec::new();
        loop {
            let Some(length) = memchr::memchr(b'<', self.rest()) else {
                return self.fail("an element is not closed");
            };
            append_text(&mut run, &self.rest()[..length]);
            self.at += length;
            if self.rest().starts_with(b"<![CDATA[") {
                self.at += 9;
                let Some(length) = memchr::memmem::find(self.rest(), b"]]>") else {
                    return self.fail("a CDATA section is not closed");
                };
                run.extend_from_slice(&self.rest()[..length]);
                self.at += length + 3;
                continue;
            }
            if self.rest().starts_with(b"<!--") {
                self.skip_past(b"-->")?;
                continue;
            }
            if self.rest().starts_with(b"<?") {
                self.skip_past(b"?>")?;
                continue;
            }
            let trimmed = run.trim_ascii();
            if !trimmed.is_empty() {
                runs.push(trimmed.to_vec());
            }
            run.clear();
            if self.rest().starts_with(b"</") {
                self.at += 2;
                if self.name()? != name {
                    return self.fail("another element is closed than was opened");
                }
                self.skip_space();
                if self.rest().first() != Some(&b'>') {
                    return self.fail("a closing tag is not closed");
                }
                self.at += 1;
                return Ok(runs);
            }
            let (name, value) = self.element(depth + 1)?;
            add(members, &name, value);
        }
    }

    /// An element's value as JSON.
    fn value(&self, mut members: Members, runs: Vec<Vec<u8>>) -> Vec<u8> {
        if members.is_empty()
            && let [text] = &runs[..]
        {
            return self.scalar(text);
        }
        for run in runs {
            let value = self.scalar(&run);
            add(&mut members, self.options.text_key.as_bytes(), value);
        }
        let mut json = vec![b'{'];
        for (name, values) in members {
            if json.len() > 1 {
                json.push(b',');
            }
            escape::append_string(&mut json, &name);
            json.push(b':');
            match &values[..] {
                [value] => json.extend_from_slice(value),
                _ => {
                    json.push(b'[');
                    json.extend_from_slice(&values.join(&b','));
                    json.push(b']');
                }
            }
        }
        json.push(b'}');
        json
    }

    fn scalar(&self, text: &[u8]) -> Vec<u8> {
        let is_number = crate::emit::number_at(text, false) == Some(0);
        if self.options.has_types && (is_number || matches!(text, b"true" | b"false" | b"null")) {
            return text.to_vec();
        }
        let mut json = Vec::new();
        escape::append_string(&mut json, text);
        json
    }
}

/// Appends text with its entities undone; unknown ones stay as they are.
fn append_text(to: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = memchr::memchr(b'&', text) {
        to.extend_from_slice(&text[..at]);
        text = &text[at..];
        let end = memchr::memchr(b';', text.get(..16.min(text.len())).unwrap_or_default());
        let name = end.and_then(|end| text.get(1..end)).unwrap_or_default();
        let undone = match name {
            b"amp" => Some('&'),
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            [b'#', number @ ..] => character(number),
            _ => None,
        };
        match undone {
            Some(c) => {
                to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                text = &text[name.len() + 2..];
            }
            None => {
                to.push(b'&');
                text = &text[1..];
            }
        }
    }
    to.extend_from_slice(text);
}

fn character(number: &[u8]) -> Option<char> {
    let number = std::str::from_utf8(number).ok()?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?).filter(|c| *c != '\0')
}
