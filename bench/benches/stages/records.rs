//! The records of a sample, and their documents: for the stages behind framing.

use std::{path::Path, sync::Arc};

use bench::{
    container_log::Format,
    stages::{Lines, Sample},
};
use framing::{Flush, Frames, Input, Iostream, Options, Positions, Record, frame};
use parsers::{Outcome, Parser, RecordView, RuleSet, StreamContext};
use store::{append_action, document_id};

/// Where documents go.
pub(crate) const INDEX: &str = "logs-shop.web-default";

const METADATA: &[u8] = br#"{"container.id":"0123456789abcdef","container.image.name":"shop/web:1","kubernetes.namespace":"shop","kubernetes.pod.name":"web-7d9c5b-x2x4z","kubernetes.pod.uid":"3e0f1c5a-0000-4000-8000-000000000000","kubernetes.container.name":"web","kubernetes.node.name":"node-1","service.name":"web","log.file.path":"/var/log/pods/shop_web-7d9c5b-x2x4z_3e0f1c5a/web/0.log"}"#;

/// When records are processed: a minute after the first one was written.
const NOW_NS: i64 = 1_795_255_260_000_000_000;

/// A sample, framed.
pub(crate) struct Records {
    /// Bytes that programs wrote: the lines alone.
    pub(crate) n_bytes: usize,
    file: Vec<u8>,
    frames: Frames,
}

impl Records {
    pub(crate) fn of(lines: Lines) -> Self {
        let sample = Sample::of(lines);
        let file = sample.file(Format::Cri).bytes;
        let mut frames = Frames::new();
        frame(
            framing::Format::Cri,
            &[input(&file)],
            Flush::Hard,
            &Options::default(),
            &mut frames,
        );
        Self {
            n_bytes: sample.text.len(),
            file,
            frames,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.records().len()
    }

    /// Gives each record, as framing and as the parser sees it.
    pub(crate) fn each(&self, mut take: impl FnMut(&Record, &RecordView<'_>)) {
        let inputs = [input(&self.file)];
        for record in self.frames.records() {
            let view = RecordView {
                message: self.frames.message(record, &inputs),
                iostream: record.iostream.map(name),
                time_ns: record.time_ns,
                now_ns: NOW_NS,
                stream: record.stream,
                offset: record.offset,
                length: record.length,
                parts: &[],
                trace_at: record.trace_at.map(|at| at as usize),
                tags: &[],
                unparsed: false,
            };
            take(record, &view);
        }
    }

    /// Action lines and documents, by all rules that ship, and how many documents there are.
    pub(crate) fn body(&self) -> (Vec<u8>, usize) {
        let (mut parser, stream) = (parser(RuleSet::shipped()), stream());
        let (mut body, mut document, mut n_docs) = (Vec::new(), Vec::new(), 0);
        self.each(|record, view| {
            document.clear();
            let outcome = parser.append_document(view, &stream, &mut document);
            if let Outcome::Document(_) = outcome {
                let id = document_id(record.stream, record.offset, record.hash);
                append_action(&mut body, INDEX, &id);
                body.extend_from_slice(&document);
                body.push(b'\n');
                n_docs += 1;
            }
        });
        (body, n_docs)
    }
}

/// A parser with the rules of these files, given by name and text.
pub(crate) fn parser(files: &[(&str, &str)]) -> Parser {
    let texts: Vec<_> = files
        .iter()
        .map(|(name, text)| (Path::new(*name), *text))
        .collect();
    let rules = RuleSet::from_texts(&texts).expect("the rules are right");
    Parser::new(Arc::new(rules))
}

/// What is known of the sample's container.
pub(crate) fn stream() -> StreamContext {
    StreamContext::new(METADATA).expect("the metadata is an object")
}

fn input(bytes: &[u8]) -> Input<'_> {
    Input {
        stream: 0x0123_4567_89ab_cdef,
        start: 0,
        resume: Positions::default(),
        eof: false,
        bytes,
    }
}

fn name(iostream: Iostream) -> &'static str {
    match iostream {
        Iostream::Stdout => "stdout",
        Iostream::Stderr => "stderr",
    }
}
