//! Pipeline aggregations among the others of their level: what their paths lead to, and in which
//! order they are answered.

use serde_json::{Map, Value};

use super::super::pipeline_aggs::{Parent, Path};
use super::super::query::{QueryError, error};
use super::{Plan, PlanKind};

/// Most pipeline aggregations of one level: none of them can be given up half-way.
const MAX_PIPELINES: usize = 50;

/// What an aggregation of this type is to those below it.
pub(super) fn parent_of(kind: &str) -> Parent {
    match kind {
        "histogram" | "date_histogram" => Parent::Histogram,
        "terms" | "filters" | "range" | "date_range" => Parent::Buckets,
        _ => Parent::One,
    }
}

/// Checks the pipelines of a level and puts them behind what they need.
pub(super) fn in_order(plans: Vec<Plan>, parent: Parent) -> Result<Vec<Plan>, QueryError> {
    for plan in &plans {
        let PlanKind::Pipeline(pipeline) = &plan.kind else {
            continue;
        };
        pipeline.check_parent(parent)?;
        let from: &[Plan] = match pipeline.beside() {
            None => &plans,
            Some(of) => match plans.iter().find(|plan| plan.name == of) {
                Some(plan) if has_buckets(&plan.kind) => &plan.below,
                _ => {
                    return error(format!(
                        "[{}]: there is no aggregation [{of}] with buckets beside it",
                        plan.name
                    ));
                }
            },
        };
        for path in pipeline.paths() {
            check(&plan.name, path, from)?;
        }
    }
    let (mut waiting, mut ordered): (Vec<Plan>, Vec<Plan>) = plans
        .into_iter()
        .partition(|plan| matches!(plan.kind, PlanKind::Pipeline(_)));
    if waiting.len() > MAX_PIPELINES {
        return error(format!(
            "more than {MAX_PIPELINES} pipeline aggregations beside each other"
        ));
    }
    while !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|plan| plan.name.clone()).collect();
        let (ready, others): (Vec<Plan>, Vec<Plan>) =
            waiting.into_iter().partition(|plan| !waits(plan, &names));
        if ready.is_empty() {
            return error(format!(
                "the pipeline aggregations [{}] need each other",
                names.join("], [")
            ));
        }
        ordered.extend(ready);
        waiting = others;
    }
    Ok(ordered)
}

/// Whether a pipeline needs the result of one of these.
fn waits(plan: &Plan, names: &[String]) -> bool {
    let PlanKind::Pipeline(pipeline) = &plan.kind else {
        return false;
    };
    pipeline.beside().is_none()
        && pipeline.paths().iter().any(|path| {
            path.names()
                .first()
                .is_some_and(|first| names.contains(first))
        })
}

fn has_buckets(kind: &PlanKind) -> bool {
    matches!(
        kind,
        PlanKind::Terms { .. }
            | PlanKind::Histogram { .. }
            | PlanKind::DateHistogram { .. }
            | PlanKind::Buckets { .. }
    )
}

/// Refuses a path that leads to no number.
fn check(name: &str, path: &Path, plans: &[Plan]) -> Result<(), QueryError> {
    let mut plans = plans;
    for (n, step) in path.names().iter().enumerate() {
        let is_last = n + 1 == path.names().len();
        if is_last && step == "_count" {
            return Ok(());
        }
        let Some(plan) = plans.iter().find(|plan| plan.name == *step) else {
            return error(format!(
                "[{name}]: there is no aggregation for the path [{path}]"
            ));
        };
        if !is_last {
            let PlanKind::Filter { .. } = &plan.kind else {
                return error(format!(
                    "[{name}]: the path [{path}] leads through [{step}], which is not one bucket"
                ));
            };
            plans = &plan.below;
            continue;
        }
        return match (&plan.kind, path.key()) {
            (PlanKind::Metric { figure, .. }, key) if figure.has_several() == key.is_some() => {
                Ok(())
            }
            (PlanKind::Metric { .. }, None) => error(format!(
                "[{name}]: [{step}] has several values, and the path [{path}] has to name one"
            )),
            (PlanKind::Pipeline(_), None | Some("normalized_value")) => Ok(()),
            _ => error(format!("[{name}]: the path [{path}] leads to no number")),
        };
    }
    error(format!("[{name}]: the path [{path}] is empty"))
}

/// Puts the results of pipelines into the buckets of the aggregation above them.
pub(super) fn over(below: &[Plan], mut buckets: Vec<&mut Map<String, Value>>) {
    for plan in below {
        let PlanKind::Pipeline(pipeline) = &plan.kind else {
            continue;
        };
        pipeline.over(&mut buckets);
        if plan.meta.is_null() || pipeline.beside().is_some() {
            continue;
        }
        for bucket in &mut buckets {
            if let Some(shown) = bucket.get_mut(&plan.name) {
                shown["meta"] = plan.meta.clone();
            }
        }
    }
}
