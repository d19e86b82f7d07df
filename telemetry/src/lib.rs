//! What both programs tell of themselves: log lines, metrics, health, tables for people.
//!
//! Nothing in here knows what is measured; the programs hand in registries, checks and JSON.

pub mod http;
pub mod logging;
pub mod process;
pub mod table;
