//! Regular expressions as rules use them: those that are chains of delimiters, as most of access
//! logs are, run as byte searches ([`program`], [`matcher`]); others, and texts that would cost
//! the searches too much, go to the `regex` crate. Both find the same: a property test watches.

mod around;
mod matcher;
mod program;
mod scan;
pub(crate) mod set;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::marks::Marks;
pub(crate) use around::Around;
use matcher::Scratch;
use program::Program;

/// Memory that a compiled expression may take.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// A compiled expression. What it finds is what the `regex` crate finds.
#[derive(Debug)]
pub(crate) struct Expression {
    text: String,
    regex: Regex,
    program: Option<Program>,
}

/// Memory that [`Expression::find`] needs, of one thread.
#[derive(Debug)]
pub(crate) struct Locations {
    scratch: Scratch,
    regex: CaptureLocations,
}

impl Locations {
    /// Where a group was found, by its number; `None` when it took no part.
    #[inline]
    pub(crate) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match self.scratch.slots.as_chunks::<2>().0.get(group)? {
            [matcher::NONE, _] | [_, matcher::NONE] => None,
            [start, end] => Some((*start as usize, *end as usize)),
        }
    }
}

impl Expression {
    /// Compiles an expression in the syntax of the `regex` crate.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub(crate) fn compile(text: &str) -> Result<Expression, String> {
        Self::compile_up_to(text, MAX_BYTES)
    }

    /// As [`Expression::compile`], with a limit of memory.
    ///
    /// # Errors
    ///
    /// As [`Expression::compile`].
    pub(crate) fn compile_up_to(text: &str, max_bytes: usize) -> Result<Expression, String> {
        let regex = build(text, max_bytes).map_err(|error| {
            // The last line says what is wrong, those before draw it.
            let text = error.to_string();
            let what = text.lines().last().unwrap_or_default();
            what.trim_start_matches("error: ").to_owned()
        })?;
        let hir = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(text);
        let program = hir.ok().and_then(|hir| Program::compile(&hir));
        let text = text.to_owned();
        Ok(Expression {
            text,
            regex,
            program,
        })
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Names of the groups, by number; group 0 is the whole match.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.regex.capture_names()
    }

    /// Memory for [`Expression::find`], one for each thread.
    pub(crate) fn locations(&self) -> Locations {
        Locations {
            scratch: Scratch::default(),
            regex: self.regex.capture_locations(),
        }
    }

    /// Looks for the expression in `line[from..to]`, which must be valid UTF-8. Appends start and
    /// end of each group to `found`, counted in `line`; a group that took no part is empty.
    /// `marks` are those of the record's text, which `line` is or begins with.
    #[inline]
    pub(crate) fn find(
        &self,
        line: &[u8],
        from: usize,
        to: usize,
        marks: &Marks,
        locations: &mut Locations,
        found: &mut Vec<(u32, u32)>,
    ) -> bool {
        let is_found = self.locate(line, from, to, marks, locations);
        if is_found {
            let (groups, _) = locations.scratch.slots.as_chunks::<2>();
            found.extend(groups.iter().map(|[start, end]| match (*start, *end) {
                (matcher::NONE, _) | (_, matcher::NONE) => (from as u32, from as u32),
                range => range,
            }));
        }
        is_found
    }

    /// As [`Expression::find`]; [`Locations::get`] gives the groups.
    #[inline]
    pub(crate) fn locate(
        &self,
        line: &[u8],
        from: usize,
        to: usize,
        marks: &Marks,
        locations: &mut Locations,
    ) -> bool {
        let (Some(text), true) = (line.get(..to), from <= to) else {
            return false;
        };
        if let Some(program) = &self.program
            && let Ok(is_found) = program.find(text, from, marks, &mut locations.scratch)
        {
            return is_found;
        }
        let regex = &mut locations.regex;
        let text = text.get(from..).unwrap_or_default();
        if self.regex.captures_read(regex, text).is_none() {
            return false;
        }
        let slots = &mut locations.scratch.slots;
        slots.clear();
        for group in 0..regex.len() {
            match regex.get(group) {
                Some((start, end)) => slots.extend([start, end].map(|at| (from + at) as u32)),
                None => slots.extend([matcher::NONE; 2]),
            }
        }
        true
    }

    /// Whether the expression is found in a text.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Calls `found` with start and end of every match, for as long as it says so: what tells that
    /// there is no longer match may stand at the end of the text, so that all matches together may
    /// take a time that grows with its square.
    pub(crate) fn find_each(&self, text: &[u8], mut found: impl FnMut(usize, usize) -> bool) {
        for range in self.regex.find_iter(text).map(|found| found.range()) {
            if !found(range.start, range.end) {
                return;
            }
        }
    }

    /// Appends `text` with every match replaced; `$1` and `${name}` in `with` are groups. `gives_up` is
    /// asked after each match, for the reason given at [`Expression::find_each`]. False when it gave up:
    /// a part is appended then.
    pub(crate) fn append_replaced(
        &self,
        text: &[u8],
        with: &str,
        out: &mut Vec<u8>,
        mut gives_up: impl FnMut() -> bool,
    ) -> bool {
        let mut done = 0;
        // Finding groups costs more than finding matches.
        if with.contains('$') {
            for groups in self.regex.captures_iter(text) {
                let whole = groups.get_match();
                out.extend_from_slice(&text[done..whole.start()]);
                groups.expand(with.as_bytes(), out);
                done = whole.end();
                if gives_up() {
                    return false;
                }
            }
        } else {
            for whole in self.regex.find_iter(text) {
                out.extend_from_slice(&text[done..whole.start()]);
                out.extend_from_slice(with.as_bytes());
                done = whole.end();
                if gives_up() {
                    return false;
                }
            }
        }
        out.extend_from_slice(&text[done..]);
        true
    }

    /// How far into a text that does not match its longest beginning matches, and the rest of the
    /// expression. For people: tries every beginning that compiles.
    pub(crate) fn how_far(&self, text: &[u8]) -> Option<(usize, &str)> {
        let ends = self.text.char_indices().map(|(at, _)| at).rev();
        for end in ends.filter(|end| *end > 0) {
            let (beginning, rest) = self.text.split_at(end);
            // A beginning that ends within a repetition or an escape means something else.
            if rest.starts_with(['*', '+', '?', '{']) || beginning.ends_with(['\\', '|']) {
                continue;
            }
            if let Some(found) = build(beginning, MAX_BYTES).ok().and_then(|regex| {
                let found = regex.find(text)?;
                Some(found.end())
            }) {
                return Some((found, rest));
            }
        }
        Some((0, &self.text))
    }
}

fn build(text: &str, max_bytes: usize) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(text);
    // The engine's cache of states has a default of 2 MiB.
    let cache = max_bytes.max(2 * 1024 * 1024);
    builder.size_limit(max_bytes).dfa_size_limit(cache).build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// nginx's access log as Fluent Bit's parsers file has it.
    const FLUENT_BIT_NGINX: &str = r#"^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")"#;

    type Groups = Option<Vec<(u32, u32)>>;

    /// Groups as the `regex` crate and as [`Expression::find`] find them.
    fn both(expression: &str, text: &str) -> (Groups, Groups) {
        let compiled = Expression::compile(expression).unwrap();
        let by_regex = compiled.regex.captures(text.as_bytes()).map(|captures| {
            let range = |m: regex::bytes::Match<'_>| (m.start() as u32, m.end() as u32);
            captures
                .iter()
                .map(|group| group.map_or((0, 0), range))
                .collect()
        });
        let mut found = Vec::new();
        let mut locations = compiled.locations();
        let mut marks = Marks::default();
        marks.look(text.as_bytes());
        let matches = compiled.find(
            text.as_bytes(),
            0,
            text.len(),
            &marks,
            &mut locations,
            &mut found,
        );
        // Within a longer text the same is found, and what is around it is not seen.
        let longer = format!("a1{text}\"b");
        marks.look(longer.as_bytes());
        let mut within = Vec::new();
        let to = 2 + text.len();
        let also = compiled.find(
            longer.as_bytes(),
            2,
            to,
            &marks,
            &mut locations,
            &mut within,
        );
        assert_eq!(also, matches, "{expression} within {longer}");
        let moved = |(start, end): &(u32, u32)| match (start, end) {
            // A group that took no part is where the text begins.
            (0, 0) => (2, 2),
            (start, end) => (start + 2, end + 2),
        };
        assert_eq!(within, found.iter().map(moved).collect::<Vec<_>>());
        (by_regex, matches.then_some(found))
    }

    #[test]
    fn access_logs_run_as_byte_searches() {
        let check = |expression: &str, text: &str| {
            let compiled = Expression::compile(expression).unwrap();
            let program = compiled.program.as_ref().expect("it is a program");
            assert_eq!(
                program.find(
                    text.as_bytes(),
                    0,
                    &Marks::default(),
                    &mut Scratch::default()
                ),
                Ok(compiled.regex.is_match(text.as_bytes())),
                "{expression} on {text}"
            );
            let (expected, found) = both(expression, text);
            assert_eq!(found, expected, "{expression} on {text}");
        };
        for text in [
            r#"10.0.0.1 - bob [10/Oct/2023:13:55:36 +0200] "GET /cart?id=1 HTTP/1.1" 200 512 "-" "curl/8 (ü)""#,
            r#"10.0.0.1 - - [x] "GET /a b c" 200 512 "-" """#,
            r#"10.0.0.1 - - [x] "GET" 400 0 "-" "-""#,
            r#"10.0.0.1 - - [x] "" 400 0 "-" "-""#,
            r#"10.0.0.1 - - [x] "GET / HTTP/1.1" 200 7 "-" "Mozil"#,
            "",
        ] {
            check(FLUENT_BIT_NGINX, text);
        }
        check(
            r"^(\d+):([XCSM]) \d{2} [A-Z][a-z]{2} (.*)$",
            "1:M 02 Jan x y",
        );
        check(r"(?P<a>\w+)=(?P<b>\w+)", "no pair, then a=b");
        check(
            r"\b(?:[0-9A-Za-z][0-9A-Za-z-]{0,62})(?:\.[0-9a-z]+)*\b",
            "x.y-z.example.org:80",
        );
        check("(?i)error: (.*)", "an ErRor: text");
    }

    #[test]
    fn long_ways_are_left_to_the_regex_crate() {
        let text = "a".repeat(2000);
        let expression = Expression::compile("^(a+)+b").unwrap();
        let program = expression.program.as_ref().unwrap();
        assert_eq!(
            program.find(
                text.as_bytes(),
                0,
                &Marks::default(),
                &mut Scratch::default()
            ),
            Err(matcher::GivesUp)
        );
        assert_eq!(both("^(a+)+b", &text), (None, None));
        // Looked at in vain: the automaton of a part, a run that is counted, the end of a class
        // behind which a run may not go.
        for (expression, text) in [
            ("(?:a+|b)=", text.clone()),
            ("[a-z]{0,1000}=", text.clone()),
            ("^\"[^\"]*?ab", format!("\"{text}")),
        ] {
            let compiled = Expression::compile(expression).unwrap();
            let program = compiled.program.as_ref().unwrap();
            assert_eq!(
                program.find(
                    text.as_bytes(),
                    0,
                    &Marks::default(),
                    &mut Scratch::default()
                ),
                Err(matcher::GivesUp),
                "{expression}"
            );
            assert_eq!(both(expression, &text), (None, None));
        }
    }

    #[test]
    fn what_does_not_match_says_how_far_it_went() {
        let check = |expression: &str, text: &str, expected: (usize, &str)| {
            let compiled = Expression::compile(expression).unwrap();
            assert_eq!(compiled.how_far(text.as_bytes()), Some(expected));
        };
        check(r"^(?P<a>\d+) (?P<b>\d+)$", "12 x", (3, r"(?P<b>\d+)$"));
        check("^abc", "x", (0, "abc"));
    }

    /// Expressions made of the pieces that log patterns are made of.
    fn expressions() -> impl Strategy<Value = String> {
        let class = prop::sample::select(vec![
            "[^ ]", r"[^\]]", r#"[^"]"#, r"\S", r"\d", r"\w", ".", "[ab]", "[^ab]", "a", "ü", r"\s",
        ]);
        let times = prop::sample::select(vec![
            "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?",
        ]);
        let literal = prop::sample::select(vec![
            " ", "a", "b", "\"", r"\[", r"\]", "ab", "ü", "1", r"\b", r"\B", "$", r"\n", "(?m:^)",
            "(?m:$)",
        ]);
        let piece = (class, times).prop_map(|(class, times)| format!("{class}{times}"));
        let leaf = prop_oneof![3 => piece, 2 => literal.prop_map(str::to_owned)];
        let nested = leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                inner.clone().prop_map(|part| format!("({part})")),
                (
                    inner.clone(),
                    prop::sample::select(vec!["?", "*", "+", "??", "{1,2}"])
                )
                    .prop_map(|(part, times)| format!("(?:{part}){times}")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            ]
        });
        (
            prop::sample::select(vec!["", "^", "(?m:^)"]),
            prop::collection::vec(nested, 1..6),
            prop::sample::select(vec!["", "$", "(?m:$)"]),
        )
            .prop_map(|(start, parts, end)| format!("{start}{}{end}", parts.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn byte_searches_find_what_the_regex_crate_finds(expression in expressions(), texts in prop::collection::vec("[ab1 \"\\[\\]ü\n]{0,12}", 1..4)) {
            // `\b*` and the like are no expressions.
            if Expression::compile(&expression).is_ok() {
                for text in texts {
                    let (expected, found) = both(&expression, &text);
                    prop_assert_eq!(found, expected, "{} on {}", expression, text);
                }
            }
        }
    }
}
