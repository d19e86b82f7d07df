//! Elasticsearch's query DSL as tantivy queries.
//!
//! Nothing is scored: logs are sorted by time. What the store does not know is an error that names
//! it, never a query that matches something else.

use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, Occur, PhrasePrefixQuery, PhraseQuery, Query,
    RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DateTime, Term};

use super::dates::{Round, parse_bound, parse_zone};
use super::fuzzy::Fuzzy;
use super::highlight::Highlights;
use super::numbers::{self, Number};
use super::query_string;
use super::terms_where::{TermTest, TermsWhere};
use crate::field_table::{FieldTable, Kind, kind_of, seen};
use crate::flatten::{HAS, IGNORED};
use crate::ids::DocumentId;
use crate::locate::id_query;
use crate::schema::{Fields, column};

/// Deepest nesting of clauses.
const MAX_DEPTH: usize = 64;
/// Most clauses of a query, as on a server.
const MAX_CLAUSES: usize = 4_096;

/// Why a query cannot be run; for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct QueryError(pub(crate) String);

pub(crate) type Compiled = Result<Box<dyn Query>, QueryError>;

pub(crate) fn error<T>(text: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError(text.into()))
}

/// Compiles queries.
#[derive(Debug)]
pub(crate) struct Compiler<'a> {
    pub(crate) fields: Fields,
    pub(crate) table: &'a FieldTable,
    pub(crate) now: Timestamp,
    /// What of the text matches, for `highlight`.
    pub(crate) highlights: Highlights,
    depth: usize,
    n_clauses: usize,
    is_negated: bool,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(fields: Fields, table: &'a FieldTable, now: Timestamp) -> Self {
        Self {
            fields,
            table,
            now,
            highlights: Highlights::default(),
            depth: 0,
            n_clauses: 0,
            is_negated: false,
        }
    }

    /// Compiles a query clause; `null` matches all.
    ///
    /// # Errors
    /// What the store does not understand.
    pub(crate) fn compile(&mut self, query: &Value) -> Compiled {
        if query.is_null() {
            return Ok(Box::new(AllQuery));
        }
        let Some((name, body)) = only_entry(query) else {
            return error("a query is an object with one key, such as {\"match_all\": {}}");
        };
        self.depth += 1;
        self.n_clauses += 1;
        if self.depth > MAX_DEPTH || self.n_clauses > MAX_CLAUSES {
            return error("the query is too large");
        }
        let compiled = match name {
            "match_all" => Ok(Box::new(AllQuery) as Box<dyn Query>),
            "match_none" => Ok(Box::new(EmptyQuery) as Box<dyn Query>),
            "bool" => self.bool(body),
            "constant_score" => self.compile(body.get("filter").unwrap_or(&Value::Null)),
            "match" => self.of_field(body, "query", Self::match_words),
            "match_phrase" => self.of_field(body, "query", Self::match_phrase),
            "match_phrase_prefix" | "match_bool_prefix" => {
                self.of_field(body, "query", Self::match_phrase_prefix)
            }
            "multi_match" => self.multi_match(body),
            "fuzzy" => self.of_field(body, "value", Self::fuzzy),
            "term" => self.of_field(body, "value", Self::term),
            "terms" => self.terms(body),
            "range" => self.range(body),
            "exists" => match body["field"].as_str() {
                Some(field) => Ok(self.exists(field)),
                None => error("`exists` needs a `field`"),
            },
            "prefix" => self.of_field(body, "value", |this, field, text, options| {
                let text = scalar_text(text).unwrap_or_default();
                this.prefix(field, &text, is_insensitive(options))
            }),
            "wildcard" => self.of_field(body, "value", |this, field, text, options| {
                let given = text.as_str().or_else(|| options.get("wildcard")?.as_str());
                this.wildcard(field, given.unwrap_or_default(), is_insensitive(options))
            }),
            "regexp" => self.of_field(body, "value", |this, field, text, options| {
                let text = scalar_text(text).unwrap_or_default();
                this.regexp(field, &text, is_insensitive(options))
            }),
            "ids" => Ok(self.ids(&body["values"])),
            "query_string" | "simple_query_string" => self.query_string(body),
            other => error(format!("unknown query [{other}]")),
        };
        self.depth -= 1;
        compiled
    }

    fn bool(&mut self, body: &Value) -> Compiled {
        let Some(body) = body.as_object() else {
            return error("`bool` is an object");
        };
        for key in body.keys() {
            if ![
                "must",
                "filter",
                "should",
                "must_not",
                "minimum_should_match",
                "boost",
                "_name",
                "adjust_pure_negative",
            ]
            .contains(&key.as_str())
            {
                return error(format!("[bool] query does not support [{key}]"));
            }
        }
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for key in ["filter", "must"] {
            for clause in list(body.get(key)) {
                clauses.push((Occur::Must, self.compile(clause)?));
            }
        }
        let should: Vec<Box<dyn Query>> = list(body.get("should"))
            .iter()
            .map(|clause| self.compile(clause))
            .collect::<Result<_, _>>()?;
        let has_positive = !clauses.is_empty();
        let wanted = match body.get("minimum_should_match") {
            Some(given) => minimum(given, should.len())?,
            None => usize::from(!has_positive),
        };
        if !should.is_empty() && wanted > 0 {
            let should = should
                .into_iter()
                .map(|clause| (Occur::Should, clause))
                .collect();
            clauses.push((
                Occur::Must,
                Box::new(BooleanQuery::with_minimum_required_clauses(should, wanted)),
            ));
        }
        if clauses.is_empty() {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        let was_negated = std::mem::replace(&mut self.is_negated, true);
        for clause in list(body.get("must_not")) {
            clauses.push((Occur::MustNot, self.compile(clause)?));
        }
        self.is_negated = was_negated;
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    /// Clauses of the form `{field: value}` or `{field: {key: value, …}}`.
    fn of_field(
        &mut self,
        body: &Value,
        key: &str,
        build: impl Fn(&mut Self, &str, &Value, &Map<String, Value>) -> Compiled,
    ) -> Compiled {
        let Some(body) = body.as_object() else {
            return error("a field is missing");
        };
        let mut entries = body
            .iter()
            .filter(|(name, _)| *name != "boost" && *name != "_name");
        let (Some((field, value)), None) = (entries.next(), entries.next()) else {
            return error("one field is expected");
        };
        let none = Map::new();
        match value {
            Value::Object(options) => {
                let value = options.get(key).unwrap_or(&Value::Null);
                build(self, field, value, options)
            }
            Value::Array(_) => error(format!("[{field}] takes one value, not a list")),
            _ => build(self, field, value, &none),
        }
    }

    fn match_words(
        &mut self,
        field: &str,
        value: &Value,
        options: &Map<String, Value>,
    ) -> Compiled {
        let text = scalar_text(value).unwrap_or_default();
        let is_and = options
            .get("operator")
            .and_then(Value::as_str)
            .is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let Some(text_field) = self.fields.text(field) else {
            return match Fuzzy::of(&text, options)? {
                Some(fuzzy) => self.near(field, fuzzy),
                None => self.term(field, value, options),
            };
        };
        let words = crate::tokens::words(&text);
        let n_words = words.len();
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::with_capacity(n_words);
        for (word, _, _) in words {
            if let Some(fuzzy) = Fuzzy::of(&word, options)? {
                clauses.push((Occur::Should, self.near(field, fuzzy)?));
                continue;
            }
            let term = Term::from_field_text(text_field, &word);
            self.highlight(|highlights| highlights.word(field, &word));
            clauses.push((Occur::Should, basic_term(term)));
        }
        if clauses.is_empty() {
            return Ok(Box::new(EmptyQuery));
        }
        let wanted = match options.get("minimum_should_match") {
            _ if is_and => n_words,
            Some(given) => minimum(given, n_words)?.max(1),
            None => 1,
        };
        Ok(Box::new(BooleanQuery::with_minimum_required_clauses(
            clauses, wanted,
        )))
    }

    fn fuzzy(&mut self, field: &str, value: &Value, options: &Map<String, Value>) -> Compiled {
        let Some(text) = scalar_text(value) else {
            return error(format!("[{field}] needs a value"));
        };
        let mut options = options.clone();
        options.entry("fuzziness").or_insert_with(|| "AUTO".into());
        match Fuzzy::of(&text, &options)? {
            Some(fuzzy) => self.near(field, fuzzy),
            None => self.term(field, value, &Map::new()),
        }
    }

    /// Documents in which a word of text, or a whole keyword, is near enough.
    fn near(&mut self, field: &str, fuzzy: Fuzzy) -> Compiled {
        let name = self.known_name(field);
        let is_words = match kind_of(&name) {
            Kind::Text => true,
            Kind::Timestamp | Kind::Date => false,
            // A field that no document has matches nothing.
            _ => {
                matches!(self.table.types(&name), types if types == 0 || types & seen::KEYWORD != 0)
            }
        };
        if !is_words || matches!(field, "_id" | "_ignored") {
            return error(format!(
                "`fuzziness` is for text and keywords, and [{field}] is neither"
            ));
        }
        let start = fuzzy.start.clone();
        let test: TermTest = Arc::new(move |term| fuzzy.is_near(term));
        self.highlight(|highlights| highlights.test(&name, Arc::clone(&test)));
        Ok(self.terms_where(&name, &start, test))
    }

    pub(crate) fn match_phrase(
        &mut self,
        field: &str,
        value: &Value,
        options: &Map<String, Value>,
    ) -> Compiled {
        refuse_fuzziness("match_phrase", options)?;
        let Some(text_field) = self.fields.text(field) else {
            return self.term(field, value, &Map::new());
        };
        let text = scalar_text(value).unwrap_or_default();
        let words: Vec<String> = crate::tokens::words(&text)
            .into_iter()
            .map(|(word, _, _)| word)
            .collect();
        let terms: Vec<Term> = words
            .iter()
            .map(|word| Term::from_field_text(text_field, word))
            .collect();
        self.highlight(|highlights| highlights.phrase(field, &words));
        Ok(match terms.as_slice() {
            [] => Box::new(EmptyQuery),
            [term] => basic_term(term.clone()),
            _ => {
                let mut phrase = PhraseQuery::new(terms);
                let slop = options.get("slop").and_then(Value::as_u64).unwrap_or(0);
                phrase.set_slop(u32::try_from(slop).unwrap_or(u32::MAX));
                Box::new(phrase)
            }
        })
    }

    fn match_phrase_prefix(
        &mut self,
        field: &str,
        value: &Value,
        options: &Map<String, Value>,
    ) -> Compiled {
        refuse_fuzziness("match_phrase_prefix", options)?;
        let text = scalar_text(value).unwrap_or_default();
        let Some(text_field) = self.fields.text(field) else {
            return self.prefix(field, &text, false);
        };
        let words: Vec<String> = crate::tokens::words(&text)
            .into_iter()
            .map(|(word, _, _)| word)
            .collect();
        match words.as_slice() {
            [] => Ok(Box::new(EmptyQuery)),
            [word] => self.prefix(field, word, false),
            _ => {
                self.highlight(|highlights| highlights.phrase(field, &words));
                let terms = words
                    .iter()
                    .map(|word| Term::from_field_text(text_field, word));
                Ok(Box::new(PhrasePrefixQuery::new(terms.collect())))
            }
        }
    }

    fn multi_match(&mut self, body: &Value) -> Compiled {
        let text = &body["query"];
        let given: Vec<&str> = list(body.get("fields"))
            .iter()
            .filter_map(|f| f.as_str())
            .collect();
        let fields: Vec<String> = match given.is_empty() {
            true => self.default_fields(),
            false => given.iter().flat_map(|name| self.expand(name)).collect(),
        };
        let kind = match body["type"].as_str() {
            Some("phrase") => "match_phrase",
            Some("phrase_prefix") => "match_phrase_prefix",
            _ => "match",
        };
        let should = fields.iter().map(|field| {
            let mut options = json!({"query": text});
            if let (Some(operator), "match") = (body.get("operator"), kind) {
                options["operator"] = operator.clone();
            }
            for key in ["fuzziness", "prefix_length", "fuzzy_transpositions"] {
                if let Some(given) = body.get(key) {
                    options[key] = given.clone();
                }
            }
            json!({kind: {field: options}})
        });
        let should: Vec<Value> = should.collect();
        self.compile(&json!({"bool": {"should": should, "minimum_should_match": 1}}))
    }

    /// Fields that a search without a field looks into: text, and every keyword.
    pub(crate) fn default_fields(&self) -> Vec<String> {
        let mut fields = vec!["message".to_owned(), "error.stack_trace".to_owned()];
        let known = self.table.all().into_iter();
        let keywords = known.filter(|(path, types)| {
            *types & seen::KEYWORD != 0 && self.fields.text(path).is_none()
        });
        fields.extend(keywords.map(|(path, _)| path.to_string()).take(500));
        fields
    }

    /// The fields that a name with `*` or a boost stands for.
    fn expand(&self, name: &str) -> Vec<String> {
        let name = name.split('^').next().unwrap_or(name);
        if name == "*" {
            return self.default_fields();
        }
        if !name.contains('*') {
            return vec![name.to_owned()];
        }
        let known = self.table.all().into_iter();
        let matching = known.filter(|(path, _)| super::matches_pattern(name, path));
        matching.map(|(path, _)| path.to_string()).collect()
    }

    /// Documents in which `field` has exactly this value, whatever its type.
    pub(crate) fn term(
        &mut self,
        field: &str,
        value: &Value,
        options: &Map<String, Value>,
    ) -> Compiled {
        let Some(text) = scalar_text(value) else {
            return error(format!("[{field}] needs a value"));
        };
        if is_insensitive(options) {
            let wanted = text.to_lowercase();
            let test: TermTest = Arc::new(move |term| term.to_lowercase() == wanted);
            return Ok(self.terms_where(field, "", test));
        }
        match field {
            "_id" => return Ok(id_query(&self.fields, &DocumentId::parse(&text))),
            "_index" => return Ok(basic_term(Term::from_field_text(self.fields.index, &text))),
            "_ignored" => return Ok(self.mark(&format!("{IGNORED}{text}"))),
            "@timestamp" => return self.dates("@timestamp", &json!({"gte": value, "lte": value})),
            _ => {}
        }
        if let Some(text_field) = self.fields.text(field) {
            self.highlight(|highlights| highlights.word(field, &text));
            return Ok(basic_term(Term::from_field_text(text_field, &text)));
        }
        let field = self.known_name(field);
        if kind_of(&field) == Kind::Date {
            return self.dates(&field, &json!({"gte": value, "lte": value}));
        }
        self.highlight(|highlights| highlights.whole(&field, &text));
        Ok(self.any_value(&field, &[text]))
    }

    /// Documents in which the field at `path` has one of these values, by the types that it has
    /// had: as words, as numbers, as booleans.
    fn any_value(&self, path: &str, texts: &[String]) -> Box<dyn Query> {
        let types = self.table.types(path);
        let words = texts.iter().map(|text| self.fields.word_term(path, text));
        let mut terms: Vec<Term> = words.collect();
        if types & seen::BOOLEAN != 0 {
            let booleans = texts.iter().filter_map(|text| text.parse::<bool>().ok());
            terms.extend(booleans.map(|value| self.fields.boolean_term(path, value)));
        }
        let of_terms = match terms.as_slice() {
            [term] => basic_term(term.clone()),
            _ => Box::new(TermSetQuery::new(terms)),
        };
        if types & (seen::LONG | seen::DOUBLE) == 0 {
            return of_terms;
        }
        let numbers: Vec<Number> = texts
            .iter()
            .filter_map(|text| Number::parse(text))
            .collect();
        match numbers.is_empty() {
            true => of_terms,
            false => {
                let of_numbers = numbers::any_of(&self.fields, path, numbers);
                Box::new(BooleanQuery::union(vec![of_terms, of_numbers]))
            }
        }
    }

    fn terms(&mut self, body: &Value) -> Compiled {
        let Some(body) = body.as_object() else {
            return error("`terms` is an object");
        };
        let Some((field, values)) = body
            .iter()
            .find(|(name, _)| *name != "boost" && *name != "_name")
        else {
            return error("`terms` needs a field");
        };
        let Some(values) = values.as_array() else {
            return error(format!("[terms] query on [{field}] needs a list of values"));
        };
        if values.len() > 65_536 {
            return error("[terms] takes 65,536 values at most");
        }
        let is_plain = !matches!(field.as_str(), "_id" | "_index" | "_ignored" | "@timestamp")
            && self.fields.text(field).is_none()
            && kind_of(field) != Kind::Date;
        if is_plain {
            let path = self.known_name(field);
            let texts: Vec<String> = values.iter().filter_map(scalar_text).collect();
            for text in &texts {
                self.highlight(|highlights| highlights.whole(&path, text));
            }
            return Ok(self.any_value(&path, &texts));
        }
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for value in values {
            clauses.push((Occur::Should, self.term(field, value, &Map::new())?));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    /// `message.keyword` is `message` here: the template has no such sub-fields.
    fn known_name(&self, field: &str) -> String {
        match field.strip_suffix(".keyword") {
            Some(stem) if self.table.types(field) == 0 => stem.to_owned(),
            _ => field.to_owned(),
        }
    }

    fn range(&mut self, body: &Value) -> Compiled {
        let Some((field, bounds)) = only_entry(body) else {
            return error("`range` takes one field");
        };
        let Some(given) = bounds.as_object() else {
            return error(format!("[range] query on [{field}] needs bounds"));
        };
        for key in given.keys() {
            if ![
                "gte",
                "gt",
                "lte",
                "lt",
                "from",
                "to",
                "include_lower",
                "include_upper",
                "format",
                "time_zone",
                "boost",
                "relation",
                "_name",
            ]
            .contains(&key.as_str())
            {
                return error(format!("[range] query does not support [{key}]"));
            }
        }
        let mut bounds = json!({});
        for (key, value) in given {
            let exclusive = |flag: &str| given.get(flag) == Some(&Value::Bool(false));
            let key = match key.as_str() {
                "from" if exclusive("include_lower") => "gt",
                "from" => "gte",
                "to" if exclusive("include_upper") => "lt",
                "to" => "lte",
                other => other,
            };
            if !value.is_null() {
                bounds[key] = value.clone();
            }
        }
        let field = self.known_name(field);
        if field == "@timestamp" || kind_of(&field) == Kind::Date {
            return self.dates(&field, &bounds);
        }
        if field == "_id" || self.fields.text(&field).is_some() {
            return error(format!("[range] does not work on [{field}]"));
        }
        let types = self.table.types(&field);
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        if types & (seen::LONG | seen::DOUBLE) != 0
            && let Some(query) = self.number_range(&field, &bounds)?
        {
            clauses.push((Occur::Should, query));
        }
        // Numbers without quotes are not compared with the words of a field that has both.
        let wants_numbers = ["gte", "gt", "lte", "lt"]
            .iter()
            .all(|key| bounds.get(*key).is_none_or(Value::is_number));
        if types & seen::KEYWORD != 0 && (clauses.is_empty() || !wants_numbers) {
            let bound = |key: &str| bounds.get(key).and_then(scalar_text);
            let term = |text: String| {
                let mut term = self.fields.column_term(&field);
                term.append_type_and_str(&text);
                term
            };
            let lower = lower(bound("gte").map(term), bound("gt").map(term));
            let upper = upper(bound("lte").map(term), bound("lt").map(term));
            clauses.push((Occur::Should, ranged(lower, upper)));
        }
        Ok(match clauses.len() {
            0 => Box::new(EmptyQuery),
            1 => clauses.remove(0).1,
            _ => Box::new(BooleanQuery::new(clauses)),
        })
    }

    fn number_range(
        &self,
        field: &str,
        bounds: &Value,
    ) -> Result<Option<Box<dyn Query>>, QueryError> {
        let number = |key: &str| -> Result<Option<Number>, ()> {
            let Some(text) = bounds.get(key).and_then(scalar_text) else {
                return Ok(None);
            };
            let text = text.trim();
            match (
                text.parse().map(Number::Signed),
                text.parse().map(Number::Float),
            ) {
                (Ok(number), _) | (_, Ok(number)) => Ok(Some(number)),
                _ => Err(()),
            }
        };
        let (Ok(gte), Ok(gt), Ok(lte), Ok(lt)) =
            (number("gte"), number("gt"), number("lte"), number("lt"))
        else {
            let types = self.table.types(field);
            return match types & seen::KEYWORD {
                0 => error(format!("[range] on the number [{field}] needs numbers")),
                _ => Ok(None),
            };
        };
        // Both ends have to be of one type: tantivy panics otherwise.
        let is_float = [gte, gt, lte, lt]
            .iter()
            .flatten()
            .any(|number| matches!(number, Number::Float(_)));
        let term = |number: Option<Number>| {
            let number = number?;
            let mut term = self.fields.column_term(field);
            match is_float {
                true => Number::Float(number.as_f64()).append_to(&mut term),
                false => number.append_to(&mut term),
            }
            Some(term)
        };
        Ok(Some(ranged(
            lower(term(gte), term(gt)),
            upper(term(lte), term(lt)),
        )))
    }

    fn dates(&self, field: &str, bounds: &Value) -> Compiled {
        let zone = match bounds["time_zone"].as_str() {
            Some(text) => match parse_zone(text) {
                Some(zone) => zone,
                None => return error(format!("unknown time zone [{text}]")),
            },
            None => TimeZone::UTC,
        };
        let in_seconds = bounds["format"].as_str() == Some("epoch_second");
        let bound = |key: &str, round: Round| -> Result<Option<Term>, QueryError> {
            let Some(value) = bounds.get(key) else {
                return Ok(None);
            };
            let text = scalar_text(value).unwrap_or_default();
            let seconds = if in_seconds {
                text.parse::<i64>().ok()
            } else {
                None
            };
            let nanos = match (seconds, value.as_f64()) {
                (Some(seconds), _) => seconds.checked_mul(1_000_000_000),
                // A year in quotes is a year, a number is milliseconds.
                (None, Some(millis)) => (millis as i64).checked_mul(1_000_000),
                (None, None) => parse_bound(&text, self.now, &zone, round),
            };
            let Some(nanos) = nanos else {
                return error(format!("failed to parse date field [{text}] of [{field}]"));
            };
            let date = DateTime::from_timestamp_nanos(nanos);
            if field == "@timestamp" {
                return Ok(Some(Term::from_field_date(self.fields.timestamp, date)));
            }
            let mut term = self.fields.column_term(field);
            term.append_type_and_fast_value(date);
            Ok(Some(term))
        };
        let (gte, gt) = (bound("gte", Round::Down)?, bound("gt", Round::Up)?);
        let (lte, lt) = (bound("lte", Round::Up)?, bound("lt", Round::Down)?);
        Ok(ranged(lower(gte, gt), upper(lte, lt)))
    }

    fn mark(&self, mark: &str) -> Box<dyn Query> {
        basic_term(Term::from_field_text(self.fields.marks, mark))
    }

    fn exists(&self, field: &str) -> Box<dyn Query> {
        match field {
            "_id" | "_index" | "_source" | "@timestamp" => Box::new(AllQuery),
            "_ignored" => Box::new(TermsWhere {
                field: self.fields.marks,
                start: IGNORED.as_bytes().to_vec(),
                path_len: IGNORED.len(),
                test: Arc::new(|_| true),
            }),
            _ if self.fields.text(field).is_some() => self.mark(&format!("{HAS}{field}")),
            _ => {
                let field = self.known_name(field);
                let below = Box::new(ExistsQuery::new(column(&field), true));
                // Text lies elsewhere than other fields below the same name.
                if "error.stack_trace".starts_with(&format!("{field}.")) {
                    let text = self.mark(&format!("{HAS}error.stack_trace"));
                    return Box::new(BooleanQuery::union(vec![below, text]));
                }
                below
            }
        }
    }

    fn ids(&self, values: &Value) -> Box<dyn Query> {
        let values = list(Some(values));
        let ids: Vec<Box<dyn Query>> = values
            .iter()
            .filter_map(|value| value.as_str())
            .map(|id| id_query(&self.fields, &DocumentId::parse(id)))
            .collect();
        match ids.is_empty() {
            true => Box::new(EmptyQuery),
            false => Box::new(BooleanQuery::union(ids)),
        }
    }

    /// Documents with a term of the field that begins with `literal` and passes the test.
    fn terms_where(&self, field: &str, literal: &str, test: TermTest) -> Box<dyn Query> {
        let plain = |field: Field| TermsWhere {
            field,
            start: literal.as_bytes().to_vec(),
            path_len: 0,
            test: Arc::clone(&test),
        };
        if field == "_index" {
            return Box::new(plain(self.fields.index));
        }
        if let Some(text) = self.fields.text(field) {
            return Box::new(plain(text));
        }
        let path = self.fields.word_term(&self.known_name(field), "");
        let path_len = path.serialized_value_bytes().len();
        let mut start = path.serialized_value_bytes().to_vec();
        start.extend_from_slice(literal.as_bytes());
        Box::new(TermsWhere {
            field: self.fields.words,
            start,
            path_len,
            test,
        })
    }

    fn prefix(&mut self, field: &str, prefix: &str, is_insensitive: bool) -> Compiled {
        let owned = prefix.to_owned();
        let lower = prefix.to_lowercase();
        let test: TermTest = match is_insensitive {
            true => Arc::new(move |term| term.to_lowercase().starts_with(&lower)),
            false => Arc::new(move |term| term.starts_with(&owned)),
        };
        self.highlight(|highlights| highlights.test(field, Arc::clone(&test)));
        let literal = if is_insensitive { "" } else { prefix };
        Ok(self.terms_where(field, literal, test))
    }

    fn wildcard(&mut self, field: &str, pattern: &str, is_insensitive: bool) -> Compiled {
        let mut regex = String::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
                _ => regex.push_str(&regex::escape(&c.to_string())),
            }
        }
        let literal: String = pattern
            .chars()
            .take_while(|c| !matches!(c, '*' | '?' | '\\'))
            .collect();
        self.regex(field, &regex, &literal, is_insensitive)
    }

    fn regexp(&mut self, field: &str, pattern: &str, is_insensitive: bool) -> Compiled {
        let literal: String = pattern
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        // A quantifier behind the last letter makes that one optional.
        let cut = literal.len() < pattern.len() || pattern.contains('|');
        let literal = if cut && !pattern.contains('|') {
            literal
                .get(..literal.len().saturating_sub(1))
                .unwrap_or_default()
        } else if cut {
            ""
        } else {
            literal.as_str()
        };
        self.regex(field, pattern, literal, is_insensitive)
    }

    fn regex(&mut self, field: &str, regex: &str, literal: &str, is_insensitive: bool) -> Compiled {
        let compiled = regex::RegexBuilder::new(&format!("^(?:{regex})$"))
            .case_insensitive(is_insensitive)
            .dot_matches_new_line(true)
            .size_limit(1 << 20)
            .build();
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(reason) => return error(format!("cannot use the pattern [{regex}]: {reason}")),
        };
        let test: TermTest = Arc::new(move |term| compiled.is_match(term));
        self.highlight(|highlights| highlights.test(field, Arc::clone(&test)));
        let literal = if is_insensitive { "" } else { literal };
        Ok(self.terms_where(field, literal, test))
    }

    fn query_string(&mut self, body: &Value) -> Compiled {
        let Some(text) = body["query"].as_str() else {
            return error("`query_string` needs a `query`");
        };
        for (key, only) in [
            ("fuzziness", json!("AUTO")),
            ("fuzzy_prefix_length", json!(0)),
            ("fuzzy_transpositions", json!(true)),
        ] {
            if body.get(key).is_some_and(|given| *given != only) {
                return error(format!("[query_string] knows `{key}` as {only} only"));
            }
        }
        let mut fields: Vec<String> = list(body.get("fields"))
            .iter()
            .chain(body.get("default_field").as_ref())
            .filter_map(|field| field.as_str())
            .filter(|field| *field != "*")
            .flat_map(|field| self.expand(field))
            .collect();
        if fields.is_empty() {
            fields = self.default_fields();
        }
        let is_and = body["default_operator"]
            .as_str()
            .is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let parsed = query_string::parse(text, &fields, is_and)
            .map_err(|reason| QueryError(format!("Failed to parse query [{text}]: {reason}")))?;
        self.compile(&parsed)
    }

    /// What must not match is not marked.
    fn highlight(&mut self, add: impl FnOnce(&mut Highlights)) {
        if !self.is_negated {
            add(&mut self.highlights);
        }
    }
}

fn basic_term(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn lower(included: Option<Term>, excluded: Option<Term>) -> Bound<Term> {
    match (included, excluded) {
        (_, Some(term)) => Bound::Excluded(term),
        (Some(term), None) => Bound::Included(term),
        (None, None) => Bound::Unbounded,
    }
}

fn upper(included: Option<Term>, excluded: Option<Term>) -> Bound<Term> {
    lower(included, excluded)
}

fn ranged(lower: Bound<Term>, upper: Bound<Term>) -> Box<dyn Query> {
    match (&lower, &upper) {
        (Bound::Unbounded, Bound::Unbounded) => Box::new(AllQuery),
        _ => Box::new(RangeQuery::new(lower, upper)),
    }
}

/// The only entry of an object.
pub(crate) fn only_entry(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object()?;
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

/// A list, or one value that stands for a list.
pub(crate) fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    }
}

/// Text of a string, number or boolean.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn refuse_fuzziness(query: &str, options: &Map<String, Value>) -> Result<(), QueryError> {
    match options.get("fuzziness") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => error(format!("[{query}] query does not support [fuzziness]")),
    }
}

fn is_insensitive(options: &Map<String, Value>) -> bool {
    options.get("case_insensitive") == Some(&Value::Bool(true))
}

/// `minimum_should_match`: a count, a negative count, a percentage.
fn minimum(given: &Value, n: usize) -> Result<usize, QueryError> {
    let text = scalar_text(given).unwrap_or_default();
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    let wanted = match text.strip_suffix('%') {
        Some(percent) => percent
            .trim()
            .parse::<i64>()
            .map(|p| n.saturating_mul(p) / 100),
        None => text.trim().parse::<i64>(),
    };
    let Ok(wanted) = wanted else {
        return error(format!("cannot use [minimum_should_match] `{text}`"));
    };
    let wanted = if wanted < 0 { n + wanted } else { wanted };
    Ok(usize::try_from(wanted.max(0)).unwrap_or(usize::MAX))
}
