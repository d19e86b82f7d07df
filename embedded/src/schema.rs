//! The tantivy schema that every partition shares.
//!
//! Few fields are tantivy's own; all others lie below one JSON field, each path with columns by
//! type. So a field that holds numbers today and words tomorrow conflicts with nothing.

use tantivy::schema::{
    BytesOptions, DateOptions, DateTimePrecision, FAST, Field, IndexRecordOption,
    JsonObjectOptions, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
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
/// decompress one. 64 KiB takes some 50 µs.
const STORE_BLOCK_BYTES: usize = 64 << 10;

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
    /// All other fields by path.
    pub(crate) values: Field,
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
    let raw = TextFieldIndexing::default()
        .set_tokenizer(RAW)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let fields = Fields {
        index: builder.add_text_field("_index", STRING | FAST),
        stream: builder
            .add_bytes_field("_stream", BytesOptions::default().set_indexed().set_fast()),
        offset: builder.add_u64_field("_offset", FAST),
        hash: builder.add_u64_field("_hash", FAST),
        id: builder.add_text_field("_id", STRING | FAST),
        marks: builder.add_text_field("_marks", STRING),
        timestamp: builder.add_date_field(
            "@timestamp",
            DateOptions::default()
                .set_fast()
                .set_precision(DateTimePrecision::Nanoseconds),
        ),
        message: builder.add_text_field("message", text.clone()),
        stack_trace: builder.add_text_field("stack_trace", text),
        values: builder.add_json_field(
            "v",
            JsonObjectOptions::from(FAST)
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
            compression_level: Some(3),
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

    /// The start of every term of `path`, to which a value is appended.
    pub(crate) fn path_term(&self, path: &str) -> Term {
        Term::from_field_json_path(self.values, path, true)
    }

    /// The term of a word at `path`.
    pub(crate) fn word_term(&self, path: &str, word: &str) -> Term {
        let mut term = self.path_term(path);
        term.append_type_and_str(word);
        term
    }
}
