//! End to end: real files, the real programs, real stores. Every test counts every line.
//!
//! One binary, so that all tests share one OpenSearch; those that harm a store start their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod access;
mod api;
mod bad_input;
mod books;
mod conflicts;
mod elasticsearch;
mod embedded;
mod es_api;
mod es_panels;
mod fields;
mod grafana;
mod journal;
mod kills;
mod lines;
mod logs_api;
mod one_process;
mod page;
mod reload;
mod rotation;
mod rules;
mod run;
mod search_cases;
mod store_faults;
