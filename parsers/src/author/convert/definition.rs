//! A parser definition as Fluent Bit and Fluentd have it: a format, an expression, a time, types.

use super::super::draft::{Draft, rule_name, scalar};
use super::{Output, expression};

/// Key, value and line of a setting.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// One parser.
#[derive(Debug, Clone, Default)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) line: usize,
    /// Keys in lower case.
    pub(super) settings: Vec<Setting>,
}

/// Settings that say what rules do anyway, or that need nothing.
const NEEDLESS: &[&str] = &[
    "name",
    "format",
    "type",
    "@type",
    "regex",
    "expression",
    "time_key",
    "time_format",
    "time_type",
    "types",
    "time_keep",
    "keep_time_key",
    "time_strict",
    "skip_empty_values",
    "time_offset",
    "timezone",
    "utc",
    "localtime",
    "estimate_current_event",
    "null_empty_string",
    "null_value_pattern",
    "time_format_fallbacks",
    "keys",
    "delimiter",
    "label_delimiter",
    "delimiter_pattern",
    "message_format",
    "with_priority",
    "rfc6587",
    "grok_pattern",
];

impl Definition {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.settings.iter().find(|s| s.key == key)?;
        Some(found.value.as_str())
    }

    fn line_of(&self, key: &str) -> usize {
        let found = self.settings.iter().find(|s| s.key == key);
        found.map_or(self.line, |s| s.line)
    }

    /// Makes the rule, named `name`.
    pub(super) fn convert(&self, output: &mut Output) {
        let format = ["format", "@type", "type"]
            .iter()
            .find_map(|key| self.get(key))
            .unwrap_or("regex");
        let mut draft = Draft {
            name: rule_name(&self.name),
            ..Draft::default()
        };
        let is_made = match format.to_ascii_lowercase().as_str() {
            "regex" | "regexp" => self.regex(&mut draft, output),
            "json" => self.plain(&mut draft, "json: {}"),
            "logfmt" => self.plain(&mut draft, "logfmt: {}"),
            "ltsv" => self.plain(&mut draft, "ltsv: {}"),
            "csv" => self.columns(&mut draft, "csv", output),
            "tsv" => self.columns(&mut draft, "tsv", output),
            "nginx" => self.plain(&mut draft, "nginx: {}"),
            "apache" | "apache2" => self.plain(&mut draft, "apache: {}"),
            "syslog" => self.plain(&mut draft, "syslog: {}"),
            "none" => {
                output.note(
                    self.line,
                    format!("`{}` keeps the line as it is: no rule is needed", self.name),
                );
                false
            }
            "grok" => self.grok(&mut draft, output),
            other if other.starts_with('/') => self.regex(&mut draft, output),
            other => {
                let line = self.line_of("format");
                output.note(
                    line,
                    format!("`{}`: there is no format `{other}` here", self.name),
                );
                false
            }
        };
        if is_made {
            self.say_what_is_left(output);
            output.rule(self.line, draft);
        }
    }

    fn plain(&self, draft: &mut Draft, step: &str) -> bool {
        draft.steps.push(step.to_owned());
        self.time_of_field(draft);
        self.casts(draft);
        true
    }

    fn columns(&self, draft: &mut Draft, step: &str, output: &mut Output) -> bool {
        let Some(keys) = self.get("keys") else {
            output.note(self.line, format!("`{}`: `{step}` needs `keys`", self.name));
            return false;
        };
        let columns: Vec<String> = keys
            .trim_matches(|c| c == '[' || c == ']')
            .split(',')
            .map(|key| scalar(key.trim().trim_matches('"')))
            .collect();
        let mut yaml = format!("{step}:\n  columns: [{}]", columns.join(", "));
        if let Some(delimiter) = self.get("delimiter").filter(|d| *d != "," && step == "csv") {
            yaml.push_str(&format!("\n  separator: {}", scalar(delimiter)));
        }
        self.plain(draft, &yaml)
    }

    fn grok(&self, draft: &mut Draft, output: &mut Output) -> bool {
        match self.get("grok_pattern") {
            Some(pattern) => {
                draft.steps.push(format!("grok: {}", scalar(pattern)));
                true
            }
            None => {
                output.note(
                    self.line,
                    format!("`{}`: `grok` needs `grok_pattern`", self.name),
                );
                false
            }
        }
    }

    fn regex(&self, draft: &mut Draft, output: &mut Output) -> bool {
        let format = self.get("format").filter(|f| f.starts_with('/'));
        let Some(ruby) = self.get("regex").or(self.get("expression")).or(format) else {
            output.note(self.line, format!("`{}` has no expression", self.name));
            return false;
        };
        let line = self.line_of(match format {
            Some(_) => "format",
            None if self.get("regex").is_some() => "regex",
            None => "expression",
        });
        let expression = expression::from_ruby(ruby);
        for note in expression.notes {
            output.note(line, format!("`{}`: {note}", self.name));
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        let time_key = self.get("time_key").unwrap_or("time");
        let has_time = expression.text.contains(&format!("<{time_key}>"));
        let time = self
            .get("time_format")
            .filter(|format| has_time && !is_built_in(format));
        if has_time {
            // The text of the time goes to a field of its own, which the next step reads.
            let target = if time.is_some() {
                TIME_TEXT
            } else {
                "'@timestamp'"
            };
            fields.push((time_key.to_owned(), target.to_owned()));
        }
        for (name, kind) in self.types(output) {
            if expression.text.contains(&format!("<{name}>")) && name != time_key {
                fields.push((name.clone(), format!("{name}:{kind}")));
            }
        }
        if fields.is_empty() {
            draft
                .steps
                .push(format!("regex: {}", scalar(&expression.text)));
        } else {
            let mut yaml = format!("regex:\n  expr: {}\n  fields:", scalar(&expression.text));
            for (group, target) in fields {
                yaml.push_str(&format!("\n    {}: {target}", scalar(&group)));
            }
            draft.steps.push(yaml);
        }
        if let Some(format) = time {
            draft.steps.push(self.time_step(TIME_TEXT, format));
        }
        true
    }

    /// A time in a field that a format found.
    fn time_of_field(&self, draft: &mut Draft) {
        if let (Some(key), Some(format)) = (self.get("time_key"), self.get("time_format")) {
            let is_recognised = matches!(key, "time" | "timestamp" | "@timestamp" | "ts");
            if is_recognised && is_built_in(format) {
                return;
            }
            draft.steps.push(self.time_step(key, format));
        }
    }

    fn time_step(&self, field: &str, format: &str) -> String {
        let mut yaml = format!(
            "time:\n  field: {}\n  formats: [{}]",
            scalar(field),
            scalar(&time_format(format))
        );
        if let Some(zone) = self.get("time_offset").or(self.get("timezone")) {
            yaml.push_str(&format!("\n  zone: {}", scalar(zone)));
        }
        yaml
    }

    fn casts(&self, draft: &mut Draft) {
        let mut ignored = Output::default();
        let types = self.types(&mut ignored);
        if types.is_empty() {
            return;
        }
        let mut yaml = String::from("cast:");
        for (name, kind) in types {
            yaml.push_str(&format!("\n  {}: {kind}", scalar(&name)));
        }
        draft.steps.push(yaml);
    }

    /// Names and types, in our words. Text is the default and left out.
    fn types(&self, output: &mut Output) -> Vec<(String, &'static str)> {
        let text = self.get("types").unwrap_or_default();
        let mut types = Vec::new();
        for pair in text.split([',', ' ', '\t']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split(':');
            let (Some(name), Some(kind)) = (parts.next(), parts.next()) else {
                output.note(self.line_of("types"), format!("`{pair}` names no type"));
                continue;
            };
            let kind = match kind.to_ascii_lowercase().as_str() {
                "integer" | "int" => "int",
                "float" => "float",
                "bool" | "boolean" => "bool",
                "string" => continue,
                other => {
                    let what = format!("`{name}` stays text: there is no type `{other}` here");
                    output.note(self.line_of("types"), what);
                    continue;
                }
            };
            types.push((name.to_owned(), kind));
        }
        types
    }

    fn say_what_is_left(&self, output: &mut Output) {
        let is_on =
            |value: &str| matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes");
        for setting in &self.settings {
            let Setting { key, value, line } = setting;
            match key.as_str() {
                "time_keep" | "keep_time_key" if is_on(value) => output.note(
                    *line,
                    format!(
                        "`{}`: the text of the time is not kept beside `@timestamp`",
                        self.name
                    ),
                ),
                "skip_empty_values" if !is_on(value) => output.note(
                    *line,
                    format!("`{}`: empty values are always left out", self.name),
                ),
                "null_value_pattern"
                | "estimate_current_event"
                | "time_format_fallbacks"
                | "localtime" => {
                    output.note(*line, format!("`{}`: `{key}` has no equal", self.name));
                }
                key if NEEDLESS.contains(&key) => {}
                _ => output.note(*line, format!("`{}`: `{key}` has no equal", self.name)),
            }
        }
    }
}

/// Field that holds the text of a time between two steps.
const TIME_TEXT: &str = "time_text";

/// Whether a hole of the type `time` reads such times by itself.
fn is_built_in(format: &str) -> bool {
    format == "%d/%b/%Y:%H:%M:%S %z" || format.replace(' ', "T").starts_with("%Y-%m-%dT%H:%M:%S")
}

/// A time format of Fluent Bit or Fluentd as the `time` step takes it.
fn time_format(format: &str) -> String {
    // `%L` is a fraction of a second of any length in both.
    format.replace("%L", "%f").replace("%N", "%f")
}
