//! The aggregator: receives batches of chunks, frames and parses them, keeps ready-made bodies
//! until the store has them, and answers agents as soon as they are durable.
//!
//! A library, so that tests can run parts of it; `main.rs` only reads arguments. What an
//! aggregator never does: keep state of a stream between two requests.

pub mod allocator;
pub mod audit;
pub mod build;
mod clock;
pub mod command;
mod kubernetes_events;
pub mod metrics;
pub mod output;
mod own_agent;
pub mod pipeline;
pub mod receive;
mod resolve;
pub mod rules;
pub mod status;
pub mod web_pipeline;
