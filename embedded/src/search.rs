//! Searches: a request in Elasticsearch's JSON, run over a snapshot of the partitions.

pub(crate) mod aggs;
pub(crate) mod calendar;
mod date_format;
pub(crate) mod dates;
mod fuzzy;
pub(crate) mod highlight;
pub(crate) mod hits;
mod lenient;
mod metric_value;
mod numbers;
mod pipeline_aggs;
pub(crate) mod query;
pub(crate) mod query_string;
mod script;
pub(crate) mod sort;
pub(crate) mod terms_where;
#[cfg(test)]
mod trial;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::aggregation::intermediate_agg_result::IntermediateAggregationResults;
use tantivy::aggregation::{
    AggContextParams, AggregationLimitsGuard, AggregationSegmentCollector, ValueSourceRegistry,
};
use tantivy::collector::SegmentCollector as _;
use tantivy::query::{
    AllScorer, BitSetDocSet, BooleanQuery, ConstScorer, EmptyScorer, EnableScoring, Explanation,
    Occur, Query, Scorer, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{
    BitSet, COLLECT_BLOCK_BUFFER_LEN, DocAddress, DocId, DocSet as _, Score, Searcher,
    SegmentReader, TERMINATED,
};

use crate::field_table::FieldTable;
use crate::schema::Fields;
use hits::SourceFilter;
use query::{Compiler, QueryError, error, list};
use sort::{Hit, SegmentTop, SortKey, SortValue};

/// Most hits of one answer, as a server's `max_result_window`.
const MAX_HITS: usize = 10_000;
/// Documents that match are counted up to here unless a request wants them all.
const DEFAULT_TRACK: u64 = 10_000;
/// Blocks of documents between looks at the clock.
const BLOCKS_A_LOOK: u32 = 256;

/// Whether a search goes on.
#[derive(Debug)]
pub(crate) struct Patience {
    pub(crate) is_cancelled: AtomicBool,
    deadline: Mutex<Option<Instant>>,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            is_cancelled: AtomicBool::new(false),
            deadline: Mutex::new(None),
        }
    }

    fn limit(&self, timeout: Duration) {
        let deadline = Instant::now().checked_add(timeout);
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn is_over(&self) -> bool {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_cancelled.load(Ordering::Relaxed)
            || deadline.is_some_and(|deadline| Instant::now() > deadline)
    }
}

/// What a search runs over.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) searchers: Vec<Searcher>,
}

/// What a search needs beside the request.
pub(crate) struct Context<'a> {
    pub(crate) fields: Fields,
    pub(crate) table: &'a FieldTable,
    /// One document in memory, which no query matches: what a search over nothing answers.
    pub(crate) blank: &'a Searcher,
    pub(crate) threads: usize,
    /// Bytes that aggregations may take.
    pub(crate) memory: u64,
    pub(crate) patience: &'a Patience,
}

/// Whether `name` matches a pattern with `*`.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.split_once(before) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => rest.is_empty(),
    }
}

/// Which indices a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Indices {
    patterns: Vec<String>,
}

impl Indices {
    /// Reads names and patterns, joined by commas; a leading `-` takes out.
    pub(crate) fn parse(text: &str) -> Self {
        let patterns = text
            .split(',')
            .map(str::trim)
            .filter(|pattern| !pattern.is_empty());
        Self {
            patterns: patterns.map(str::to_owned).collect(),
        }
    }

    /// Whether the index is meant. Hidden ones (`.…`) have to be named so.
    pub(crate) fn contains(&self, index: &str) -> bool {
        let mut is_in = self.patterns.is_empty() && !index.starts_with('.');
        for pattern in &self.patterns {
            match pattern.strip_prefix('-') {
                Some(out) if matches_pattern(out, index) => is_in = false,
                Some(_) => {}
                None => {
                    let pattern = if pattern == "_all" {
                        "*"
                    } else {
                        pattern.as_str()
                    };
                    let is_hidden = index.starts_with('.') && !pattern.starts_with('.');
                    is_in |= !is_hidden && matches_pattern(pattern, index);
                }
            }
        }
        is_in
    }
}

/// Documents of the indices; costs nothing where a segment has no others.
#[derive(Debug, Clone)]
struct OfIndices {
    field: Field,
    indices: Indices,
}

impl Query for OfIndices {
    fn weight(&self, _scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for OfIndices {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let inverted = reader.inverted_index(self.field)?;
        let mut terms = inverted.terms().stream()?;
        let mut meant = Vec::new();
        let mut n_terms = 0;
        while terms.advance() {
            n_terms += 1;
            let name = std::str::from_utf8(terms.key()).unwrap_or_default();
            if self.indices.contains(name) {
                meant.push(terms.value().clone());
            }
        }
        if meant.is_empty() {
            return Ok(Box::new(EmptyScorer));
        }
        if meant.len() == n_terms {
            return Ok(Box::new(AllScorer::new(reader.max_doc())));
        }
        let mut found = BitSet::with_max_value(reader.max_doc());
        for info in &meant {
            let mut postings =
                inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                found.insert(postings.doc());
                postings.advance();
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, _reader: &SegmentReader, _doc: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new(
            "the document is of one of the indices",
            1.0,
        ))
    }
}

/// Counts what matches.
///
/// # Errors
/// What is wrong with the query; what cannot be read.
pub(crate) fn count(
    context: &Context<'_>,
    snapshot: &Snapshot,
    indices: &Indices,
    query: &Value,
) -> Result<u64, QueryError> {
    let mut compiler = Compiler::new(context.fields, context.table, Timestamp::now());
    let query = within(context, indices, compiler.compile(query)?);
    let mut total = 0;
    for searcher in &snapshot.searchers {
        if context.patience.is_over() {
            return error("the search was given up");
        }
        total += query.count(searcher).map_err(unreadable)? as u64;
    }
    Ok(total)
}

fn within(context: &Context<'_>, indices: &Indices, query: Box<dyn Query>) -> Box<dyn Query> {
    let of_indices: Box<dyn Query> = Box::new(OfIndices {
        field: context.fields.index,
        indices: indices.clone(),
    });
    Box::new(BooleanQuery::new(vec![
        (Occur::Must, query),
        (Occur::Must, of_indices),
    ]))
}

fn unreadable(reason: tantivy::TantivyError) -> QueryError {
    QueryError(reason.to_string())
}

/// Keys of a search that are understood, or mean nothing here.
const KEYS: &[&str] = &[
    "query",
    "size",
    "from",
    "sort",
    "search_after",
    "_source",
    "fields",
    "docvalue_fields",
    "highlight",
    "track_total_hits",
    "timeout",
    "aggs",
    "aggregations",
    "pit",
    "post_filter",
    "track_scores",
    "version",
    "seq_no_primary_term",
    "stored_fields",
    "script_fields",
    "explain",
    "runtime_mappings",
    "profile",
    "indices_boost",
    "min_score",
];

/// Runs a search.
///
/// # Errors
/// What is wrong with the request; what cannot be read.
pub(crate) fn search(
    context: &Context<'_>,
    snapshot: &Snapshot,
    indices: &Indices,
    body: &Value,
) -> Result<Value, QueryError> {
    let started = Instant::now();
    let now = Timestamp::now();
    if let Some(key) = body
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
        .find(|key| !KEYS.contains(&key.as_str()))
    {
        return error(format!("unknown key for a search [{key}]"));
    }
    let number = |key: &str, default: usize| match &body[key] {
        Value::Null => Ok(default),
        given => match lenient::count(given).and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(n),
            None => error(format!("[{key}] is a count, got {given}")),
        },
    };
    let (from, size) = (number("from", 0)?, number("size", 10)?);
    if from.saturating_add(size) > MAX_HITS {
        return error(format!(
            "Result window is too large, from + size must be less than or equal to: [{MAX_HITS}]"
        ));
    }
    if let Some(timeout) = body["timeout"].as_str().and_then(parse_timeout) {
        context.patience.limit(timeout);
    }
    let mut keys = sort::parse(&body["sort"])?;
    let n_shown_keys = keys.len();
    if body.get("pit").is_some()
        && !keys.is_empty()
        && keys.len() < 4
        && !keys.iter().any(SortKey::is_document_order)
    {
        keys.push(SortKey::document_order());
    }
    let n_shown_keys = if keys.len() > n_shown_keys {
        keys.len()
    } else {
        n_shown_keys
    };
    if keys.is_empty() {
        keys.push(SortKey::document_order());
    }
    let after = match body["search_after"].as_array() {
        None => None,
        Some(_) if from > 0 => return error("`from` and `search_after` do not go together"),
        Some(values) if values.len() > keys.len() || values.is_empty() => {
            return error(format!(
                "search_after has {} value(s) but sort has {n_shown_keys}",
                values.len()
            ));
        }
        Some(values) => {
            let values = keys
                .iter()
                .zip(values)
                .map(|(key, value)| key.read_after(value));
            Some(values.collect::<Result<Vec<SortValue>, _>>()?)
        }
    };
    let mut compiler = Compiler::new(context.fields, context.table, now);
    let mut compiled = compiler.compile(&body["query"])?;
    if let Some(filter) = body.get("post_filter") {
        compiled = Box::new(BooleanQuery::intersection(vec![
            compiled,
            compiler.compile(filter)?,
        ]));
    }
    let highlights = std::mem::take(&mut compiler.highlights);
    let query = within(context, indices, compiled);
    let aggs = body.get("aggs").or_else(|| body.get("aggregations"));
    let (aggregations, plans) = match aggs {
        None => (Aggregations::default(), Vec::new()),
        Some(aggs) => aggs::plan(aggs, now, &mut |filter| {
            Compiler::new(context.fields, context.table, now).compile(filter)
        })?,
    };
    let track = match &body["track_total_hits"] {
        Value::Bool(true) => u64::MAX,
        Value::Bool(false) => 0,
        Value::Null => DEFAULT_TRACK,
        given => given.as_u64().unwrap_or(DEFAULT_TRACK),
    };
    let run = Run {
        context,
        query: &*query,
        keys: &keys,
        after: after.as_deref(),
        size: from + size,
        track,
        aggregations: &aggregations,
        limits: AggregationLimitsGuard::new(Some(context.memory), Some(aggs::MAX_BUCKETS)),
        sources: Arc::new(aggs::sources(&plans)),
        n_matching: AtomicU64::new(0),
        n_skipped: AtomicUsize::new(0),
        worst: Mutex::new(None),
    };
    let planned = started.elapsed();
    let mut found = run.over(snapshot).map_err(unreadable)?;
    let n_skipped = run.n_skipped.load(Ordering::Relaxed);
    let searched = started.elapsed();
    if context.patience.is_cancelled.load(Ordering::Relaxed) {
        return error("the search was given up");
    }
    let mut shown = Vec::new();
    let filter = SourceFilter::parse(&body["_source"]);
    let wanted_fields = list(body.get("fields"));
    let doc_values = list(body.get("docvalue_fields"));
    for hit in found.hits.iter().skip(from).take(size) {
        let Some((searcher, ord)) = found
            .segments
            .get(hit.segment)
            .and_then(|(searcher, ord)| Some((snapshot.searchers.get(*searcher)?, *ord)))
        else {
            continue;
        };
        let address = DocAddress::new(ord, hit.doc);
        let stored = hits::read(searcher, &context.fields, address).map_err(unreadable)?;
        let mut out = stored.hit(&filter);
        if n_shown_keys > 0 {
            let values = keys.iter().zip(&hit.values).take(n_shown_keys);
            out["sort"] = values.map(|(key, value)| key.show(value)).collect();
        }
        if !wanted_fields.is_empty() || !doc_values.is_empty() {
            out["fields"] = stored.fields(&wanted_fields, &doc_values);
        }
        if let Some(request) = body.get("highlight")
            && let Some(marked) = highlights.of_hit(request, |field| stored.texts(field))
        {
            out["highlight"] = marked;
        }
        shown.push(out);
    }
    let fetched = started.elapsed();
    let mut answer = json!({
        "took": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "timed_out": context.patience.is_over(),
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"max_score": null, "hits": shown},
    });
    if track > 0 {
        let is_more = found.n_matching > track;
        answer["hits"]["total"] = json!({
            "value": found.n_matching.min(track),
            "relation": if is_more { "gte" } else { "eq" },
        });
    }
    if !plans.is_empty() {
        let results = found.aggregations.take().unwrap_or_default();
        let results = results
            .into_final_result(
                aggregations,
                AggregationLimitsGuard::new(Some(context.memory), Some(aggs::MAX_BUCKETS)),
            )
            .map_err(unreadable)?;
        let results =
            serde_json::to_value(results).map_err(|reason| QueryError(reason.to_string()))?;
        answer["aggregations"] =
            aggs::answer(&plans, results, &body["query"], &mut |query, given| {
                let mut body = given.clone();
                if body.get("size").is_none() {
                    body["size"] = 3.into();
                }
                body["query"] = query;
                let mut found = search(context, snapshot, indices, &body)?;
                Ok(json!({"hits": found["hits"].take()}))
            })?;
    }
    if body["profile"] == true {
        answer["profile"] = profile(
            &body["query"],
            &found,
            n_skipped,
            [
                planned,
                searched - planned,
                fetched - searched,
                started.elapsed() - fetched,
            ],
        );
    }
    Ok(answer)
}

/// Where the time went, in the form of Elasticsearch's profile: planning, searching with counting,
/// fetching the hits, and finishing the aggregations.
fn profile(query: &Value, found: &Found, n_skipped: usize, times: [Duration; 4]) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let [planned, searched, fetched, aggregated] = times.map(nanos);
    let kind = query.as_object().and_then(|query| query.keys().next());
    let n_segments = found.segments.len();
    json!({"shards": [{
        "id": "[embedded][0]",
        "searches": [{
            "query": [{
                "type": kind.map_or("match_all", String::as_str),
                "description": query.to_string(),
                "time_in_nanos": searched,
                "breakdown": {
                    "segments": n_segments,
                    "segments_skipped": n_skipped,
                    "documents_matched": found.n_matching,
                },
            }],
            "rewrite_time": planned,
            "collector": [],
        }],
        "aggregations": [{"type": "all", "time_in_nanos": aggregated}],
        "fetch": {"type": "fetch", "time_in_nanos": fetched},
    }]})
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(n_digits)?;
    let count: u64 = count.parse().ok()?;
    Some(match unit {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.checked_mul(60)?),
        _ => return None,
    })
}

/// One search over segments.
struct Run<'a> {
    context: &'a Context<'a>,
    query: &'a dyn Query,
    keys: &'a [SortKey],
    after: Option<&'a [SortValue]>,
    size: usize,
    track: u64,
    aggregations: &'a Aggregations,
    limits: AggregationLimitsGuard,
    /// What is counted that no segment has as a column.
    sources: Arc<ValueSourceRegistry>,
    n_matching: AtomicU64,
    /// Segments that were not looked into.
    n_skipped: AtomicUsize,
    /// The last of the hits so far, once there are enough.
    worst: Mutex<Option<Vec<SortValue>>>,
}

#[derive(Default)]
struct Found {
    hits: Vec<Hit>,
    n_matching: u64,
    aggregations: Option<IntermediateAggregationResults>,
    /// For each segment its searcher and its place there.
    segments: Vec<(usize, u32)>,
}

impl Run<'_> {
    fn over(&self, snapshot: &Snapshot) -> tantivy::Result<Found> {
        let mut weights = Vec::new();
        let mut segments = Vec::new();
        let mut document_base = 0;
        let mut order = Vec::new();
        for (n, searcher) in snapshot.searchers.iter().enumerate() {
            weights.push(
                self.query
                    .weight(EnableScoring::disabled_from_searcher(searcher))?,
            );
            for (ord, reader) in searcher.segment_readers().iter().enumerate() {
                let bounds = SegmentTop::first_bounds(self.keys, reader);
                order.push((segments.len(), n, reader, document_base, bounds));
                segments.push((n, u32::try_from(ord).unwrap_or(u32::MAX)));
                document_base += u64::from(reader.max_doc());
            }
        }
        // The segments with the first hits come first: those behind them need not be looked into.
        order.sort_by(|a, b| match (&a.4, &b.4) {
            (Some((a, _)), Some((b, _))) => sort::compare(
                self.keys.get(..1).unwrap_or_default(),
                std::slice::from_ref(a),
                std::slice::from_ref(b),
            ),
            _ => a.0.cmp(&b.0),
        });
        let next = AtomicUsize::new(0);
        let work = || -> tantivy::Result<Found> {
            let mut found = Found::default();
            while let Some((segment, n, reader, base, bounds)) =
                order.get(next.fetch_add(1, Ordering::Relaxed))
            {
                if self.context.patience.is_over() {
                    break;
                }
                if self.is_needless(bounds.as_ref().map(|(first, _)| first)) {
                    self.n_skipped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                if let Some(weight) = weights.get(*n) {
                    self.segment(weight.as_ref(), *segment, *base, reader, &mut found)?;
                }
            }
            Ok(found)
        };
        // Hits alone are found soon, one segment after the other; counting goes through all.
        let goes_through_all = !self.aggregations.is_empty() || self.track == u64::MAX;
        let threads = if goes_through_all {
            self.context.threads.max(1)
        } else {
            1
        };
        let parts: Vec<tantivy::Result<Found>> = if threads == 1 || order.len() < 2 {
            vec![work()]
        } else {
            std::thread::scope(|scope| {
                let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
                let mut parts = vec![work()];
                parts.extend(others.into_iter().map(|other| {
                    other.join().unwrap_or_else(|_| {
                        Err(tantivy::TantivyError::ErrorInThread(
                            "a search panicked".to_owned(),
                        ))
                    })
                }));
                parts
            })
        };
        let mut found = Found {
            segments,
            ..Found::default()
        };
        for part in parts {
            let part = part?;
            self.merge(&mut found.hits, part.hits);
            merge_aggregations(&mut found.aggregations, part.aggregations)?;
        }
        if !self.aggregations.is_empty() {
            let blank = self.blank()?;
            merge_aggregations(&mut found.aggregations, Some(blank))?;
        }
        found.n_matching = self.n_matching.load(Ordering::Relaxed);
        Ok(found)
    }

    /// Whether a segment whose first key is `first` can hold no hit, and need not be counted.
    fn is_needless(&self, first: Option<&SortValue>) -> bool {
        let is_counted = self.n_matching.load(Ordering::Relaxed) > self.track || self.track == 0;
        if !self.aggregations.is_empty() || !is_counted {
            return false;
        }
        if self.size == 0 {
            return true;
        }
        let worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(worst)) = (first, worst.as_ref()) else {
            return false;
        };
        let key = self.keys.get(..1).unwrap_or_default();
        sort::compare(key, std::slice::from_ref(first), worst).is_gt()
    }

    fn merge(&self, hits: &mut Vec<Hit>, more: Vec<Hit>) {
        hits.extend(more);
        hits.sort_by(|a, b| {
            sort::compare(self.keys, &a.values, &b.values)
                .then(a.segment.cmp(&b.segment))
                .then(a.doc.cmp(&b.doc))
        });
        hits.truncate(self.size);
    }

    fn segment(
        &self,
        weight: &dyn Weight,
        segment: usize,
        document_base: u64,
        reader: &SegmentReader,
        found: &mut Found,
    ) -> tantivy::Result<()> {
        if self.size == 0 && self.aggregations.is_empty() {
            let n = weight.count(reader)?;
            self.n_matching.fetch_add(u64::from(n), Ordering::Relaxed);
            return Ok(());
        }
        let mut scorer = weight.scorer(reader, 1.0)?;
        let mut top = match self.size {
            0 => None,
            size => Some(SegmentTop::open(
                self.keys,
                segment,
                document_base,
                reader,
                size,
                self.after,
            )?),
        };
        let mut counting = match self.aggregations.is_empty() {
            true => None,
            false => Some(AggregationSegmentCollector::from_agg_req_and_reader(
                self.aggregations,
                reader,
                u32::try_from(segment).unwrap_or(u32::MAX),
                &self.agg_context(reader),
            )?),
        };
        let alive = reader.alive_bitset();
        let mut buffer = [0; COLLECT_BLOCK_BUFFER_LEN];
        let mut living = Vec::new();
        let mut n_matching = 0;
        let mut n_blocks = 0;
        loop {
            let n = scorer.fill_buffer(&mut buffer);
            let is_last = n < buffer.len();
            let mut docs = buffer.get(..n).unwrap_or_default();
            if let Some(alive) = alive {
                living.clear();
                living.extend(docs.iter().copied().filter(|doc| alive.is_alive(*doc)));
                docs = &living;
            }
            n_matching += docs.len() as u64;
            if let Some(top) = &mut top {
                docs.iter().for_each(|doc| top.collect(*doc));
            }
            if let Some(counting) = &mut counting {
                counting.collect_block(docs);
            }
            n_blocks += 1;
            if is_last || (n_blocks % BLOCKS_A_LOOK == 0 && self.context.patience.is_over()) {
                break;
            }
        }
        self.n_matching.fetch_add(n_matching, Ordering::Relaxed);
        if let Some(counting) = counting {
            merge_aggregations(&mut found.aggregations, Some(counting.harvest()?))?;
        }
        if let Some(top) = top {
            self.merge(&mut found.hits, top.finish()?);
            if found.hits.len() == self.size
                && let Some(last) = found.hits.last()
            {
                let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = Some(last.values.clone());
            }
        }
        Ok(())
    }

    fn agg_context(&self, reader: &SegmentReader) -> AggContextParams {
        AggContextParams::new(self.limits.clone(), reader.index().tokenizers().clone())
            .with_value_sources(Arc::clone(&self.sources))
    }

    /// What the aggregations are over no document at all.
    fn blank(&self) -> tantivy::Result<IntermediateAggregationResults> {
        let mut blank = IntermediateAggregationResults::default();
        for reader in self.context.blank.segment_readers() {
            let collector = AggregationSegmentCollector::from_agg_req_and_reader(
                self.aggregations,
                reader,
                0,
                &self.agg_context(reader),
            )?;
            blank = collector.harvest()?;
        }
        Ok(blank)
    }
}

fn merge_aggregations(
    into: &mut Option<IntermediateAggregationResults>,
    more: Option<IntermediateAggregationResults>,
) -> tantivy::Result<()> {
    match (into.as_mut(), more) {
        (_, None) => {}
        (Some(into), Some(more)) => into.merge_fruits(more)?,
        (None, more) => *into = more,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_on_a_server() {
        for (pattern, name, expected) in [
            ("logs-*", "logs-a-b", true),
            ("logs-*-b", "logs-a-b", true),
            ("logs-*-c", "logs-a-b", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*a", "a", false),
            ("*.pod.*", "kubernetes.pod.name", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hidden_indices_have_to_be_named() {
        for (given, index, expected) in [
            ("*", ".tailrace", false),
            (".tail*", ".tailrace", true),
            ("", "logs-a", true),
            ("logs-*,-logs-b", "logs-b", false),
            ("logs-*,-logs-b", "logs-a", true),
            ("_all", "x", true),
        ] {
            assert_eq!(
                Indices::parse(given).contains(index),
                expected,
                "{given} {index}"
            );
        }
    }
}
