//! The client and the sender against real servers, and against a store in this process that fails
//! as no real one can be made to fail.
//!
//! All tests of this binary share one OpenSearch and one Elasticsearch. What counts is what the
//! store holds in the end.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod fake;
mod parking;
mod sending;
mod servers;

mod audit;
mod doubt;
mod faults;
mod install;
mod limits;
mod mending;
mod pieces;
mod refusals;
mod security;
