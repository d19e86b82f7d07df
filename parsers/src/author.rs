//! For people who write rules: proposes one from sample lines, turns what other programs use into
//! rules, and tells what there is (reference page, JSON Schema). Text in, text out.

mod draft;
mod reference;
mod schema;

pub mod convert;
pub mod propose;

pub use reference::{ShippedRule, reference, shipped_rules};
pub use schema::schema;
