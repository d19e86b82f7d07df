//! The rules that ship, each a file of `parsers/rules/`: in force when the configuration names
//! them, and at hand for `use` always.

/// Name and text of every shipped file, in the order they are tried.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("nginx.yaml", include_str!("../../rules/nginx.yaml")),
    ("redis.yaml", include_str!("../../rules/redis.yaml")),
];
