//! The manifests and the chart: rendered by the real tools, taken by a real API server, and read by
//! the real programs.
//!
//! A tool that is missing is a failure that names it: a manifest that nobody rendered is not tested.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod cluster;
mod manifests;
mod stage;

mod apply;
mod chart;
mod compose;
mod configurations;
mod events;
mod memory;
mod pod_security;
mod pods;
mod release;
mod rights;
mod rollout;
mod server;
mod steering;
