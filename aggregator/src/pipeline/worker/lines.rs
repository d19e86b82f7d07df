//! Lines that came without a file, one by one: over the API, and Kubernetes Events.

use std::borrow::Cow;
use std::sync::Arc;

use parsers::{Outcome, RecordView, Tag};

use super::{BatchError, Destination, Routed, Worker, append, destination};
use crate::pipeline::fragment::Fragment;
use crate::pipeline::metadata::StreamMeta;
use crate::pipeline::{GroupCounts, trail};

/// A line that is a record by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// Its text.
    pub text: Vec<u8>,
    /// When it was written, nanoseconds since the epoch.
    pub time_ns: i64,
    /// What its document says of its place.
    pub place: LinePlace,
    /// Its document: the same over all tries.
    pub id: store::DocId,
    /// Metadata, a JSON object.
    pub metadata: Cow<'static, [u8]>,
}

/// Where a line without a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePlace {
    /// Tells its source from all others.
    pub stream: u64,
    /// Its order within the stream.
    pub offset: u64,
    /// How much of the stream it is: nothing (0) where offsets are no bytes. An audit then finds
    /// nothing missing between it and the next one, and dropping it leaves no interval.
    pub length: u64,
}

/// Lines that are handled together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawLines {
    /// The lines.
    pub lines: Vec<RawLine>,
    /// When the oldest try of any of them was whose outcome is unknown, milliseconds since the
    /// epoch.
    pub doubt_since_ms: Option<u64>,
    /// Working on them failed before: they are not parsed.
    pub unparsed: bool,
}

impl Worker {
    /// Lines that came one by one, each a record of its own: parsed as those of files are.
    ///
    /// # Errors
    /// When an output that is not optional refuses one of them.
    pub(in crate::pipeline) fn lines(
        &mut self,
        lines: &RawLines,
        now_ms: u64,
    ) -> Result<Vec<Fragment>, BatchError> {
        self.take_plan();
        self.ask_refused();
        // Neighbours that share their metadata are of one source: the lines of the API are.
        let runs = lines
            .lines
            .chunk_by(|a, b| a.metadata == b.metadata)
            .map(|run| {
                let metadata = run.first().map_or(&b"{}"[..], |line| &line.metadata);
                let meta = StreamMeta::new(metadata, &self.plan.routers);
                // A poison: whoever made it has a bug.
                Ok((run, Arc::new(meta.map_err(|_| BatchError::Panic)?)))
            })
            .collect::<Result<Vec<_>, BatchError>>()?;
        if runs.iter().any(|(_, meta)| self.is_refused(meta)) {
            return Err(BatchError::Refused);
        }
        let mut fragments = self.fragments();
        for (run, meta) in runs {
            self.run_of_lines(run, &meta, lines, now_ms, &mut fragments);
        }
        self.finish(&mut fragments);
        self.shared.rule_book.note(&mut self.parser);
        Ok(fragments)
    }

    /// Lines of one metadata.
    fn run_of_lines(
        &mut self,
        run: &[RawLine],
        meta: &Arc<StreamMeta>,
        lines: &RawLines,
        now_ms: u64,
        fragments: &mut [Fragment],
    ) {
        let now_ns = i64::try_from(now_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        let doubt = lines.doubt_since_ms;
        let destinations: Vec<Destination<'_>> = fragments
            .iter_mut()
            .enumerate()
            .map(|(number, fragment)| {
                destination(&self.refused[number], meta, number, doubt, fragment)
            })
            .collect();
        let mut dropped = trail::DroppedRuns::default();
        let mut counts = GroupCounts::default();
        for line in run {
            let LinePlace {
                stream,
                offset,
                length,
            } = line.place;
            let view = RecordView {
                message: &line.text,
                iostream: None,
                time_ns: Some(line.time_ns),
                now_ns,
                stream,
                offset,
                length,
                parts: &[],
                trace_at: None,
                tags: &[],
                unparsed: lines.unparsed,
            };
            counts.records += 1;
            counts.bytes += line.text.len() as u64;
            match self.parser.parse(&view, &meta.context) {
                Outcome::Dropped { rule } => {
                    counts.dropped += 1;
                    if length > 0 {
                        dropped.interval(0, stream, offset, length, self.plan.rules.name(rule), 1);
                    }
                }
                Outcome::Document(document) => {
                    counts.unparsed += u64::from(document.tags.contains(Tag::Unparsed));
                    let route = document
                        .route
                        .and_then(|route| self.plan.rules.route(route));
                    let routed = route.map(|route| self.routed(route, meta, fragments));
                    let routed = routed.unwrap_or_default();
                    let outputs = fragments.iter_mut().zip(&destinations);
                    for (number, (fragment, destination)) in outputs.enumerate() {
                        let own = routed.get(number).copied().unwrap_or(Routed::AsAll);
                        append(
                            fragment,
                            &own.of(destination),
                            meta,
                            line.time_ns,
                            &line.id,
                            self.parser.document(),
                        );
                        fragment.press(&mut self.encoder);
                    }
                }
            }
        }
        drop(destinations);
        self.shared.metrics.group(&meta.namespace, &counts);
        dropped.append(&[Arc::clone(meta)], doubt, now_ms, fragments);
    }
}
