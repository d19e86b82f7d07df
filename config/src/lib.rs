//! The configuration files of both programs: types, units, defaults, checks, reference.
//!
//! `load → validate → build`: [`load`] reads one YAML file into a tree with positions, walks it by
//! the types' own schema and lists everything that is wrong at once ([`Problems`]). It opens no
//! port and no file but the configuration, the secrets it names and CA files.
//!
//! A key is declared in one place, the `section!` of its struct: name, type, doc comment, default,
//! range. Reading, the reference page and the shipped default files all come from there.

mod credentials;
mod expand;
mod fields;
mod json_schema;
mod log;
mod pattern;
mod problem;
mod reader;
mod reference;
mod schema;
mod section;
mod setting;
mod shipped;
mod suggest;
mod tree;
mod units;
mod url;

pub mod agent;
pub mod aggregator;

pub use credentials::{Credentials, Secret, SecretError, read_secret_file};
pub use json_schema::chart_schema;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use pattern::PathGlob;
pub use problem::{Problem, Problems};
pub use reader::{Environment, Root, load, parse};
pub use reference::reference;
pub use schema::{Choice, FieldSchema, Kind, SectionSchema, Shown};
pub use shipped::shipped;
pub use units::{ByteSize, format_duration, parse_duration};
pub use url::HttpUrl;
