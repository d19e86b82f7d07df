//! Lucene's query syntax, as `query_string` takes it: translated to the query DSL.
//!
//! `level:error AND (timeout OR "connection refused") -path:\/health* took:[500 TO *] took:>500`.
//! Boosts are read and left out.

use serde_json::{Value, json};

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 32;

/// Translates `text`. `fields` are searched by words without a field; `is_and` joins words.
///
/// # Errors
/// What is wrong, with the character where.
pub(crate) fn parse(text: &str, fields: &[String], is_and: bool) -> Result<Value, String> {
    let mut parser = Parser {
        chars: text.chars().collect(),
        at: 0,
        fields,
        is_and,
        depth: 0,
    };
    let query = parser.clauses(None)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(query),
        Some(c) => Err(format!("unexpected `{c}` at character {}", parser.at + 1)),
    }
}

struct Parser<'a> {
    chars: Vec<char>,
    at: usize,
    fields: &'a [String],
    is_and: bool,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Occur {
    Must,
    MustNot,
    Should,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// A keyword, which stands alone.
    fn keyword(&mut self, words: &[&str]) -> bool {
        self.skip_space();
        for word in words {
            let end = self.at + word.chars().count();
            let is_there = self
                .chars
                .get(self.at..end)
                .is_some_and(|c| c.iter().collect::<String>() == *word);
            let next = self.chars.get(end).copied();
            let is_mark = word.starts_with(['&', '|', '!']);
            let stands_alone =
                is_mark || next.is_none_or(|c| c.is_whitespace() || "()".contains(c));
            if is_there && stands_alone {
                self.at = end;
                return true;
            }
        }
        false
    }

    /// Clauses up to the end or a closing parenthesis.
    fn clauses(&mut self, field: Option<&str>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("too many parentheses".to_owned());
        }
        let mut clauses: Vec<(Occur, Value)> = Vec::new();
        loop {
            self.skip_space();
            if self.peek().is_none_or(|c| c == ')') {
                break;
            }
            let mut joined = None;
            if !clauses.is_empty() {
                if self.keyword(&["AND", "&&"]) {
                    joined = Some(Occur::Must);
                } else if self.keyword(&["OR", "||"]) {
                    joined = Some(Occur::Should);
                }
            }
            self.skip_space();
            let occur = if self.keyword(&["NOT"]) || self.take('!') || self.take('-') {
                Occur::MustNot
            } else if self.take('+') {
                Occur::Must
            } else {
                match joined {
                    Some(Occur::Must) => Occur::Must,
                    Some(_) => Occur::Should,
                    None if self.is_and => Occur::Must,
                    None => Occur::Should,
                }
            };
            // `a AND b`: what stands before is needed as well; `a OR b`: it is one of several.
            if let Some((before, _)) = clauses.last_mut() {
                match joined {
                    Some(Occur::Must) if *before == Occur::Should => *before = Occur::Must,
                    Some(Occur::Should) if *before == Occur::Must && self.is_and => {
                        *before = Occur::Should;
                    }
                    _ => {}
                }
            }
            self.skip_space();
            let clause = self.clause(field)?;
            clauses.push((occur, clause));
        }
        self.depth -= 1;
        let of = |wanted: Occur| -> Vec<Value> {
            let matching = clauses.iter().filter(|(occur, _)| *occur == wanted);
            matching.map(|(_, clause)| clause.clone()).collect()
        };
        let (must, must_not, should) = (of(Occur::Must), of(Occur::MustNot), of(Occur::Should));
        Ok(
            match (must.as_slice(), must_not.as_slice(), should.as_slice()) {
                ([], [], []) => json!({"match_all": {}}),
                ([only], [], []) | ([], [], [only]) => only.clone(),
                _ => json!({"bool": {"must": must, "must_not": must_not, "should": should}}),
            },
        )
    }

    fn clause(&mut self, field: Option<&str>) -> Result<Value, String> {
        let start = self.at;
        if self.take('(') {
            return self.group(field, start);
        }
        if field.is_none()
            && let Some(name) = self.field_name()
        {
            self.skip_space();
            let start = self.at;
            if self.take('(') {
                return self.group(Some(&name), start);
            }
            return self.value(Some(&name));
        }
        self.value(field)
    }

    fn group(&mut self, field: Option<&str>, start: usize) -> Result<Value, String> {
        let inner = self.clauses(field)?;
        self.skip_space();
        if !self.take(')') {
            return Err(format!("`(` at character {} is not closed", start + 1));
        }
        self.only_boost()?;
        Ok(inner)
    }

    /// A name and its colon.
    fn field_name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut at = self.at;
        while let Some(&c) = self.chars.get(at) {
            match c {
                ':' if !name.is_empty() => {
                    self.at = at + 1;
                    return Some(name);
                }
                '\\' => {
                    at += 1;
                    name.push(*self.chars.get(at)?);
                }
                _ if c.is_whitespace() || "()[]{}\"/^~<>=".contains(c) => return None,
                _ => name.push(c),
            }
            at += 1;
        }
        None
    }

    fn value(&mut self, field: Option<&str>) -> Result<Value, String> {
        let start = self.at;
        let value = match self.peek() {
            None => return Err("a value is missing at the end".to_owned()),
            Some('"') => {
                let phrase = self.quoted()?;
                let slop = match self.modifiers().as_deref() {
                    None | Some("") => None,
                    Some(text) => match text.parse::<f64>() {
                        Ok(slop) => Some(slop as u32),
                        Err(_) => return Err(format!("`~{text}` is no distance")),
                    },
                };
                return Ok(self.over_fields(field, |field| {
                    let mut options = json!({"query": phrase});
                    if let Some(slop) = slop {
                        options["slop"] = slop.into();
                    }
                    json!({"match_phrase": {field: options}})
                }));
            }
            Some('/') => {
                self.at += 1;
                let mut pattern = String::new();
                loop {
                    match self.peek() {
                        None => {
                            return Err(format!("`/` at character {} is not closed", start + 1));
                        }
                        Some('/') => break,
                        Some('\\') if self.chars.get(self.at + 1) == Some(&'/') => {
                            pattern.push('/');
                            self.at += 2;
                        }
                        Some(c) => {
                            pattern.push(c);
                            self.at += 1;
                        }
                    }
                }
                self.at += 1;
                self.over_fields(
                    field,
                    |field| json!({"regexp": {field: {"value": pattern}}}),
                )
            }
            Some('[' | '{') => self.range(field)?,
            Some('>' | '<') => {
                let is_greater = self.peek() == Some('>');
                self.at += 1;
                let is_inclusive = self.take('=');
                self.skip_space();
                let (text, _) = self.word()?;
                let key = match (is_greater, is_inclusive) {
                    (true, true) => "gte",
                    (true, false) => "gt",
                    (false, true) => "lte",
                    (false, false) => "lt",
                };
                self.over_fields(field, |field| json!({"range": {field: {key: text}}}))
            }
            Some(_) => {
                let (text, pattern) = self.word()?;
                // Of patterns it means nothing, as on a server.
                let fuzziness = self.modifiers().filter(|_| pattern.is_none());
                let is_existence = field == Some("_exists_");
                if let Some(fuzziness) = fuzziness.filter(|_| !is_existence) {
                    let fuzziness = if fuzziness.is_empty() {
                        "AUTO"
                    } else {
                        fuzziness.as_str()
                    };
                    return Ok(self.over_fields(field, |field| {
                        let value = lower_if_text(field, &text);
                        json!({"fuzzy": {field: {"value": value, "fuzziness": fuzziness}}})
                    }));
                }
                match (field, pattern) {
                    (Some("_exists_"), _) => json!({"exists": {"field": text}}),
                    (Some(field), Some(pattern)) if pattern == "*" => {
                        json!({"exists": {"field": field}})
                    }
                    (None, Some(pattern)) if pattern == "*" => json!({"match_all": {}}),
                    (_, Some(pattern)) => self.over_fields(field, |field| {
                        let pattern = lower_if_text(field, &pattern);
                        json!({"wildcard": {field: {"value": pattern}}})
                    }),
                    (_, None) => {
                        self.over_fields(field, |field| json!({"match": {field: {"query": text}}}))
                    }
                }
            }
        };
        self.only_boost()?;
        Ok(value)
    }

    fn quoted(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(format!("`\"` at character {} is not closed", start + 1)),
                Some('"') => break,
                Some('\\') => {
                    self.at += 1;
                    text.extend(self.peek());
                    self.at += 1;
                }
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(text)
    }

    /// A word without its escapes; and as a pattern, when it has wildcards.
    fn word(&mut self) -> Result<(String, Option<String>), String> {
        let start = self.at;
        if self.peek() == Some('"') {
            return Ok((self.quoted()?, None));
        }
        let (mut text, mut pattern, mut is_pattern) = (String::new(), String::new(), false);
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    let Some(escaped) = self.peek() else { break };
                    text.push(escaped);
                    pattern.push('\\');
                    pattern.push(escaped);
                }
                _ if c.is_whitespace() || "()[]{}\"^~".contains(c) => break,
                _ => {
                    is_pattern |= c == '*' || c == '?';
                    text.push(c);
                    pattern.push(c);
                }
            }
            self.at += 1;
        }
        if self.at == start {
            let c = self
                .peek()
                .map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
            return Err(format!("unexpected {c} at character {}", start + 1));
        }
        Ok((text, is_pattern.then_some(pattern)))
    }

    fn range(&mut self, field: Option<&str>) -> Result<Value, String> {
        let start = self.at;
        let unclosed = || format!("the range at character {} is not `[a TO b]`", start + 1);
        let lower_is_inclusive = self.peek() == Some('[');
        self.at += 1;
        self.skip_space();
        let (low, _) = self.word()?;
        if !self.keyword(&["TO"]) {
            return Err(unclosed());
        }
        self.skip_space();
        let (high, _) = self.word()?;
        self.skip_space();
        let upper_is_inclusive = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(unclosed()),
        };
        self.at += 1;
        let mut bounds = json!({});
        if low != "*" {
            bounds[if lower_is_inclusive { "gte" } else { "gt" }] = low.into();
        }
        if high != "*" {
            bounds[if upper_is_inclusive { "lte" } else { "lt" }] = high.into();
        }
        Ok(self.over_fields(field, |field| json!({"range": {field: bounds}})))
    }

    /// Skips a boost; what stands behind `~`, where there is one.
    fn modifiers(&mut self) -> Option<String> {
        let mut distance = None;
        while let Some(mark @ ('^' | '~')) = self.peek() {
            self.at += 1;
            let mut number = String::new();
            while let Some(c) = self.peek().filter(|c| c.is_ascii_digit() || *c == '.') {
                number.push(c);
                self.at += 1;
            }
            if mark == '~' {
                distance = Some(number);
            }
        }
        distance
    }

    fn only_boost(&mut self) -> Result<(), String> {
        match self.modifiers() {
            None => Ok(()),
            Some(_) => Err(format!(
                "`~` before character {} is behind neither a word nor a phrase",
                self.at + 1
            )),
        }
    }

    fn over_fields(&self, field: Option<&str>, clause: impl Fn(&str) -> Value) -> Value {
        match (field, self.fields) {
            (Some(field), _) => clause(field),
            (None, [only]) => clause(only),
            (None, fields) => {
                let clauses: Vec<Value> = fields.iter().map(|field| clause(field)).collect();
                json!({"bool": {"should": clauses, "minimum_should_match": 1}})
            }
        }
    }
}

/// Words of text are lower case.
fn lower_if_text(field: &str, word: &str) -> String {
    match field {
        "message" | "error.stack_trace" => word.to_lowercase(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Value) {
        let fields = ["message".to_owned()];
        assert_eq!(parse(text, &fields, false), Ok(expected), "{text}");
    }

    #[test]
    fn lucene_syntax_becomes_the_dsl() {
        let word = |text: &str| json!({"match": {"message": {"query": text}}});
        check("", json!({"match_all": {}}));
        check("*", json!({"match_all": {}}));
        check("a", word("a"));
        check(
            "level:error",
            json!({"match": {"level": {"query": "error"}}}),
        );
        check(
            r#"m:"a b""#,
            json!({"match_phrase": {"m": {"query": "a b"}}}),
        );
        check(
            "a AND b",
            json!({"bool": {"must": [word("a"), word("b")], "must_not": [], "should": []}}),
        );
        check(
            "a b",
            json!({"bool": {"must": [], "must_not": [], "should": [word("a"), word("b")]}}),
        );
        check(
            "a -b",
            json!({"bool": {"must": [], "must_not": [word("b")], "should": [word("a")]}}),
        );
        check(
            "NOT b",
            json!({"bool": {"must": [], "must_not": [word("b")], "should": []}}),
        );
        check("t:[1 TO *]", json!({"range": {"t": {"gte": "1"}}}));
        check(
            "t:{1 TO 2}",
            json!({"range": {"t": {"gt": "1", "lt": "2"}}}),
        );
        check("t:>=5", json!({"range": {"t": {"gte": "5"}}}));
        check("f:(x)", json!({"match": {"f": {"query": "x"}}}));
        check("f:ab*", json!({"wildcard": {"f": {"value": "ab*"}}}));
        check("f:*", json!({"exists": {"field": "f"}}));
        check("_exists_:f", json!({"exists": {"field": "f"}}));
        check("f:/a.b/", json!({"regexp": {"f": {"value": "a.b"}}}));
        check(r"f:a\:b^2", json!({"match": {"f": {"query": "a:b"}}}));
        let fuzzy = |field: &str, text: &str, fuzziness: &str| json!({"fuzzy": {field: {"value": text, "fuzziness": fuzziness}}});
        check("Word~", fuzzy("message", "word", "AUTO"));
        check("f:Word~2^3", fuzzy("f", "Word", "2"));
        check("f:a*~1", json!({"wildcard": {"f": {"value": "a*"}}}));
        check(
            r#""a b"~2"#,
            json!({"match_phrase": {"message": {"query": "a b", "slop": 2}}}),
        );
    }

    #[test]
    fn errors_say_where() {
        let fields = ["message".to_owned()];
        for (text, expected) in [
            ("(a", "`(` at character 1 is not closed"),
            ("a)", "unexpected `)` at character 2"),
            ("x:\"a", "`\"` at character 3 is not closed"),
            ("t:[1 2]", "the range at character 3"),
            ("f:", "a value is missing"),
            ("(a b)~1", "behind neither a word nor a phrase"),
            ("t:[1 TO 2]~", "behind neither a word nor a phrase"),
        ] {
            let error = parse(text, &fields, false).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_answers(text in any::<String>(), lucene in r#"[a:()"\[\]{}/\\^~*? +!&|<>=TONDR-]{0,40}"#) {
            let fields = ["message".to_owned()];
            drop(parse(&text, &fields, true));
            drop(parse(&lucene, &fields, false));
        }
    }
}
