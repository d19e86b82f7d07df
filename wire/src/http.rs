//! What HTTP carries the batches with: path, content types, headers. Names only.

/// Where batches are posted to.
pub const BATCH_PATH: &str = "/v1/batch";

/// `Content-Type` of a request.
pub const BATCH_CONTENT_TYPE: &str = "application/vnd.tailrace.batch.v1";

/// `Content-Type` of an answer with status 200.
pub const ANSWER_CONTENT_TYPE: &str = "application/vnd.tailrace.answer.v1";

/// `Content-Encoding` of a request compressed as zstd frames.
pub const ENCODING_ZSTD: &str = "zstd";

/// `Content-Encoding` of a request compressed as gzip members.
pub const ENCODING_GZIP: &str = "gzip";

/// `Content-Encoding` of a request that is not compressed; the same as no header.
pub const ENCODING_IDENTITY: &str = "identity";

/// Request header: size of the batch in bytes before compression, decimal. Optional; lets the
/// receiver reserve memory, or refuse with 413, before it decompresses.
pub const RAW_LENGTH_HEADER: &str = "tailrace-raw-length";
