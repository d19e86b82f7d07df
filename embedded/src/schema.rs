//! The tantivy schema that every partition shares.
//!
//! Few fields are tantivy's own; all others lie below one JSON field, each path with columns by
//! type. So a field that holds numbers today and words tomorrow conflicts with nothing.
//!
//! Words (and booleans) have an inverted index beside their columns, in a JSON field of its own.
//! Numbers and dates have columns alone: most differ from document to document, and a term of its
//! own for each took more bytes than the value and its column together.

use tantivy::schema::{
    BytesOptions, DateOptions, DateTimePrecision, FAST, Field, IndexRecordOption,
    JsonObjectOptions, STORED, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{IndexSettings, Term};

use crate::tokens::WordTokenizer;

/// Name of the tokenizer for text.
const WORDS: &str = "words";
/// Name of the tokenizer that leaves a value whole.
const RAW: &str = "raw";

/// Column of the JSON field at `path`.
pub(crate) fn column(path: &str) -> String {
    match path {
        "@timestamp" | "_index" => path.to_owned(),
        _ => format!("v.{path}"),
    }
}

/// Documents are compressed in blocks of this size: larger ones compress better, and a hit has to
/// decompress one. 128 KiB takes some 80 µs.
const STORE_BLOCK_BYTES: usize = 128 << 10;
/// zstd's level for them. 6 takes 4 µs a document more than 3 and 9 bytes less; above 6 little
/// comes of it (`docs/benchmarks.md`, "What was tried").
const STORE_LEVEL: i32 = 6;

/// The fields of the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// Name of the index or data stream.
    pub(crate) index: Field,
    /// First 8 bytes of an id that says where a record stood: its stream.
    pub(crate) stream: Field,
    /// The offset of such an id.
    pub(crate) offset: Field,
    /// The last 4 bytes of such an id.
    pub(crate) hash: Field,
    /// Ids of any other form.
    pub(crate) id: Field,
    /// Marks: which text fields a document has, which of its values were not indexed.
    pub(crate) marks: Field,
    /// `@timestamp`, to the nanosecond.
    pub(crate) timestamp: Field,
    /// `message`.
    pub(crate) message: Field,
    /// `error.stack_trace`.
    pub(crate) stack_trace: Field,
    /// Columns of all other fields, by path.
    pub(crate) values: Field,
    /// Index of their words and booleans, by path.
    pub(crate) words: Field,
    /// The document as it came.
    pub(crate) source: Field,
}

/// Builds the schema.
pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let text = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    // Nothing is scored: lengths of fields, a byte each of every document, are left out.
    let raw = TextFieldIndexing::default()
        .set_tokenizer(RAW)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let whole = TextOptions::default().set_indexing_options(raw.clone());
    let fields = Fields {
        index: builder.add_text_field("_index", whole.clone() | FAST),
        stream: builder
            .add_bytes_field("_stream", BytesOptions::default().set_indexed().set_fast()),
        offset: builder.add_u64_field("_offset", FAST),
        hash: builder.add_u64_field("_hash", FAST),
        id: builder.add_text_field("_id", whole.clone() | FAST),
        marks: builder.add_text_field("_marks", whole),
        timestamp: builder.add_date_field(
            "@timestamp",
            DateOptions::default()
                .set_fast()
                .set_precision(DateTimePrecision::Nanoseconds),
        ),
        message: builder.add_text_field("message", text.clone()),
        stack_trace: builder.add_text_field("stack_trace", text),
        values: builder
            .add_json_field("v", JsonObjectOptions::from(FAST).set_expand_dots_enabled()),
        words: builder.add_json_field(
            "w",
            JsonObjectOptions::default()
                .set_expand_dots_enabled()
                .set_indexing_options(raw),
        ),
        source: builder.add_bytes_field("_source", STORED),
    };
    (builder.build(), fields)
}

/// Settings of a partition's index.
pub(crate) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::Zstd(ZstdCompressor {
            compression_level: Some(STORE_LEVEL),
        }),
        docstore_blocksize: STORE_BLOCK_BYTES,
        ..IndexSettings::default()
    }
}

/// The tokenizers that the schema names.
pub(crate) fn tokenizers() -> TokenizerManager {
    // Holds `raw` and what fields without text ask for.
    let manager = TokenizerManager::default();
    manager.register(WORDS, TextAnalyzer::from(WordTokenizer::default()));
    manager
}

impl Fields {
    /// The text field of this name.
    pub(crate) fn text(&self, name: &str) -> Option<Field> {
        match name {
            "message" => Some(self.message),
            "error.stack_trace" => Some(self.stack_trace),
            _ => None,
        }
    }

    /// The start of a bound of a range over the column of `path`, to which a value is appended.
    pub(crate) fn column_term(&self, path: &str) -> Term {
        Term::from_field_json_path(self.values, path, true)
    }

    /// The term of a word at `path`.
    pub(crate) fn word_term(&self, path: &str, word: &str) -> Term {
        let mut term = Term::from_field_json_path(self.words, path, true);
        term.append_type_and_str(word);
        term
    }

    /// The term of a boolean at `path`.
    pub(crate) fn boolean_term(&self, path: &str, value: bool) -> Term {
        let mut term = Term::from_field_json_path(self.words, path, true);
        term.append_type_and_fast_value(value);
        term
    }
}
