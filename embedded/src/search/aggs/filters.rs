//! Filters within tantivy's aggregations: one bucket, or each of several.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tantivy::aggregation::agg_req::{Aggregation, AggregationVariants, Aggregations};
use tantivy::aggregation::bucket::{FilterAggregation, QueryBuilder};
use tantivy::query::Query;
use tantivy::schema::Schema;
use tantivy::tokenizer::TokenizerManager;

use super::super::query::QueryError;
use super::CompileFilter;

/// A filter within tantivy's aggregations; holds a query that was compiled before.
#[derive(Serialize, Deserialize)]
struct Filter {
    #[serde(skip)]
    query: Option<Box<dyn Query>>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.query).finish()
    }
}

#[typetag::serde]
impl QueryBuilder for Filter {
    fn build_query(
        &self,
        _schema: &Schema,
        _tokenizers: &TokenizerManager,
    ) -> tantivy::Result<Box<dyn Query>> {
        Ok(match &self.query {
            Some(query) => query.box_clone(),
            None => Box::new(tantivy::query::EmptyQuery),
        })
    }

    fn box_clone(&self) -> Box<dyn QueryBuilder> {
        Box::new(Self {
            query: self.query.as_ref().map(|query| query.box_clone()),
        })
    }
}

pub(super) fn filter(query: Box<dyn Query>, below: Aggregations) -> Aggregation {
    let filter = Filter { query: Some(query) };
    Aggregation {
        agg: AggregationVariants::Filter(FilterAggregation::new_with_builder(Box::new(filter))),
        sub_aggregation: below,
    }
}

/// The name under which tantivy counts one bucket of several.
pub(super) fn part(name: &str, n: usize) -> String {
    format!("{name}\u{1}{n}")
}

pub(super) fn put_buckets(
    name: &str,
    buckets: &[(String, Value, Value)],
    compile: &mut CompileFilter<'_>,
    out: &mut Aggregations,
    below: &Aggregations,
) -> Result<(), QueryError> {
    for (n, (_, _, query)) in buckets.iter().enumerate() {
        let query = compile(query)?;
        out.insert(part(name, n), filter(query, below.clone()));
    }
    Ok(())
}
