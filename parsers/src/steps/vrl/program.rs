//! Compiled programs of the Vector Remap Language, and the record as they see it.

use serde_json::{Map, Value as Json};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, Function, Program, TargetValue, TimeZone};
use vrl::value::{Secrets, Value};

use super::super::{Failure, Flow, Step};
use crate::ecs::FieldId;
use crate::fields::Form;
use crate::json::ValueKind;
use crate::work::Work;

/// Functions of the standard library that look at what is around the program, read files when they
/// are compiled, or write to its log.
const REACH_OUT: &[&str] = &[
    "dns_lookup",
    "encode_proto",
    "get_env_var",
    "get_hostname",
    "get_timezone_name",
    "http_request",
    "log",
    "parse_groks",
    "parse_proto",
    "reverse_dns",
    "validate_json_schema",
];

/// The functions that programs may call.
fn functions() -> Vec<Box<dyn Function>> {
    let all = vrl::stdlib::all().into_iter();
    all.filter(|function| !REACH_OUT.contains(&function.identifier()))
        .collect()
}

#[derive(Debug)]
pub(super) struct Vrl {
    program: Program,
    zone: TimeZone,
}

impl Vrl {
    /// Compiles a program.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub(super) fn compile(source: &str) -> Result<Vrl, String> {
        let compiled = vrl::compiler::compile(source, &functions()).map_err(|all| {
            let said: Vec<String> = all.iter().map(|one| one.message.clone()).collect();
            format!("bad program: {}", said.join("; "))
        })?;
        Ok(Vrl {
            program: compiled.program,
            // The environment is not asked for the zone of times without one.
            zone: TimeZone::parse("UTC").unwrap_or_default(),
        })
    }

    fn resolve(&self, work: &Work<'_>) -> Result<Value, String> {
        let mut target = TargetValue {
            value: Value::from(Json::Object(event_of(work))),
            metadata: Value::from(Json::Object(work.stream.to_json())),
            secrets: Secrets::default(),
        };
        let mut state = RuntimeState::default();
        let mut context = Context::new(&mut target, &mut state, &self.zone);
        match self.program.resolve(&mut context) {
            Ok(_) => Ok(target.value),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The record as a program sees it.
fn event_of(work: &Work<'_>) -> Map<String, Json> {
    let mut event = Map::new();
    let text = |bytes: &[u8]| Json::String(String::from_utf8_lossy(bytes).into_owned());
    let as_json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| text(bytes));
    for member in work.fields.members.iter().filter(|member| !member.taken) {
        let key = String::from_utf8_lossy(work.bytes(member.key)).into_owned();
        let value = work.bytes(member.value);
        let value = match member.kind {
            ValueKind::Text => text(value),
            _ => as_json(value),
        };
        event.insert(key, value);
    }
    for id in work.fields.used.iter() {
        let slot = work.fields.slot(id);
        let value = match slot.form {
            Form::Text => text(work.bytes(slot.span)),
            Form::Json => as_json(work.bytes(slot.span)),
        };
        insert(&mut event, id, value);
    }
    event.insert("message".to_owned(), text(work.current()));
    event
}

/// Puts a field under its nested name.
fn insert(event: &mut Map<String, Json>, id: FieldId, value: Json) {
    let mut parts = id.name().split('.').peekable();
    let mut object = event;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            object.insert(part.to_owned(), value);
            return;
        }
        let inner = object
            .entry(part)
            .or_insert_with(|| Json::Object(Map::new()));
        if !inner.is_object() {
            *inner = Json::Object(Map::new());
        }
        let Some(inner) = inner.as_object_mut() else {
            return;
        };
        object = inner;
    }
}

impl Step for Vrl {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let wrong = |why| Failure::at(work.span.0, why);
        let value = self.resolve(work).map_err(|_| wrong("the program fails"))?;
        if !value.is_object() {
            return Err(wrong("the program leaves no object"));
        }
        let json = serde_json::to_vec(&value).map_err(|_| wrong("its result is no JSON"))?;
        let (from, to) = work.text.append(&json);
        let fields = &mut work.fields;
        fields.members.clear();
        fields.taken.clear();
        fields.used = Default::default();
        let outer = fields.message.take();
        if !fields.take_json(work.text.bytes(), from, to) {
            return Err(Failure::at(work.span.0, "its result passes a limit"));
        }
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }

    fn explain(&self, work: &Work<'_>, _: &mut Failure) -> Option<String> {
        self.resolve(work).err()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::RuleSet;

    #[test]
    fn what_reaches_out_is_not_registered() {
        let registered: Vec<&str> = functions().iter().map(|f| f.identifier()).collect();
        assert!(registered.len() > 150, "{}", registered.len());
        assert!(registered.contains(&"parse_json") && registered.contains(&"parse_nginx_log"));
        for name in REACH_OUT {
            assert!(!registered.contains(name), "{name}");
        }
        // By name, should the crate get others: what sounds like it is looked at by someone.
        let sounds = [
            "http", "dns", "env", "file", "host", "socket", "proto", "schema", "secret",
        ];
        let odd: Vec<&&str> = registered
            .iter()
            .filter(|name| sounds.iter().any(|sound| name.contains(sound)))
            .collect();
        assert_eq!(odd, [] as [&&str; 0]);
        assert!(Vrl::compile("get_env_var!(\"HOME\")").is_err());
        assert!(Vrl::compile("http_request!(\"http://127.0.0.1/\")").is_err());
    }

    #[test]
    fn programs_are_checked_when_loaded() {
        let load = |source: &str| {
            let text = format!("name: a\nsteps:\n  - vrl: '{source}'\n");
            RuleSet::from_texts(&[(Path::new("a.yaml"), &text)])
        };
        assert!(load(".a = 1").is_ok());
        let problems = load(".a = nonsense(1)").unwrap_err();
        assert!(
            problems[0].to_string().starts_with("a.yaml:3:"),
            "{problems:?}"
        );
    }
}
