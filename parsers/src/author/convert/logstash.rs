//! Logstash's filters: `grok`, `dissect`, `date`, `json`, `kv`, `csv`, `mutate`, `drop`.
//!
//! A pipeline becomes one rule for each way through it: an `if` that can be said by `match` goes
//! there, of any other the rule carries the condition as a comment.

mod language;

use super::super::draft::{Draft, scalar};
use super::Output;
use language::{Item, Plugin, Setting};

/// Ways through a pipeline that are followed; a real one has far fewer.
const MAX_PATHS: usize = 64;

pub(super) fn convert(text: &str, output: &mut Output) {
    let items = match language::filters(text) {
        Ok(items) => items,
        Err((line, what)) => return output.note(line, format!("cannot read the pipeline: {what}")),
    };
    let mut paths = vec![Path::default()];
    follow(&items, &mut paths, output);
    for path in paths {
        if path.draft.steps.is_empty() {
            continue;
        }
        let mut draft = path.draft;
        if draft.name.is_empty() {
            "logstash".clone_into(&mut draft.name);
        }
        output.rule(path.line, draft);
    }
}

/// A way through the pipeline.
#[derive(Debug, Clone, Default)]
struct Path {
    draft: Draft,
    /// Line of the plugin that made the first step.
    line: usize,
    /// A step ends it: `drop`.
    is_over: bool,
}

fn follow(items: &[Item], paths: &mut Vec<Path>, output: &mut Output) {
    for item in items {
        match item {
            Item::Plugin(plugin) => apply(plugin, paths, output),
            Item::Branch(arms) => {
                let before = paths.clone();
                let mut after = Vec::new();
                for (condition, body) in arms {
                    let mut arm = before.clone();
                    if let Some(condition) = condition {
                        for path in &mut arm {
                            guard(condition, &mut path.draft);
                        }
                    }
                    follow(body, &mut arm, output);
                    after.extend(arm);
                }
                // Without `else` what fits no condition goes on as it was.
                if arms.iter().all(|(condition, _)| condition.is_some()) {
                    after.extend(before);
                }
                if after.len() > MAX_PATHS {
                    output.note(
                        0,
                        format!(
                            "more than {MAX_PATHS} ways through the pipeline: the rest is left out"
                        ),
                    );
                    after.truncate(MAX_PATHS);
                }
                *paths = after;
            }
        }
    }
}

/// Puts a condition into `match` if that can say it, else into a comment.
fn guard(condition: &str, draft: &mut Draft) {
    let words: Vec<&str> = condition.split_whitespace().collect();
    let unquoted = |text: &str| text.trim_matches('"').to_owned();
    let known = match words.as_slice() {
        [field, "==", value] if value.starts_with('"') => {
            let key = match field_name(field).as_str() {
                "kubernetes.namespace" | "kubernetes.namespace_name" => Some("namespace"),
                "kubernetes.pod.name" | "kubernetes.pod_name" => Some("pod"),
                "kubernetes.container.name" | "kubernetes.container_name" => Some("container"),
                _ => None,
            };
            key.map(|key| (key, unquoted(value)))
        }
        [value, "in", "[message]"] if value.starts_with('"') => Some(("contains", unquoted(value))),
        _ => None,
    };
    match known {
        Some((key, value)) => draft.conditions.push((key.to_owned(), vec![value])),
        None => draft.comments.push(format!("only if {condition}")),
    }
}

/// `[http][request][method]` or `field` as a dotted name.
fn field_name(reference: &str) -> String {
    let inner = reference.trim();
    match inner
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(inner) => inner.replace("][", "."),
        None => inner.to_owned(),
    }
}

fn apply(plugin: &Plugin, paths: &mut Vec<Path>, output: &mut Output) {
    let variants: Vec<Vec<String>> = match plugin.name.as_str() {
        "grok" => grok(plugin, output),
        "dissect" => dissect(plugin, output),
        "date" => vec![date(plugin, output)],
        "json" => vec![source_step(plugin, "json", output)],
        "kv" => vec![key_value(plugin, output)],
        "csv" => vec![csv(plugin, output)],
        "mutate" => vec![mutate(plugin, output)],
        "drop" => vec![vec!["drop: true".to_owned()]],
        "geoip" | "useragent" | "urldecode" | "multiline" | "ruby" => {
            output.note(plugin.line, format!("`{}` is not converted", plugin.name));
            return;
        }
        other => {
            output.note(plugin.line, format!("there is no equal of `{other}`"));
            return;
        }
    };
    let mut after = Vec::new();
    for path in paths.iter() {
        if path.is_over {
            after.push(path.clone());
            continue;
        }
        for steps in &variants {
            let mut path = path.clone();
            if path.draft.steps.is_empty() {
                path.line = plugin.line;
            }
            path.draft.steps.extend(steps.iter().cloned());
            path.is_over = plugin.name == "drop";
            after.push(path);
        }
    }
    if !variants.is_empty() {
        after.truncate(MAX_PATHS);
        *paths = after;
    }
}

/// Settings beside those in `known` are told.
fn say_what_is_left(plugin: &Plugin, known: &[&str], output: &mut Output) {
    for (key, _) in &plugin.settings {
        if !known.contains(&key.as_str()) && key != "id" && key != "tag_on_failure" {
            output.note(
                plugin.line,
                format!("`{}`: `{key}` has no equal", plugin.name),
            );
        }
    }
}

fn get<'p>(plugin: &'p Plugin, key: &str) -> Option<&'p Setting> {
    plugin
        .settings
        .iter()
        .find(|(k, _)| k == key)
        .map(|(_, v)| v)
}

fn text<'p>(plugin: &'p Plugin, key: &str) -> Option<&'p str> {
    get(plugin, key)?.texts().first().copied()
}

/// The texts that `setting` has for the message; those for other fields are told.
fn of_message<'p>(plugin: &'p Plugin, setting: &str, output: &mut Output) -> Vec<&'p str> {
    let mut found = Vec::new();
    for (_, value) in plugin.settings.iter().filter(|(key, _)| key == setting) {
        for (field, patterns) in value.pairs() {
            match field_name(field).as_str() {
                "message" | "event.original" => found.extend(patterns.texts()),
                other => output.note(
                    plugin.line,
                    format!(
                        "`{}` of the field `{other}`: only that of `message` is converted",
                        plugin.name
                    ),
                ),
            }
        }
    }
    found
}

/// A variant for each pattern: rules are tried in order, as patterns are.
fn grok(plugin: &Plugin, output: &mut Output) -> Vec<Vec<String>> {
    say_what_is_left(
        plugin,
        &[
            "match",
            "pattern_definitions",
            "overwrite",
            "break_on_match",
            "named_captures_only",
            "ecs_compatibility",
        ],
        output,
    );
    let definitions = get(plugin, "pattern_definitions")
        .map(Setting::pairs)
        .unwrap_or_default();
    of_message(plugin, "match", output)
        .into_iter()
        .map(|pattern| {
            // `[a][b]` names a nested field in Logstash.
            let pattern = nested_names(pattern);
            if definitions.is_empty() {
                return vec![format!("grok: {}", scalar(&pattern))];
            }
            let mut yaml = format!("grok:\n  expr: {}\n  patterns:", scalar(&pattern));
            for (name, value) in &definitions {
                let value = value.texts().first().copied().unwrap_or_default();
                yaml.push_str(&format!("\n    {}: {}", scalar(name), scalar(value)));
            }
            vec![yaml]
        })
        .collect()
}

/// `%{IP:[source][ip]}` with dots instead of brackets.
fn nested_names(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(start) = rest.find("%{") {
        let (before, from) = rest.split_at(start);
        let (reference, after) = from.split_at(from.find('}').map_or(from.len(), |end| end + 1));
        out.push_str(before);
        out.push_str(
            &reference
                .replace("][", ".")
                .replace(":[", ":")
                .replace(']', ""),
        );
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `%{a} %{b}` as `<a> <b>`.
fn dissect(plugin: &Plugin, output: &mut Output) -> Vec<Vec<String>> {
    say_what_is_left(plugin, &["mapping", "convert_datatype"], output);
    let types = get(plugin, "convert_datatype")
        .map(Setting::pairs)
        .unwrap_or_default();
    let mut variants = Vec::new();
    for mapping in of_message(plugin, "mapping", output) {
        let mut pattern = String::new();
        let mut rest = mapping;
        let mut is_fine = true;
        while let Some((before, from)) = rest.split_once("%{") {
            pattern.push_str(&before.replace('<', "<<"));
            let (name, after) = from.split_once('}').unwrap_or((from, ""));
            rest = after;
            let bare = name.trim_end_matches("->");
            if bare.starts_with(['+', '&', '*']) || bare != name {
                output.note(
                    plugin.line,
                    format!("`dissect`: `%{{{name}}}` has no equal"),
                );
                is_fine = false;
                break;
            }
            let name = match bare {
                "" => "_".to_owned(),
                skipped if skipped.starts_with('?') => "_".to_owned(),
                name => field_name(name),
            };
            let kind = types
                .iter()
                .find(|(field, _)| field_name(field) == name)
                .and_then(|(_, kind)| kind.texts().first().copied());
            pattern.push_str(&match kind {
                Some(kind) => format!("<{name}:{kind}>"),
                None => format!("<{name}>"),
            });
        }
        if is_fine {
            pattern.push_str(&rest.replace('<', "<<"));
            variants.push(vec![format!("pattern: {}", scalar(&pattern))]);
        }
    }
    variants
}

fn date(plugin: &Plugin, output: &mut Output) -> Vec<String> {
    say_what_is_left(plugin, &["match", "timezone", "locale"], output);
    let Some(matching) = get(plugin, "match").map(Setting::texts) else {
        return Vec::new();
    };
    let Some((field, formats)) = matching.split_first() else {
        return Vec::new();
    };
    let formats: Vec<String> = formats.iter().map(|f| scalar(&joda_format(f))).collect();
    let mut yaml = format!(
        "time:\n  field: {}\n  formats: [{}]",
        scalar(&field_name(field)),
        formats.join(", ")
    );
    if let Some(zone) = text(plugin, "timezone") {
        yaml.push_str(&format!("\n  zone: {}", scalar(zone)));
    }
    vec![yaml]
}

/// A format of Joda's as the `time` step takes it.
fn joda_format(joda: &str) -> String {
    match joda {
        "ISO8601" => return "rfc3339".to_owned(),
        "UNIX" => return "unix".to_owned(),
        "UNIX_MS" => return "unix_ms".to_owned(),
        _ => {}
    }
    let mut out = String::new();
    let mut chars = joda.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            // What is between two quotes stands for itself; two in a row are one, in there too.
            if chars.next_if_eq(&'\'').is_some() {
                out.push('\'');
                continue;
            }
            while let Some(c) = chars.next() {
                match c {
                    '\'' if chars.next_if_eq(&'\'').is_some() => out.push('\''),
                    '\'' => break,
                    c => out.push(c),
                }
            }
            continue;
        }
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        out.push_str(match (c, count) {
            ('y' | 'Y' | 'x', 2) => "%y",
            ('y' | 'Y' | 'x', _) => "%Y",
            ('M', 1 | 2) => "%m",
            ('M', 3) => "%b",
            ('M', _) => "%B",
            ('d', _) => "%d",
            ('D', _) => "%j",
            ('H', _) => "%H",
            ('h' | 'K', _) => "%I",
            ('a', _) => "%p",
            ('m', _) => "%M",
            ('s', _) => "%S",
            ('S', _) => "%f",
            ('E', 4..) => "%A",
            ('E', _) => "%a",
            ('Z', 2) => "%:z",
            ('Z', 1) => "%z",
            ('Z' | 'z', _) => "%Z",
            _ => {
                out.extend(std::iter::repeat_n(c, count));
                continue;
            }
        });
    }
    out
}

/// A step that takes the message apart; of another field it has no equal.
fn source_step(plugin: &Plugin, step: &str, output: &mut Output) -> Vec<String> {
    say_what_is_left(plugin, &["source", "skip_on_invalid_json"], output);
    match text(plugin, "source").map(field_name).as_deref() {
        None | Some("message" | "event.original") => vec![format!("{step}: {{}}")],
        Some(field) => {
            // Behind a pattern or grok: the message is then this text.
            output.note(
                plugin.line,
                format!("`{step}` reads `{field}`: name that hole `message` in the step before, and `{step}` reads it"),
            );
            vec![format!("{step}: {{}}")]
        }
    }
}

fn key_value(plugin: &Plugin, output: &mut Output) -> Vec<String> {
    say_what_is_left(plugin, &["source", "field_split", "value_split"], output);
    let mut yaml = String::from("key_value:");
    if let Some(split) = text(plugin, "field_split") {
        yaml.push_str(&format!("\n  field_separator: {}", scalar(split)));
    }
    if let Some(split) = text(plugin, "value_split") {
        yaml.push_str(&format!("\n  key_value_separator: {}", scalar(split)));
    }
    if yaml.ends_with(':') {
        yaml.push_str(" {}");
    }
    vec![yaml]
}

fn csv(plugin: &Plugin, output: &mut Output) -> Vec<String> {
    say_what_is_left(plugin, &["source", "columns", "separator"], output);
    let columns = get(plugin, "columns")
        .map(Setting::texts)
        .unwrap_or_default();
    let columns: Vec<String> = columns
        .into_iter()
        .map(|c| scalar(&field_name(c)))
        .collect();
    let mut yaml = format!("csv:\n  columns: [{}]", columns.join(", "));
    if let Some(separator) = text(plugin, "separator") {
        yaml.push_str(&format!("\n  separator: {}", scalar(separator)));
    }
    vec![yaml]
}

fn mutate(plugin: &Plugin, output: &mut Output) -> Vec<String> {
    let mut steps = Vec::new();
    for (key, value) in &plugin.settings {
        let pairs = |step: &str, map: &dyn Fn(&str) -> String| {
            let mut yaml = format!("{step}:");
            for (name, value) in value.pairs() {
                let value = value.texts().first().copied().unwrap_or_default();
                yaml.push_str(&format!(
                    "\n  {}: {}",
                    scalar(&field_name(name)),
                    map(value)
                ));
            }
            yaml
        };
        let list = |step: &str| {
            let fields: Vec<String> = value
                .texts()
                .into_iter()
                .map(|f| scalar(&field_name(f)))
                .collect();
            format!("{step}: [{}]", fields.join(", "))
        };
        match key.as_str() {
            "convert" => steps.push(pairs("cast", &|kind| {
                match kind {
                    "integer" | "integer_eu" => "int",
                    "float" | "float_eu" => "float",
                    "boolean" => "bool",
                    _ => "string",
                }
                .to_owned()
            })),
            "rename" => steps.push(pairs("rename", &|to| scalar(&field_name(to)))),
            "copy" => steps.push(pairs("copy", &|to| scalar(&field_name(to)))),
            "remove_field" => steps.push(list("remove")),
            "lowercase" | "uppercase" => steps.push(list(key)),
            "strip" => steps.push(list("trim")),
            "add_field" | "replace" | "update" => {
                if value
                    .pairs()
                    .iter()
                    .any(|(_, v)| v.texts().iter().any(|t| t.contains("%{")))
                {
                    output.note(
                        plugin.line,
                        format!("`mutate`: `{key}` with `%{{…}}` has no equal"),
                    );
                } else {
                    steps.push(pairs("set", &scalar));
                }
            }
            "id" => {}
            other => output.note(plugin.line, format!("`mutate`: `{other}` has no equal")),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_joda_become_those_of_strftime() {
        let check = |joda: &str, expected: &str| assert_eq!(joda_format(joda), expected);
        check("dd/MMM/yyyy:HH:mm:ss Z", "%d/%b/%Y:%H:%M:%S %z");
        check("yyyy-MM-dd'T'HH:mm:ss,SSS", "%Y-%m-%dT%H:%M:%S,%f");
        check("h 'o''clock' a", "%I o'clock %p");
        check("UNIX_MS", "unix_ms");
    }

    #[test]
    fn names_lose_their_brackets() {
        assert_eq!(field_name("[a][b]"), "a.b");
        assert_eq!(field_name("a"), "a");
        assert_eq!(
            nested_names("^%{IP:[source][ip]:int} [x] %{GREEDYDATA}"),
            "^%{IP:source.ip:int} [x] %{GREEDYDATA}"
        );
    }
}
