//! The seam to storage: `_bulk` bodies in, Elasticsearch's JSON out.
