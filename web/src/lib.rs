//! The API, Elasticsearch's and Grafana's read endpoints, and the web page, over any store.
//!
//! `openapi.yaml` is the contract. Knows the [`store::Store`] that answers searches and a
//! [`Pipeline`] that takes lines; not how either is made. Everything that is asked has a limit of
//! time and size, and is dropped when its client goes.
//!
//! What a user may see is decided in the query that the store gets, nowhere else.

mod access;
mod aggregate;
mod api;
mod assets;
mod body;
mod complete;
mod context;
mod elastic;
mod export;
mod fields;
mod grafana;
mod gzip;
mod histogram;
mod logs;
mod metrics;
mod objects;
mod params;
mod patterns;
mod pipeline;
mod problem;
mod rules;
mod scope;
mod search;
mod streams;
mod tail;

pub mod query;
pub mod time;

pub use access::{
    Access, AccessError, Network, ProxyHeader, Role, Users, hash_password, hash_token,
    is_for_this_machine, new_token,
};
pub use api::{Api, ApiOptions};
pub use body::{Body, full};
pub use metrics::Metrics;
pub use pipeline::{IngestError, LogLine, Pipeline, RuleFigures, RuleProblem, Trial, TrialResult};
pub use problem::Problem;
pub use tail::TailHub;

/// Puts text in quotes where a query needs them.
pub(crate) fn quote(text: &str) -> String {
    if query::is_plain_word(text) {
        return text.to_owned();
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}
