//! Scraped metrics: the Prometheus text format, as far as tests look at it.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text of `/metrics`; lines it does not understand are left out.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(parse_line);
        Self {
            samples: samples.collect(),
        }
    }

    /// The sum of all samples of `name` whose labels hold `labels`; 0 when there is none. The
    /// prefix `tailrace_` may be left out.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.is_named(name))
            .filter(|sample| {
                let has = |(key, value): &(&str, &str)| {
                    sample.labels.get(*key).is_some_and(|it| it == value)
                };
                labels.iter().all(has)
            })
            .map(|sample| sample.value)
            .sum()
    }

    /// [`Metrics::sum`] of a counter, rounded down.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// Whether there is any sample of that name.
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.is_named(name))
    }

    /// All names, once each.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .samples
            .iter()
            .map(|sample| sample.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Sample {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.name.strip_prefix("tailrace_") == Some(name)
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let (name_labels, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = name_labels.split_once('{') else {
        return Some(Sample {
            name: name_labels.to_owned(),
            labels: BTreeMap::new(),
            value,
        });
    };
    let mut found = BTreeMap::new();
    let mut rest = labels.strip_suffix('}')?;
    while let Some((key, behind)) = rest.split_once("=\"") {
        // Values in tests hold no escaped quotes.
        let (value, behind) = behind.split_once('"')?;
        found.insert(key.trim_start_matches(',').to_owned(), value.to_owned());
        rest = behind;
    }
    Some(Sample {
        name: name.to_owned(),
        labels: found,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{ns=\"shop\",why=\"x y\"} 3\n\
                    a_total{ns=\"shop\",why=\"z\"} 4\na_total{ns=\"db\"} 1\nb 2.5\n# EOF\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.count("a_total", &[]), 8);
        assert_eq!(metrics.count("a_total", &[("ns", "shop")]), 7);
        assert_eq!(
            metrics.count("a_total", &[("ns", "shop"), ("why", "x y")]),
            3
        );
        assert!((metrics.sum("b", &[]) - 2.5).abs() < 1e-9);
        assert_eq!(metrics.names(), ["a_total", "b"]);
        assert!(!metrics.has("c"));
    }
}
