//! Suggestions while a query is typed: names of fields, then values with their counts.

use std::time::Duration;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::fields::{alias_of, begins, of_caps, plain};
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{self, Query, aliases, byte_offset, utf16_offset};
use crate::scope::{RECENT, Scope};

/// A suggestion that comes later than this is of no use.
const PATIENCE: Duration = Duration::from_secs(3);

/// What stands before the caret.
#[derive(Debug, PartialEq, Eq)]
struct Typed<'a> {
    /// Where the text that is replaced starts.
    start: usize,
    /// The field before the colon.
    field: Option<&'a str>,
    /// What of the name or value is typed.
    text: &'a str,
}

/// Looks back from byte `at`.
fn typed(query: &str, at: usize) -> Typed<'_> {
    let before = query.get(..at).unwrap_or_default();
    // An odd number of quotes: the caret stands in a quoted value.
    let open_quote = match before.matches('"').count() % 2 {
        1 => before.rfind('"'),
        _ => None,
    };
    let head = before.get(..open_quote.unwrap_or(at)).unwrap_or(before);
    let word_start = head
        .rfind(|c: char| c.is_whitespace() || c == '(')
        .map_or(0, |at| at + 1);
    let word = head.get(word_start..).unwrap_or_default();
    let signs = word.len() - word.trim_start_matches(['-', '+', '!']).len();
    let word_start = word_start + signs;
    let word = word.get(signs..).unwrap_or_default();
    let (field, value_start) = match word.split_once(':') {
        Some((field, _)) if !field.is_empty() => (Some(field), word_start + field.len() + 1),
        _ => (None, word_start),
    };
    match open_quote {
        Some(quote) => Typed {
            start: quote,
            field,
            text: before.get(quote + 1..).unwrap_or_default(),
        },
        None => Typed {
            start: value_start,
            field,
            text: before.get(value_start..).unwrap_or_default(),
        },
    }
}

impl Api {
    pub(crate) async fn complete(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "at", "from", "to", "tz", "size"])?;
        let text = params.text("q", 4096)?.unwrap_or_default().to_owned();
        let size = params.number("size", 1..=100, 12)?;
        let end_units = utf16_offset(&text, text.len());
        let at = params.number("at", 0..=4096, end_units)?;
        let at = byte_offset(&text, at);
        // What is typed is no whole query yet: the range alone counts.
        let mut scope = self.range_scope(&params, asker)?;
        let typed = typed(&text, at);
        let suggestions = match typed.field {
            Some(field) => {
                let rest = [text.get(..typed.start), text.get(at..)].map(Option::unwrap_or_default);
                scope.query = rest_query(rest, field);
                self.value_suggestions(&scope, field, typed.text, size)
                    .await?
            }
            None => self.field_suggestions(typed.text, size).await?,
        };
        Ok(answer(
            StatusCode::OK,
            &json!({
                "start": utf16_offset(&text, typed.start),
                "end": utf16_offset(&text, at),
                "suggestions": suggestions,
            }),
        ))
    }

    fn range_scope(&self, params: &Params, asker: &Asker) -> Result<Scope, Problem> {
        let range: Vec<String> = ["from", "to", "tz"]
            .iter()
            .filter_map(|name| params.get(name).map(|value| encode(name, value)))
            .collect();
        Scope::new(&Params::any(Some(&range.join("&")))?, asker, RECENT)
    }

    async fn field_suggestions(&self, text: &str, size: usize) -> Result<Vec<Value>, Problem> {
        let mut suggestions: Vec<Value> = Vec::new();
        let kinds = of_caps(&*self.caps().await?);
        let kind_of = |field: &str| kinds.iter().find(|known| known.name == field);
        for alias in aliases() {
            // A short name whose field is not there only misleads.
            if alias.name.starts_with(text)
                && let Some(field) = kind_of(alias.field)
            {
                suggestions.push(json!({
                    "text": format!("{}:", alias.name), "kind": "field", "label": alias.field, "type": field.kind,
                }));
            }
        }
        if !text.is_empty() {
            for field in kinds.iter().filter(|field| field.searchable) {
                if begins(&field.name, text) && alias_of(&field.name).is_none() {
                    let name = field
                        .name
                        .strip_prefix("attributes.")
                        .unwrap_or(&field.name);
                    suggestions.push(json!({
                        "text": format!("{name}:"), "kind": "field", "label": field.name, "type": field.kind,
                    }));
                }
            }
            for operator in ["AND", "OR", "NOT"] {
                if operator.starts_with(text) {
                    suggestions.push(json!({"text": format!("{operator} "), "kind": "operator"}));
                }
            }
        }
        suggestions.truncate(size);
        Ok(suggestions)
    }

    async fn value_suggestions(
        &self,
        scope: &Scope,
        field: &str,
        text: &str,
        size: usize,
    ) -> Result<Vec<Value>, Problem> {
        let work = self.values(scope, field, text, size);
        let values = match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(values)) => values,
            // Text has no values; what is slow or wrong shows when the query runs.
            Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
        };
        let list = values["values"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(list
            .iter()
            .map(|one| {
                let value = plain(&one["value"]);
                json!({"text": crate::quote(&value), "kind": "value", "label": value, "count": one["count"]})
            })
            .collect())
    }
}

/// The rest of the query, so that values are counted among what it finds. A rest that cannot be
/// read, as its end is not typed yet, is left out.
fn rest_query([before, after]: [&str; 2], field: &str) -> Query {
    let before = before
        .trim_end_matches('"')
        .strip_suffix(':')
        .and_then(|text| text.strip_suffix(field))
        .unwrap_or_default()
        .trim_end_matches(['-', '+', '!']);
    query::parse(&format!("{before} {after}")).unwrap_or(Query::All)
}

fn encode(name: &str, value: &str) -> String {
    let mut out = format!("{name}=");
    for byte in value.bytes() {
        out.push_str(&format!("%{byte:02X}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_found() {
        for (text, start, field, rest) in [
            ("", 0, None, ""),
            ("lev", 0, None, "lev"),
            ("a lev", 2, None, "lev"),
            ("-lev", 1, None, "lev"),
            ("(ser", 1, None, "ser"),
            ("level:", 6, Some("level"), ""),
            ("x -level:er", 9, Some("level"), "er"),
            ("service:\"my sh", 8, Some("service"), "my sh"),
            ("\"a b\" ser", 6, None, "ser"),
        ] {
            assert_eq!(
                typed(text, text.len()),
                Typed {
                    start,
                    field,
                    text: rest
                },
                "{text}"
            );
        }
    }

    #[test]
    fn values_are_counted_among_what_the_rest_finds() {
        let of = |before, after, field| rest_query([before, after], field);
        assert_eq!(of("level:", "", "level"), Query::All);
        assert_eq!(of("a -level:", " b", "level"), query::parse("a b").unwrap());
        assert_eq!(of("(a OR level:", "", "level"), Query::All);
    }
}
