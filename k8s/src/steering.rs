//! What annotations ask for: per pod, or per container, and which a namespace may use.
//!
//! Ours are `tailrace.io/parser`, `exclude`, `multiline`, `dataset`, `sample` and `rate-limit`; with a
//! container's name behind a dot (`tailrace.io/parser.web`) they are for that container alone, and
//! win. Those of others count where they mean the same and ours say nothing:
//! `fluentbit.io/parser` and `exclude`, with `-CONTAINER` behind
//! (<https://docs.fluentbit.io/manual/pipeline/filters/kubernetes#kubernetes-pod-annotations>), and
//! `co.elastic.logs/enabled` and `multiline.*`, with `.CONTAINER` before the slash
//! (<https://www.elastic.co/docs/reference/beats/filebeat/configuration-autodiscover-hints>).

use std::{collections::BTreeMap, str::FromStr};

use config::ByteSize;

use crate::pod::{Pod, fits};

const OURS: &str = "tailrace.io/";
const FLUENT_BIT: &str = "fluentbit.io/";
const ELASTIC: &str = "co.elastic.logs";

/// Longest dataset that stores take, in bytes.
const MAX_DATASET: usize = 100;

/// Whether an annotation is looked at here.
pub(crate) fn is_steering(name: &str) -> bool {
    name.starts_with(OURS) || name.starts_with(FLUENT_BIT) || name.starts_with(ELASTIC)
}

/// What an annotation can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SteeringKind {
    /// The rule that parses the lines.
    Parser,
    /// The lines are not carried at all.
    Exclude,
    /// How lines are joined to events.
    Multiline,
    /// The dataset of the data stream.
    Dataset,
    /// One event of so many.
    Sample,
    /// Bytes a second.
    RateLimit,
}

impl SteeringKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Parser,
        Self::Exclude,
        Self::Multiline,
        Self::Dataset,
        Self::Sample,
        Self::RateLimit,
    ];

    /// As it stands behind `tailrace.io/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parser => "parser",
            Self::Exclude => "exclude",
            Self::Multiline => "multiline",
            Self::Dataset => "dataset",
            Self::Sample => "sample",
            Self::RateLimit => "rate-limit",
        }
    }
}

/// What the pods of some namespaces may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Names of namespaces, or beginnings that end with `*`.
    pub namespaces: Vec<String>,
    /// What they may use.
    pub kinds: Vec<SteeringKind>,
}

/// Which namespaces may use what. The first entry that names a namespace counts; one that none
/// names may use nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringPolicy(pub Vec<Allowed>);

impl Default for SteeringPolicy {
    /// Everybody may use everything.
    fn default() -> Self {
        Self(vec![Allowed {
            namespaces: vec!["*".to_owned()],
            kinds: SteeringKind::ALL.to_vec(),
        }])
    }
}

impl SteeringPolicy {
    fn allows(&self, namespace: &str, kind: SteeringKind) -> bool {
        self.0
            .iter()
            .find(|entry| fits(namespace, &entry.namespaces))
            .is_some_and(|entry| entry.kinds.contains(&kind))
    }
}

/// What a container's annotations ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    /// The name of a rule.
    pub parser: Option<String>,
    /// Lines are not carried.
    pub exclude: bool,
    /// As the step `multiline` of a rule has it: a built-in's name, or a map of YAML.
    pub multiline: Option<String>,
    /// The dataset of the data stream.
    pub dataset: Option<String>,
    /// The share of events that is kept: above 0, at most 1.
    pub sample: Option<String>,
    /// Bytes a second, at least 1.
    pub rate_limit: Option<u64>,
    /// Annotations that ask for something and do not get it, and why.
    pub refused: Vec<String>,
}

impl Steering {
    /// Reads what the annotations of `pod` ask for `container`.
    pub fn of(pod: &Pod, container: &str, policy: &SteeringPolicy) -> Self {
        let mut this = Self::default();
        if pod.steering.is_empty() {
            return this;
        }
        for kind in SteeringKind::ALL {
            let Some((name, value)) = asked(&pod.steering, container, kind) else {
                continue;
            };
            let taken = match policy.allows(&pod.namespace, kind) {
                true => this.take(kind, &value),
                false => Err("this namespace may not use it".to_owned()),
            };
            if let Err(why) = taken {
                this.refused.push(format!("`{name}: {value}`: {why}"));
            }
        }
        this
    }

    fn take(&mut self, kind: SteeringKind, value: &str) -> Result<(), String> {
        let value = value.trim();
        if value.is_empty() {
            return Err("it is empty".to_owned());
        }
        match kind {
            SteeringKind::Parser => self.parser = Some(value.to_owned()),
            SteeringKind::Exclude => self.exclude = flag(value)?,
            SteeringKind::Multiline => self.multiline = Some(value.to_owned()),
            SteeringKind::Dataset if value.len() > MAX_DATASET => {
                return Err(format!("a dataset has at most {MAX_DATASET} bytes"));
            }
            SteeringKind::Dataset => self.dataset = Some(value.to_owned()),
            SteeringKind::Sample => self.sample = Some(share(value)?),
            SteeringKind::RateLimit => {
                let value = value.strip_suffix("/s").unwrap_or(value);
                let rate = ByteSize::from_str(value)
                    .map_err(|why| format!("{why}; write bytes a second, such as 256KiB"))?;
                if rate.0 == 0 {
                    return Err("a rate is above 0; `tailrace.io/exclude` stops all".to_owned());
                }
                self.rate_limit = Some(rate.0);
            }
        }
        Ok(())
    }

    /// What the aggregator has to know, under the names of our annotations.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("kubernetes.annotations.tailrace.io/parser", &self.parser),
            (
                "kubernetes.annotations.tailrace.io/multiline",
                &self.multiline,
            ),
            ("kubernetes.annotations.tailrace.io/dataset", &self.dataset),
            ("kubernetes.annotations.tailrace.io/sample", &self.sample),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// `0.1` or `10%`, as a number.
fn share(value: &str) -> Result<String, String> {
    let number = match value.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => value.parse::<f64>(),
    };
    match number {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share.to_string()),
        _ => Err("write a share above 0 and up to 1, such as 0.1 or 10%".to_owned()),
    }
}

/// The annotation that decides on `kind` for a container, and its value in our terms.
fn asked(
    annotations: &BTreeMap<String, String>,
    container: &str,
    kind: SteeringKind,
) -> Option<(String, String)> {
    let find = |name: String| annotations.get(&name).map(|value| (name, value.clone()));
    let own = kind.name();
    find(format!("{OURS}{own}.{container}"))
        .or_else(|| find(format!("{OURS}{own}")))
        .or_else(|| match kind {
            SteeringKind::Parser | SteeringKind::Exclude => {
                find(format!("{FLUENT_BIT}{own}-{container}"))
                    .or_else(|| find(format!("{FLUENT_BIT}{own}")))
            }
            _ => None,
        })
        .or_else(|| {
            [format!("{ELASTIC}.{container}/"), format!("{ELASTIC}/")]
                .iter()
                .find_map(|prefix| elastic(annotations, prefix, kind))
        })
}

/// What an annotation of Filebeat's says, in our terms.
fn elastic(
    annotations: &BTreeMap<String, String>,
    prefix: &str,
    kind: SteeringKind,
) -> Option<(String, String)> {
    let get = |key: &str| annotations.get(&format!("{prefix}{key}"));
    match kind {
        SteeringKind::Exclude => {
            let name = format!("{prefix}enabled");
            let value = get("enabled")?;
            // Anything but a plain no is a yes, as there.
            let is_off = flag(value).is_ok_and(|enabled| !enabled);
            Some((name, is_off.to_string()))
        }
        SteeringKind::Multiline => {
            let pattern = get("multiline.pattern")?;
            let negate = get("multiline.negate").is_some_and(|it| flag(it) == Ok(true));
            let is_after = get("multiline.match").is_none_or(|it| it == "after");
            // Lines that do (not) fit the pattern belong to the one before them; what belongs to
            // the next one has no counterpart here.
            let key = match (is_after, negate) {
                (true, true) => "start",
                (true, false) => "continue",
                (false, _) => return None,
            };
            let quoted = pattern.replace('\'', "''");
            Some((
                format!("{prefix}multiline.pattern"),
                format!("{{{key}: '{quoted}'}}"),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steering(annotations: &[(&str, &str)], policy: &SteeringPolicy) -> Steering {
        let pod = Pod {
            namespace: "shop".to_owned(),
            steering: annotations
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Pod::default()
        };
        Steering::of(&pod, "web", policy)
    }

    #[track_caller]
    fn check(annotations: &[(&str, &str)], expected: Steering) {
        assert_eq!(
            steering(annotations, &SteeringPolicy::default()),
            expected,
            "{annotations:?}"
        );
    }

    #[test]
    fn ours_win_and_a_containers_own_wins_over_its_pods() {
        let parser = |name: &str| Steering {
            parser: Some(name.to_owned()),
            ..Steering::default()
        };
        check(&[], Steering::default());
        check(&[("tailrace.io/parser", "a")], parser("a"));
        check(
            &[("tailrace.io/parser", "a"), ("tailrace.io/parser.web", "b")],
            parser("b"),
        );
        check(
            &[("tailrace.io/parser", "a"), ("tailrace.io/parser.db", "b")],
            parser("a"),
        );
        check(
            &[
                ("fluentbit.io/parser-web", "b"),
                ("tailrace.io/parser", "a"),
            ],
            parser("a"),
        );
        check(
            &[
                ("fluentbit.io/parser-web", "b"),
                ("fluentbit.io/parser", "a"),
            ],
            parser("b"),
        );
    }

    #[test]
    fn every_kind_is_read() {
        check(
            &[
                ("tailrace.io/exclude", "true"),
                ("tailrace.io/multiline", "timestamp"),
                ("tailrace.io/dataset", "shop.orders"),
                ("tailrace.io/sample", "10%"),
                ("tailrace.io/rate-limit", "256KiB/s"),
            ],
            Steering {
                exclude: true,
                multiline: Some("timestamp".to_owned()),
                dataset: Some("shop.orders".to_owned()),
                sample: Some("0.1".to_owned()),
                rate_limit: Some(256 << 10),
                ..Steering::default()
            },
        );
    }

    #[test]
    fn others_count_where_they_mean_the_same() {
        let exclude = Steering {
            exclude: true,
            ..Steering::default()
        };
        check(&[("fluentbit.io/exclude", "true")], exclude.clone());
        check(&[("fluentbit.io/exclude-db", "true")], Steering::default());
        check(&[("co.elastic.logs/enabled", "false")], exclude.clone());
        check(&[("co.elastic.logs.web/enabled", "false")], exclude);
        check(&[("co.elastic.logs/enabled", "true")], Steering::default());
        let multiline = |text: &str| Steering {
            multiline: Some(text.to_owned()),
            ..Steering::default()
        };
        check(
            &[
                ("co.elastic.logs/multiline.pattern", r"^\d{4}'s"),
                ("co.elastic.logs/multiline.negate", "true"),
                ("co.elastic.logs/multiline.match", "after"),
            ],
            multiline(r"{start: '^\d{4}''s'}"),
        );
        check(
            &[("co.elastic.logs/multiline.pattern", r"^\s")],
            multiline(r"{continue: '^\s'}"),
        );
        check(
            &[
                ("co.elastic.logs/multiline.pattern", r"\\$"),
                ("co.elastic.logs/multiline.match", "before"),
            ],
            Steering::default(),
        );
    }

    #[test]
    fn what_is_wrong_or_not_allowed_is_told_and_ignored() {
        let policy = SteeringPolicy(vec![
            Allowed {
                namespaces: vec!["kube-*".to_owned()],
                kinds: vec![],
            },
            Allowed {
                namespaces: vec!["*".to_owned()],
                kinds: vec![SteeringKind::Parser, SteeringKind::Sample],
            },
        ]);
        let annotations = [
            ("tailrace.io/parser", "a"),
            ("tailrace.io/exclude", "true"),
            ("tailrace.io/sample", "7"),
        ];
        let steering = steering(&annotations, &policy);
        assert_eq!(steering.parser.as_deref(), Some("a"));
        assert!(!steering.exclude);
        assert_eq!(
            steering.refused,
            [
                "`tailrace.io/exclude: true`: this namespace may not use it",
                "`tailrace.io/sample: 7`: write a share above 0 and up to 1, such as 0.1 or 10%",
            ]
        );
        assert!(!policy.allows("kube-system", SteeringKind::Parser));
        let rate = |value: &str| {
            let mut steering = Steering::default();
            steering.take(SteeringKind::RateLimit, value)
        };
        assert!(rate("0").is_err() && rate("fast").is_err() && rate("1MiB").is_ok());
    }
}
