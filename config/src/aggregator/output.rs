//! Outputs: names of indices, the disk buffer, the size of bodies.

use std::time::Duration;

use super::{ElasticsearchConfig, EmbeddedConfig};
use crate::fields::At;
use crate::section::{Check, Rule, section};
use crate::units::ByteSize;

/// `%` conversions that an index name may hold.
const CONVERSIONS: &str = "YmdHjGV";

section! {
    /// One place that documents go to.
    pub struct OutputConfig {
        /// Name of the output: of its folder below `data_dir`, in metrics and messages.
        name: String = "main".to_owned() => Rule::required().check(output_name),
        /// An optional output that is full drops, and counts; others make agents wait.
        optional: bool = false,
        /// Dataset of the data stream `logs-<dataset>-<namespace>`; may hold fields like
        /// `%{kubernetes.namespace}`. Without it `kubernetes.container_logs` for containers,
        /// `system.journal` for nodes' journals, `kubernetes.events` for Kubernetes Events and
        /// `generic` for other files, unless a rule says otherwise.
        dataset: Option<String> = None => Rule::example("shop.%{kubernetes.namespace}"),
        /// Namespace of the data stream; may hold fields.
        namespace: String = "default".to_owned(),
        /// Most data streams or indices that fields may make; documents over it go to the usual one.
        max_datasets: u32 = 100 => Rule::range(1, 100_000),
        /// Plain indices instead of data streams: a name with the date of the event (`%Y`, `%m`,
        /// `%d`, `%H`) and fields.
        index: Option<String> = None => Rule::example("logs-%Y.%m.%d"),
        /// The disk buffer in front of the store, with `ack: buffer`.
        buffer: BufferConfig = BufferConfig::default(),
        /// What goes into one bulk body.
        batch: OutputBatchConfig = OutputBatchConfig::default(),
        /// Elasticsearch 7.17, 8 and 9, OpenSearch 1, 2 and 3, and what speaks as they do.
        /// An output names this or `embedded`.
        elasticsearch: ElasticsearchConfig = ElasticsearchConfig::default()
            => Rule::example("{hosts: [http://127.0.0.1:9200]}"),
        /// Instead of `elasticsearch`: a store within the aggregator, for one machine. Its data lie
        /// below `data_dir`; `{}` takes every default.
        embedded: Option<EmbeddedConfig> = None => Rule::example("{retention: 14d}"),
    }
}

section! {
    /// The disk buffer of an output.
    pub struct BufferConfig {
        /// Room on disk. A full buffer makes agents wait; their files hold the lines.
        max_bytes: ByteSize = ByteSize::gib(8) => Rule::range(ByteSize::mib(1), ByteSize(1 << 50)),
        /// Size of one file of the buffer.
        segment_bytes: ByteSize = ByteSize::mib(64)
            => Rule::range(ByteSize::kib(64), ByteSize::gib(1)),
        /// Part of `max_bytes` kept for documents that are mended, parked or dead letters, so that
        /// a full buffer can drain.
        reserve: ByteSize = ByteSize::mib(64),
        /// Bytes of bodies that stay in memory, beside the disk, until they are sent, so that they
        /// need not be read back. What waits behind a backlog is read from disk.
        keep_in_memory: ByteSize = ByteSize::mib(16)
            => Rule::range(ByteSize(0), ByteSize::gib(1)),
    }
}

section! {
    /// What goes into one bulk body.
    pub struct OutputBatchConfig {
        /// A body goes when it holds this much, before compression.
        max_bytes: ByteSize = ByteSize::mb(5) => Rule::range(ByteSize::kib(4), ByteSize::mib(64)),
        /// A body goes when it holds this many documents.
        max_records: u64 = 20_000 => Rule::range(1, 1_000_000),
        /// A body goes when its first document waited this long.
        max_age: Duration = Duration::from_millis(20)
            => Rule::range(Duration::ZERO, Duration::from_secs(10)),
    }
}

impl Check for OutputConfig {
    fn check(&self, at: &mut At<'_>) {
        match (at.is_set("elasticsearch"), self.embedded.is_some()) {
            (false, false) => at.hinted(
                "elasticsearch",
                "is required, or `embedded`",
                Some(
                    "`embedded: {}` keeps documents in a store of the aggregator's own".to_owned(),
                ),
            ),
            (true, true) => at.problem(
                "embedded",
                "an output has one store: leave out `elasticsearch` or `embedded`",
            ),
            _ => {}
        }
        if let Some(index) = &self.index {
            for key in ["dataset", "namespace"] {
                if at.is_set(key) {
                    at.problem(
                        key,
                        format!("belongs to data streams: leave it out with `index: {index}`"),
                    );
                }
            }
            if let Err(message) = name_pattern(index, true) {
                at.problem("index", message);
            }
        }
        for (key, pattern) in [
            ("dataset", self.dataset.as_ref()),
            ("namespace", Some(&self.namespace)),
        ] {
            let Some(pattern) = pattern else { continue };
            if let Err(message) = name_pattern(pattern, false) {
                at.problem(key, message);
            } else if without_holes(pattern).contains('-') {
                at.problem(
                    key,
                    "must not hold `-`, which parts the name of a data stream",
                );
            }
        }
        if self.batch.max_bytes > self.buffer.segment_bytes {
            let message = format!(
                "must not be larger than `buffer.segment_bytes` ({}), got `{}`",
                self.buffer.segment_bytes, self.batch.max_bytes
            );
            at.problem("batch.max_bytes", message);
        }
    }
}

impl Check for BufferConfig {
    fn check(&self, at: &mut At<'_>) {
        let needed = self
            .segment_bytes
            .0
            .saturating_mul(2)
            .saturating_add(self.reserve.0);
        if self.max_bytes.0 < needed {
            let message = format!(
                "must be at least two segments and the reserve ({}), got `{}`",
                ByteSize(needed),
                self.max_bytes
            );
            at.problem("max_bytes", message);
        }
    }
}

impl Check for OutputBatchConfig {}

/// The name is a folder's name and a label.
#[expect(clippy::ptr_arg, reason = "`Rule::check` hands out the field itself")]
fn output_name(name: &String) -> Result<(), String> {
    let fits = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if name.is_empty() || name.len() > 63 || !fits {
        return Err("must be 1 to 63 of `a-z`, `0-9`, `-`, `_`".to_owned());
    }
    Ok(())
}

/// A pattern of index names: every `%` opens a field or, with `dated`, a part of the date.
fn name_pattern(pattern: &str, dated: bool) -> Result<(), String> {
    let mut rest = pattern;
    while let Some((_, after)) = rest.split_once('%') {
        rest = match after.strip_prefix('{') {
            Some(inside) => match inside.split_once('}') {
                Some((field, tail)) if !field.trim().is_empty() => tail,
                Some(_) => return Err("`%{}` names no field".to_owned()),
                None => return Err("`%{` without a closing `}`".to_owned()),
            },
            None => {
                let mut chars = after.chars();
                match chars.next() {
                    Some(c) if dated && CONVERSIONS.contains(c) => chars.as_str(),
                    Some(c) if dated => {
                        return Err(format!(
                            "`%{c}` is no part of a date: use `%Y`, `%m`, `%d`, `%H`"
                        ));
                    }
                    _ => return Err("`%` must be followed by `{field}`".to_owned()),
                }
            }
        };
    }
    let known = without_holes(pattern);
    if pattern.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if known.chars().any(char::is_uppercase) {
        return Err(format!("must be lower case, got `{pattern}`"));
    }
    const FORBIDDEN: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];
    if let Some(c) = known
        .chars()
        .find(|c| FORBIDDEN.contains(c) || c.is_control())
    {
        return Err(format!(
            "must not hold `{}`, which no index name may",
            c.escape_debug()
        ));
    }
    if pattern.starts_with(['-', '_', '+', '.']) {
        return Err("must not start with `-`, `_`, `+` or `.`".to_owned());
    }
    Ok(())
}

/// The pattern without its `%{…}` and conversions.
fn without_holes(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').map_or("", |(_, tail)| tail),
            None => {
                let mut chars = after.chars();
                chars.next();
                chars.as_str()
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_patterns_are_checked() {
        let cases: [(&str, bool, Option<&str>); 13] = [
            ("logs-%Y.%m.%d", true, None),
            ("logs-%{kubernetes.namespace}-%Y", true, None),
            ("%{kubernetes.namespace}", false, None),
            ("Kubernetes.logs", false, Some("lower case")),
            ("%{Kubernetes.Labels}", false, None),
            ("logs-%Q", true, Some("no part of a date")),
            ("logs-%Y", false, Some("followed by")),
            ("logs-%", true, Some("followed by")),
            ("logs-%{", true, Some("closing")),
            ("logs-%{}", true, Some("names no field")),
            ("a/b", true, Some("must not hold `/`")),
            ("-a", true, Some("must not start")),
            ("", true, Some("empty")),
        ];
        for (pattern, dated, expected) in cases {
            match (name_pattern(pattern, dated), expected) {
                (Ok(()), None) => {}
                (Err(got), Some(want)) => assert!(got.contains(want), "{pattern}: {got}"),
                (got, want) => panic!("{pattern}: {got:?}, expected {want:?}"),
            }
        }
    }
}
