//! The CPU work of one batch: decompress, decode, frame, parse, serialise, compress.
//!
//! Runs on threads of its own, one batch a task; a worker shares nothing that is written on the
//! hot path. What it makes is a [`Fragment`] for each output and the answer that may go out once
//! these are durable.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::audit::PASSED_OVER;
use crate::rules::EventRule;
use arc_swap::ArcSwap;
use bytes::Bytes;
use parsers::{Outcome, Parser, RecordView, Tag};
use store::Encoding;
use wire::{Batch, Chunk, ChunkAck, PassedOver, Positions, Status, Suspect};

use super::fragment::Fragment;
use super::inflate::{BodyEncoding, Inflater};
use super::metadata::{MetadataCache, StreamMeta};
use super::plan::{Plan, RestoredPlans};
use super::route::{Place, dated_index};
use super::trail;
use crate::metrics::PipelineMetrics;
use crate::output::Encoder;
use crate::rules::RuleBook;

mod lines;

pub use lines::{LinePlace, RawLine, RawLines};

/// One output as workers see it.
pub struct OutputView {
    /// Its name, for rules that send documents to some outputs only.
    pub name: String,
    /// Tells the places that refuse documents and have no room left to park them (DELIVERY
    /// rule 19). Asked once a batch.
    pub refused: Arc<dyn Fn() -> Arc<HashSet<String>> + Send + Sync>,
    /// How documents are to be compressed. Asked once a batch.
    pub encoding: Arc<dyn Fn() -> Encoding + Send + Sync>,
    /// A full or refused output of this kind drops, and counts.
    pub optional: bool,
}

/// What all workers share, read-only but for the caches.
pub struct Shared {
    /// What is in force; swapped by a reload.
    pub plan: ArcSwap<Plan>,
    /// What was in force at the first try of chunks that come again.
    pub restored: RestoredPlans,
    /// What the rules did.
    pub rule_book: Arc<RuleBook>,
    /// Metadata by hash.
    pub metadata: MetadataCache,
    /// The outputs, in the order of the configuration.
    pub outputs: Vec<OutputView>,
    /// Largest decompressed batch, in bytes.
    pub max_batch_bytes: usize,
    /// Figures.
    pub metrics: Arc<PipelineMetrics>,
}

/// Why a batch is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Compressed bytes that are not what the request's header says.
    #[error("cannot decompress the batch: {0}")]
    Decompress(std::io::Error),
    /// More than the limit when decompressed.
    #[error("the batch is larger than {max_bytes} bytes when decompressed: send less at once")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// Not a batch.
    #[error("cannot decode the batch: {0}")]
    Decode(#[from] wire::DecodeError),
    /// The sender speaks for another node than the one its token is for (DELIVERY rule 15).
    #[error("the token is not valid for node `{node}`")]
    Node {
        /// The node that the batch names.
        node: String,
    },
    /// The store forbids these documents, and there is no room to park them.
    #[error("the store forbids these lines at the moment")]
    Refused,
    /// Working on the batch has panicked: a bug, found by this batch.
    #[error("the aggregator failed on this batch; its log has the place")]
    Panic,
}

/// What a batch became.
#[derive(Debug)]
pub struct Processed {
    /// Documents, one fragment for each output.
    pub fragments: Vec<Fragment>,
    /// One for each chunk.
    pub acks: Vec<ChunkAck>,
    /// The settings that chunks shall be sealed with, where some have others.
    pub settings: Vec<u8>,
}

/// Where one output puts the documents of the stream at hand.
enum Destination<'a> {
    /// Nowhere: the output is optional and refuses them.
    None,
    Fixed(u16),
    Dated(&'a str),
}

/// Where one output puts a document that a rule sends somewhere.
#[derive(Debug, Clone, Copy)]
enum Routed {
    /// Nowhere: the rule names other outputs.
    Nowhere,
    /// Where all documents of the stream go.
    AsAll,
    To(u16),
}

impl Routed {
    /// Where the document goes, given where all of its stream go.
    fn of<'d>(self, all: &Destination<'d>) -> Destination<'d> {
        match (all, self) {
            (Destination::None, _) | (_, Routed::Nowhere) => Destination::None,
            (Destination::Fixed(_), Routed::To(target)) => Destination::Fixed(target),
            (Destination::Fixed(target), Routed::AsAll) => Destination::Fixed(*target),
            (Destination::Dated(pattern), _) => Destination::Dated(pattern),
        }
    }
}

/// A worker's scratch memory, reused from batch to batch.
pub(super) struct Worker {
    shared: Arc<Shared>,
    parser: Parser,
    plan: Arc<Plan>,
    frames: framing::Frames,
    raw: Vec<u8>,
    /// What the next batch's documents are written into, for each output.
    memory: Vec<Vec<u8>>,
    encoder: Encoder,
    inflater: Inflater,
    /// For each output the places that refuse documents, as of this batch.
    refused: Vec<Arc<HashSet<String>>>,
}

/// What a group of chunks says of the plan that it was framed by.
enum Seal {
    /// It is the one in force; or there is none, and that one serves.
    InForce,
    /// It was never tried, and shall be sealed with the one in force.
    Outdated,
    /// It is another one.
    Earlier(Arc<Plan>),
    /// It is another one, which the agent has to bring along.
    Unknown,
}

/// Scratch memory above this is given back after the batch that needed it.
const KEEP_SCRATCH_BYTES: usize = 16 << 20;

impl Worker {
    /// A worker over `shared`.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let plan = shared.plan.load_full();
        Self {
            parser: Parser::new(Arc::clone(&plan.rules)),
            plan,
            shared,
            frames: framing::Frames::default(),
            raw: Vec::new(),
            memory: Vec::new(),
            encoder: Encoder::default(),
            inflater: Inflater::default(),
            refused: Vec::new(),
        }
    }

    /// Does one batch. `may_send_for` tells whether the sender may speak for a node; `now_ms` is
    /// wall time in milliseconds since the epoch.
    ///
    /// # Errors
    /// When the batch as a whole cannot be taken; nothing of it is then.
    pub(super) fn process(
        &mut self,
        body: &Bytes,
        encoding: BodyEncoding,
        may_send_for: &dyn Fn(&str) -> bool,
        now_ms: u64,
    ) -> Result<Processed, BatchError> {
        self.take_plan();
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        let result = self
            .inflater
            .inflate(body, encoding, self.shared.max_batch_bytes, &mut raw)
            .and_then(|()| self.decoded(&raw, may_send_for, now_ms));
        self.shared.rule_book.note(&mut self.parser);
        if raw.capacity() <= KEEP_SCRATCH_BYTES {
            self.raw = raw;
        }
        result
    }

    fn decoded(
        &mut self,
        raw: &[u8],
        may_send_for: &dyn Fn(&str) -> bool,
        now_ms: u64,
    ) -> Result<Processed, BatchError> {
        let batch = wire::decode_batch(raw, &wire::Limits::default())?;
        if !may_send_for(batch.node) {
            return Err(BatchError::Node {
                node: batch.node.to_owned(),
            });
        }
        self.learn(&batch);
        self.ask_refused();
        let mut processed = Processed {
            fragments: self.fragments(),
            acks: Vec::with_capacity(batch.chunks.len()),
            settings: Vec::new(),
        };
        for group in batch.chunks.chunk_by(|a, b| a.sequence == b.sequence) {
            self.group(group, now_ms, &mut processed);
        }
        self.finish(&mut processed.fragments);
        Ok(processed)
    }

    /// One for each output, without documents.
    fn fragments(&mut self) -> Vec<Fragment> {
        let outputs = &self.shared.outputs;
        self.memory.resize_with(outputs.len(), Vec::new);
        let memory = self.memory.drain(..);
        outputs
            .iter()
            .zip(memory)
            .map(|(output, memory)| Fragment::new((output.encoding)(), memory))
            .collect()
    }

    /// Compresses what is left, and keeps the memory for the next batch.
    fn finish(&mut self, fragments: &mut [Fragment]) {
        for fragment in fragments {
            let memory = fragment.finish(&mut self.encoder);
            let is_kept = memory.capacity() <= KEEP_SCRATCH_BYTES;
            self.memory.push(if is_kept { memory } else { Vec::new() });
        }
    }

    fn learn(&self, batch: &Batch<'_>) {
        for &(id, json) in &batch.metadata {
            self.shared.metadata.insert(id, json, &self.plan.routers);
        }
        for &(id, text) in &batch.settings {
            self.shared.restored.learn(id, text, &self.plan);
        }
    }

    /// The chunks of one sequence: by the plan in force, or by that of their first try.
    fn group(&mut self, chunks: &[Chunk<'_>], now_ms: u64, processed: &mut Processed) {
        match self.seal_of(chunks) {
            Seal::InForce => self.group_by_plan(chunks, now_ms, processed),
            Seal::Outdated => {
                processed.settings = self.plan.text().to_vec();
                not_taken(chunks, Status::Reseal, processed);
            }
            Seal::Unknown => not_taken(chunks, Status::NeedMetadata, processed),
            Seal::Earlier(plan) => {
                self.shared.metrics.sealed("restored");
                let parser = Parser::new(Arc::clone(&plan.rules));
                let parser = std::mem::replace(&mut self.parser, parser);
                let plan = std::mem::replace(&mut self.plan, plan);
                self.group_by_plan(chunks, now_ms, processed);
                // What it counted of rules that are not in force is nobody's to see.
                self.parser = parser;
                self.plan = plan;
            }
        }
    }

    /// What is said of the plan by which the chunks of a group were framed at their first try.
    fn seal_of(&self, chunks: &[Chunk<'_>]) -> Seal {
        let (Some(Some(sealed)), Some(own)) =
            (chunks.first().map(|chunk| chunk.settings), self.plan.id())
        else {
            return Seal::InForce;
        };
        let is_first_try = chunks.iter().all(|chunk| chunk.doubt_ms.is_none());
        if sealed == own {
            Seal::InForce
        } else if is_first_try || sealed == 0 {
            // Without a seal nothing has been stored, whatever tries there were.
            Seal::Outdated
        } else {
            match self.shared.restored.get(sealed) {
                None => Seal::Unknown,
                Some(Some(plan)) => Seal::Earlier(plan),
                Some(None) => {
                    self.shared.metrics.sealed("refused");
                    Seal::InForce
                }
            }
        }
    }

    /// The chunks of one sequence: framed together, taken or refused together.
    fn group_by_plan(&mut self, chunks: &[Chunk<'_>], now_ms: u64, processed: &mut Processed) {
        let metas: Option<Vec<Arc<StreamMeta>>> = chunks
            .iter()
            .map(|chunk| self.shared.metadata.get(chunk.meta))
            .collect();
        let Some(metas) = metas else {
            return not_taken(chunks, Status::NeedMetadata, processed);
        };
        let metas = self.placed(metas);
        if chunks
            .iter()
            .any(|chunk| !framing::supports(chunk.framing_version))
        {
            // Sealed by rules that this version does not know: another aggregator does.
            return not_taken(chunks, Status::Busy, processed);
        }
        if metas.iter().any(|meta| self.is_refused(meta)) {
            return not_taken(chunks, Status::Refused, processed);
        }

        let first = &chunks[0];
        let inputs: Vec<framing::Input<'_>> = chunks
            .iter()
            .map(|chunk| framing::Input {
                stream: chunk.stream,
                start: chunk.start,
                resume: to_framing(chunk.resume),
                eof: chunk.eof,
                bytes: chunk.bytes,
            })
            .collect();
        let suspect = chunks
            .iter()
            .map(|chunk| chunk.suspect)
            .max()
            .unwrap_or(Suspect::No);
        let options = framing::Options {
            lines_only: suspect == Suspect::Lines,
            ..self.plan.framing
        };
        let plan = Arc::clone(&self.plan);
        let rule = metas
            .first()
            .and_then(|meta| EventRule::of(&plan.rules, &meta.context));
        let options = rule.map_or(options, |rule| rule.options(options));
        self.frames.clear();
        framing::frame_with(
            format_of(first.framing),
            &inputs,
            flush_of(first.flush),
            &options,
            rule.as_ref().map(|rule| rule as &dyn framing::EventRule),
            &mut self.frames,
        );

        let doubt_since_ms = chunks
            .iter()
            .filter_map(|chunk| chunk.doubt_ms)
            .max()
            .map(|age| now_ms.saturating_sub(age));
        let unparsed = suspect != Suspect::No;
        self.documents(&inputs, &metas, unparsed, doubt_since_ms, now_ms, processed);
        if let Some((input, passed_over)) = passed_over(chunks, &metas) {
            let Range { start, end } = passed_over.bytes;
            let mut dropped = trail::DroppedRuns::default();
            let stream = passed_over.stream;
            dropped.interval(input, stream, start, end - start, PASSED_OVER, 0);
            dropped.append(&metas, doubt_since_ms, now_ms, &mut processed.fragments);
        }
        for (chunk, meta) in chunks.iter().zip(&metas) {
            if let Some(end) = &chunk.end {
                for (output, fragment) in processed.fragments.iter_mut().enumerate() {
                    if self.takes(output, meta) {
                        trail::append_end(fragment, chunk, end, meta, now_ms);
                        fragment.doubt(doubt_since_ms);
                    }
                }
            }
        }
        for (chunk, durable) in chunks.iter().zip(self.frames.positions()) {
            processed.acks.push(ChunkAck {
                stream: chunk.stream,
                start: chunk.start,
                status: Status::Ok,
                durable: Positions {
                    stdout: durable.stdout,
                    stderr: durable.stderr,
                },
            });
        }
    }

    fn documents(
        &mut self,
        inputs: &[framing::Input<'_>],
        metas: &[Arc<StreamMeta>],
        unparsed: bool,
        doubt_since_ms: Option<u64>,
        now_ms: u64,
        processed: &mut Processed,
    ) {
        let now_ns = i64::try_from(now_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        let mut dropped = trail::DroppedRuns::default();
        let mut tags: Vec<&'static str> = Vec::new();
        let mut parts: Vec<(u64, u64, u64)> = Vec::new();
        let mut counts = super::GroupCounts::default();
        // The places of a stream's documents are looked up when the stream changes, not a record.
        let mut at = usize::MAX;
        let mut destinations: Vec<Destination<'_>> = Vec::new();
        let mut routed: Vec<Routed> = Vec::new();
        let mut routed_by = None;
        for record in self.frames.records() {
            let input = record.input as usize;
            let meta = &metas[input];
            if input != at {
                at = input;
                destinations.clear();
                routed_by = None;
                for (number, fragment) in processed.fragments.iter_mut().enumerate() {
                    destinations.push(destination(
                        &self.refused[number],
                        meta,
                        number,
                        doubt_since_ms,
                        fragment,
                    ));
                }
            }
            tags.clear();
            tags.extend(record.tags.names());
            let message = self.frames.message(record, inputs);
            parts.clear();
            parts.extend(
                self.frames
                    .parts_of(record)
                    .iter()
                    .map(|part| (part.stream, part.offset, part.length)),
            );
            let view = RecordView {
                message,
                iostream: record.iostream.map(iostream_name),
                time_ns: record.time_ns,
                now_ns,
                stream: record.stream,
                offset: record.offset,
                length: record.length,
                parts: &parts,
                trace_at: record.trace_at.map(|at| at as usize),
                tags: &tags,
                unparsed,
            };
            counts.records += 1;
            counts.bytes += record.length;
            let route = match self.parser.parse(&view, &meta.context) {
                Outcome::Dropped { rule } => {
                    counts.dropped += 1;
                    dropped.push(input, record, &parts, self.plan.rules.name(rule));
                    continue;
                }
                Outcome::Document(document) => {
                    counts.unparsed += u64::from(document.tags.contains(Tag::Unparsed));
                    document.route
                }
            };
            if route.is_some() && route != routed_by {
                routed_by = route;
                routed.clear();
                if let Some(route) = route.and_then(|route| self.plan.rules.route(route)) {
                    routed.extend(self.routed(route, meta, &mut processed.fragments));
                }
            }
            let id = store::document_id(record.stream, record.offset, record.hash);
            let time_ns = record.time_ns.unwrap_or(now_ns);
            let outputs = processed.fragments.iter_mut().zip(&destinations);
            for (number, (fragment, destination)) in outputs.enumerate() {
                let own = match route {
                    Some(_) => routed.get(number).copied().unwrap_or(Routed::AsAll),
                    None => Routed::AsAll,
                };
                let destination = own.of(destination);
                append(
                    fragment,
                    &destination,
                    meta,
                    time_ns,
                    &id,
                    self.parser.document(),
                );
                fragment.press(&mut self.encoder);
            }
        }
        dropped.append(metas, doubt_since_ms, now_ms, &mut processed.fragments);
        if let Some(meta) = metas.first() {
            self.shared.metrics.group(&meta.namespace, &counts);
        }
    }

    /// Where each output puts the documents of a stream that a rule sends to `route`. A route
    /// whose outputs are all unknown leads to all of them: no document goes nowhere.
    fn routed(
        &self,
        route: &parsers::Route,
        meta: &StreamMeta,
        fragments: &mut [Fragment],
    ) -> Vec<Routed> {
        let outputs = &self.shared.outputs;
        let is_named = |output: &OutputView| route.outputs.contains(&output.name);
        let are_some = outputs.iter().any(is_named);
        let has_name = route.dataset.is_some() || route.namespace.is_some();
        let to = |(number, fragment): (usize, &mut Fragment)| {
            let (Some(output), Some(place)) = (outputs.get(number), meta.places.get(number)) else {
                return Routed::AsAll;
            };
            if are_some && !is_named(output) {
                return Routed::Nowhere;
            }
            match place {
                Place::Fixed(index) if has_name => {
                    let (dataset, namespace) = (&route.dataset, &route.namespace);
                    let index =
                        super::route::routed(index, dataset.as_deref(), namespace.as_deref());
                    Routed::To(fragment.target(&index, &meta.namespace))
                }
                Place::Fixed(_) | Place::Dated(_) => Routed::AsAll,
            }
        };
        fragments.iter_mut().enumerate().map(to).collect()
    }

    /// The streams with the places of the plan at hand, where they were placed by another one.
    fn placed(&self, metas: Vec<Arc<StreamMeta>>) -> Vec<Arc<StreamMeta>> {
        let routers = &self.plan.routers;
        let placed = |meta: Arc<StreamMeta>| match Arc::ptr_eq(&meta.routers, routers) {
            true => meta,
            false => Arc::new(meta.placed(routers)),
        };
        metas.into_iter().map(placed).collect()
    }

    fn ask_refused(&mut self) {
        self.refused.clear();
        self.refused
            .extend(self.shared.outputs.iter().map(|output| (output.refused)()));
    }

    /// Goes over to what is in force.
    fn take_plan(&mut self) {
        let plan = self.shared.plan.load();
        if !Arc::ptr_eq(&plan, &self.plan) {
            self.plan = Arc::clone(&plan);
            self.parser = Parser::new(Arc::clone(&plan.rules));
        }
    }

    /// Whether an output that is not optional refuses documents of this stream.
    fn is_refused(&self, meta: &StreamMeta) -> bool {
        self.shared
            .outputs
            .iter()
            .enumerate()
            .any(|(number, output)| !output.optional && !self.takes(number, meta))
    }

    fn takes(&self, output: usize, meta: &StreamMeta) -> bool {
        takes(&self.refused[output], &meta.places[output])
    }
}

/// Where output `number` puts the documents of a stream.
fn destination<'a>(
    refused: &HashSet<String>,
    meta: &'a StreamMeta,
    number: usize,
    doubt_since_ms: Option<u64>,
    fragment: &mut Fragment,
) -> Destination<'a> {
    let place = &meta.places[number];
    if !takes(refused, place) {
        return Destination::None;
    }
    fragment.doubt(doubt_since_ms);
    match place {
        Place::Fixed(index) => Destination::Fixed(fragment.target(index, &meta.namespace)),
        Place::Dated(pattern) => Destination::Dated(pattern),
    }
}

/// Appends one document to what goes to one output.
fn append(
    fragment: &mut Fragment,
    destination: &Destination<'_>,
    meta: &StreamMeta,
    time_ns: i64,
    id: &store::DocId,
    document: &[u8],
) {
    let target = match destination {
        Destination::None => return,
        Destination::Fixed(target) => *target,
        Destination::Dated(pattern) => {
            let index = dated_index(pattern, time_ns);
            fragment.target(&index, &meta.namespace)
        }
    };
    fragment.append(target, id, document);
}

/// Whether documents for `place` are taken.
fn takes(refused: &HashSet<String>, place: &Place) -> bool {
    if refused.is_empty() {
        return true;
    }
    match place {
        Place::Fixed(index) => !refused.contains(index),
        // A dated index has its date from each record: the pattern's text before the date tells
        // which indices are meant.
        Place::Dated(pattern) => {
            let prefix = pattern.split('%').next().unwrap_or_default();
            !refused.iter().any(|index| index.starts_with(prefix))
        }
    }
}

/// What was passed over before one of these chunks, which is told once for all of them.
fn passed_over<'a>(
    chunks: &[Chunk<'_>],
    metas: &'a [Arc<StreamMeta>],
) -> Option<(usize, &'a PassedOver)> {
    let passed_over = metas.first()?.passed_over.as_ref()?;
    let is_behind = |chunk: &Chunk<'_>| {
        chunk.stream == passed_over.stream && chunk.start >= passed_over.bytes.end
    };
    Some((chunks.iter().position(is_behind)?, passed_over))
}

fn not_taken(chunks: &[Chunk<'_>], status: Status, processed: &mut Processed) {
    processed.acks.extend(chunks.iter().map(|chunk| ChunkAck {
        stream: chunk.stream,
        start: chunk.start,
        status,
        durable: chunk.resume,
    }));
}

fn to_framing(positions: Positions) -> framing::Positions {
    framing::Positions {
        stdout: positions.stdout,
        stderr: positions.stderr,
    }
}

fn format_of(framing: wire::Framing) -> framing::Format {
    match framing {
        wire::Framing::Raw => framing::Format::Raw,
        wire::Framing::Cri => framing::Format::Cri,
        wire::Framing::Docker => framing::Format::Docker,
    }
}

fn iostream_name(iostream: framing::Iostream) -> &'static str {
    match iostream {
        framing::Iostream::Stdout => "stdout",
        framing::Iostream::Stderr => "stderr",
    }
}

fn flush_of(flush: wire::Flush) -> framing::Flush {
    match flush {
        wire::Flush::None => framing::Flush::None,
        wire::Flush::Soft => framing::Flush::Soft,
        wire::Flush::Hard => framing::Flush::Hard,
    }
}
