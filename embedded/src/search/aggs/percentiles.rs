//! `percentiles`: of the rank that OpenSearch takes, where values are few.
//!
//! tantivy takes a lower one, so that of two values the 99th percentile is the lesser. It is asked
//! for some percents more, which lead to each of a few values, and how many there are; the right
//! one is chosen when that is known.

use serde_json::{Map, Value, json};
use tantivy::aggregation::metric::PercentilesAggregationReq;

/// Percentiles of a request that names none.
const DEFAULT_PERCENTS: &[f64] = &[1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0];
/// Most values of which the rank is exact.
const FEW: u64 = 20;
/// The percents more are so many even steps from 0 to 100: to tantivy one of 20 values spans a 19th
/// of the way, so that a step is well within each.
const N_STEPS: u32 = 25;

/// What is shown of the percentiles that tantivy is asked for.
#[derive(Debug)]
pub(super) struct Percentiles {
    percents: Vec<f64>,
    is_keyed: bool,
}

impl Percentiles {
    /// Reads what tantivy is asked, and adds to it what is needed to choose.
    pub(super) fn plan(given: &mut Value) -> Self {
        let percents: Vec<f64> = match &given["percents"] {
            Value::Array(percents) => percents.iter().filter_map(Value::as_f64).collect(),
            _ => DEFAULT_PERCENTS.to_vec(),
        };
        let is_keyed = given["keyed"] != false;
        let steps = (0..=N_STEPS).map(|step| f64::from(step) * 100.0 / f64::from(N_STEPS));
        let all: Vec<f64> = percents.iter().copied().chain(steps).collect();
        given["percents"] = all.into();
        given["keyed"] = false.into();
        Self { percents, is_keyed }
    }

    /// Those that were asked for, of so many values.
    pub(super) fn chosen(&self, found: &Value, n_values: u64) -> Value {
        let values = self.percents.iter().enumerate().map(|(n, percent)| {
            let place = match step_of(*percent, n_values) {
                Some(step) => self.percents.len() + step,
                None => n,
            };
            (*percent, found["values"][place]["value"].clone())
        });
        if self.is_keyed {
            let keyed = values.map(|(percent, value)| (format!("{percent:?}"), value));
            json!({"values": keyed.collect::<Map<String, Value>>()})
        } else {
            let listed = values.map(|(key, value)| json!({"key": key, "value": value}));
            json!({"values": listed.collect::<Vec<Value>>()})
        }
    }
}

/// The name under which tantivy counts the values.
pub(super) fn counted(name: &str) -> String {
    format!("{name}\u{1}values")
}

/// The percents that a request asked for, of those that tantivy is asked for.
pub(super) fn asked(request: &PercentilesAggregationReq) -> &[f64] {
    let all = request.percents.as_deref().unwrap_or_default();
    let n_asked = all.len().saturating_sub(N_STEPS as usize + 1);
    all.get(..n_asked).unwrap_or_default()
}

/// The step that leads to the value that as many hundredths of all are below; `None` where values
/// are not few.
fn step_of(percent: f64, n_values: u64) -> Option<usize> {
    if !(1..=FEW).contains(&n_values) {
        return None;
    }
    let n_values = n_values as f64;
    // From 0. A rank that is whole but for rounding is that one, not the one before.
    let rank = (percent * n_values / 100.0 + 1e-9)
        .floor()
        .min(n_values - 1.0);
    if rank == 0.0 {
        return Some(0);
    }
    let n_steps = f64::from(N_STEPS);
    let step = ((rank + 0.5) / (n_values - 1.0) * n_steps).round();
    Some(step.min(n_steps) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rank from 0 that tantivy makes of a quantile.
    fn rank_of(step: usize, n_values: u64) -> u64 {
        let percent = step as f64 * 100.0 / f64::from(N_STEPS);
        (percent / 100.0 * (n_values as f64 - 1.0)) as u64
    }

    #[test]
    fn steps_lead_to_the_rank() {
        for n_values in 1..=FEW {
            for percent in 0..=100_u32 {
                let step = step_of(f64::from(percent), n_values).unwrap();
                let expected = (u64::from(percent) * n_values / 100).min(n_values - 1);
                assert_eq!(rank_of(step, n_values), expected, "{percent} of {n_values}");
            }
        }
        assert_eq!(step_of(50.0, 0), None);
        assert_eq!(step_of(50.0, FEW + 1), None);
    }
}
