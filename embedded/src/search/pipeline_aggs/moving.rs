//! Functions over a window of buckets.

use serde_json::Value;

use super::super::query::{QueryError, error};
use super::super::script::without_return;
use super::{simple, source};

/// The functions of `moving_fn`, over the numbers in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    Max,
    Min,
    Sum,
    Average,
    Weighted,
    Deviation,
}

impl Moving {
    pub(super) fn parse(name: &str, script: &Value) -> Result<Self, QueryError> {
        let text = source(name, script)?;
        let compact: String = without_return(text)
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        Ok(match compact.as_str() {
            "MovingFunctions.max(values)" => Self::Max,
            "MovingFunctions.min(values)" => Self::Min,
            "MovingFunctions.sum(values)" => Self::Sum,
            "MovingFunctions.unweightedAvg(values)" => Self::Average,
            "MovingFunctions.linearWeightedAvg(values)" => Self::Weighted,
            "MovingFunctions.stdDev(values,MovingFunctions.unweightedAvg(values))" => {
                Self::Deviation
            }
            _ => {
                return error(format!(
                    "[{name}]: of scripts of `moving_fn` there are MovingFunctions.max(values), \
                     min, sum, unweightedAvg, linearWeightedAvg and stdDev(values, \
                     MovingFunctions.unweightedAvg(values)), got {script}"
                ));
            }
        })
    }

    fn over(self, values: &[f64]) -> f64 {
        let n = values.len() as f64;
        let sum = values.iter().fold(0.0, |sum, value| sum + value);
        match self {
            _ if values.is_empty() && self != Self::Sum => f64::NAN,
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Sum => sum,
            Self::Average => sum / n,
            Self::Weighted => {
                let weights = (1_u32..).map(f64::from);
                let weighted: f64 = values
                    .iter()
                    .zip(weights)
                    .map(|(v, weight)| v * weight)
                    .sum();
                // One more than the sum of the weights, as Elasticsearch has it.
                weighted / (n * (n + 1.0) / 2.0 + 1.0)
            }
            Self::Deviation => {
                let squares: f64 = values.iter().map(|value| (value - sum / n).powi(2)).sum();
                (squares / n).sqrt()
            }
        }
    }
}

/// The function over the numbers in the window of each value that is one.
pub(super) fn moving(
    values: &[Option<f64>],
    function: Moving,
    window: i64,
    shift: i64,
) -> Vec<Option<Value>> {
    let is_number = |value: &f64| !value.is_nan();
    let numbers: Vec<f64> = values.iter().flatten().copied().filter(is_number).collect();
    let place = |at: i64| usize::try_from(at).unwrap_or(0).min(numbers.len());
    let mut at = 0;
    let moved = values.iter().map(|value| {
        value.filter(is_number)?;
        let (from, to) = (place(at - window + shift), place(at + shift));
        at += 1;
        Some(simple(
            function.over(numbers.get(from..to).unwrap_or_default()),
        ))
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_those_of_elasticsearch() {
        for (script, expected, of_nothing) in [
            ("MovingFunctions.max(values)", 6.0, None),
            ("MovingFunctions.min(values)", 1.0, None),
            ("return MovingFunctions.sum( values );", 9.0, Some(0.0)),
            ("MovingFunctions.unweightedAvg(values)", 3.0, None),
            // 2, 1 and 6 weigh 1, 2 and 3, and the divisor is one more than 6.
            (
                "MovingFunctions.linearWeightedAvg(values)",
                22.0 / 7.0,
                None,
            ),
            (
                "MovingFunctions.stdDev(values, MovingFunctions.unweightedAvg(values))",
                (14.0_f64 / 3.0).sqrt(),
                None,
            ),
        ] {
            let function = Moving::parse("m", &json!({"source": script})).unwrap();
            let found = function.over(&[2.0, 1.0, 6.0]);
            assert!((found - expected).abs() < 1e-12, "{script}: {found}");
            let found = function.over(&[]);
            assert_eq!(Some(found).filter(|found| !found.is_nan()), of_nothing);
        }
        for script in ["MovingFunctions.ewma(values, 0.3)", "values.length", ""] {
            assert!(Moving::parse("m", &json!(script)).is_err(), "{script}");
        }
    }

    #[test]
    fn windows_move_over_the_values_there_are() {
        let values = [
            Some(1.0),
            Some(2.0),
            None,
            Some(f64::NAN),
            Some(4.0),
            Some(8.0),
        ];
        let of = |window: i64, shift: i64| -> Vec<Option<f64>> {
            let moved = moving(&values, Moving::Sum, window, shift);
            let numbers = moved.into_iter().map(|found| found?["value"].as_f64());
            numbers.collect()
        };
        // A window ends before its bucket, unless it is shifted.
        let expected = [Some(0.0), Some(1.0), None, None, Some(3.0), Some(6.0)];
        assert_eq!(of(2, 0), expected);
        let expected = [Some(1.0), Some(3.0), None, None, Some(6.0), Some(12.0)];
        assert_eq!(of(2, 1), expected);
        let expected = [Some(0.0), Some(0.0), None, None, Some(0.0), Some(1.0)];
        assert_eq!(of(1, -2), expected);
    }
}
