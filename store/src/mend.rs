//! A form that cannot conflict for documents that a mapping refuses, and dead letters for what
//! fails even so.
//!
//! Mending moves the offending fields, as strings, into `tailrace.conflict` (one
//! `flattened`/`flat_object` field); values too long for an index term go to `tailrace.overflow`
//! (not indexed). Fields that stay are copied byte by byte. The `_id` stays.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::document_id::append_json_str;
use crate::elasticsearch::short;
use crate::judge::ItemError;

/// Longer strings are not put into the flattened field: a term holds 32,766 bytes with its path.
const MAX_TERM: usize = 8_000;

/// Part of an original document that one dead letter holds. With escapes (at most sixfold) and
/// the rest it stays below 1 MiB, the smallest limit of proxies in use.
const MAX_LETTER_PART: usize = 128 << 10;

/// A message longer than this is cut in the dead letter; the original has all of it.
const MAX_LETTER_MESSAGE: usize = 8 << 10;

/// The members of a JSON object in order, values untouched.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

/// Makes the `round`th mended form (1, 2) of a document. Round 1 moves the fields that the reason
/// names (all of `attributes` when it names none), round 2 all of `attributes` and labels as well.
/// `None` when there is nothing left to move or the document is not a JSON object.
pub(crate) fn mend(source: &[u8], error: &ItemError, round: u8, now_ms: u64) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(source).ok()?;
    let mut object = text.to_owned();
    let mut moved = Vec::new();
    let mut paths = named_fields(&error.reason);
    paths.retain(|path| !path.starts_with("tailrace."));
    for path in &paths {
        object = take(&object, path, "", &mut moved)?;
    }
    if moved.is_empty() || round > 1 {
        for path in ["attributes", "kubernetes.labels", "kubernetes.annotations"] {
            object = take(&object, path, "", &mut moved)?;
        }
    }
    let members: RawObject<'_> = serde_json::from_str(&object).ok()?;
    let has_time = members.0.iter().any(|(key, _)| key == "@timestamp");
    if moved.is_empty() && has_time {
        return None;
    }
    let mut out = Vec::with_capacity(source.len() + 512);
    out.push(b'{');
    let mut tags: Vec<serde_json::Value> = Vec::new();
    let mut had = Vec::new();
    for (key, value) in &members.0 {
        match key.as_str() {
            "tags" => {
                tags = match serde_json::from_str(value.get()) {
                    Ok(serde_json::Value::Array(tags)) => tags,
                    Ok(tag) => vec![tag],
                    Err(_) => Vec::new(),
                };
            }
            // Of an earlier round.
            "tailrace.conflict" | "tailrace.overflow" => {
                let earlier: RawObject<'_> = serde_json::from_str(value.get()).ok()?;
                for (path, value) in earlier.0 {
                    had.push((path, value.get().to_owned()));
                }
            }
            "tailrace.mended_reason" => {}
            _ => append_member(&mut out, key, value.get()),
        }
    }
    had.append(&mut moved);
    if !has_time {
        let now = i64::try_from(now_ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        append_member(
            &mut out,
            "@timestamp",
            &format!("\"{}\"", now.unwrap_or_default()),
        );
    }
    if !tags.iter().any(|tag| tag == "mended") {
        tags.push("mended".into());
    }
    append_member(
        &mut out,
        "tags",
        &serde_json::Value::Array(tags).to_string(),
    );
    let (long, fitting): (Vec<_>, Vec<_>) = had.into_iter().partition(|(_, v)| v.len() > MAX_TERM);
    for (name, fields) in [("tailrace.conflict", fitting), ("tailrace.overflow", long)] {
        if !fields.is_empty() {
            let mut value = vec![b'{'];
            for (path, field) in &fields {
                append_member(&mut value, path, &as_string(field));
            }
            value.push(b'}');
            append_member(&mut out, name, std::str::from_utf8(&value).ok()?);
        }
    }
    let mut reason = Vec::new();
    append_json_str(&mut reason, &short(&error.reason));
    append_member(
        &mut out,
        "tailrace.mended_reason",
        std::str::from_utf8(&reason).ok()?,
    );
    out.push(b'}');
    Some(out)
}

/// A JSON value as a JSON string: strings stay, all else becomes its own text.
fn as_string(value: &str) -> String {
    if value.starts_with('"') {
        return value.to_owned();
    }
    let mut out = Vec::new();
    append_json_str(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn append_member(out: &mut Vec<u8>, key: &str, value: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    append_json_str(out, key);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

/// Takes the field at `path` out of the object, whether keys are dotted or nested, and fields
/// below it. What is taken is pushed with its full path.
fn take(
    object: &str,
    path: &str,
    above: &str,
    moved: &mut Vec<(String, String)>,
) -> Option<String> {
    let members: RawObject<'_> = serde_json::from_str(object).ok()?;
    let mut out = vec![b'{'];
    for (key, value) in members.0 {
        let full = if above.is_empty() {
            key.clone()
        } else {
            format!("{above}.{key}")
        };
        let rest = path.strip_prefix(key.as_str());
        if rest == Some("")
            || key
                .strip_prefix(path)
                .is_some_and(|below| below.starts_with('.'))
        {
            moved.push((full, value.get().to_owned()));
            continue;
        }
        match rest.and_then(|rest| rest.strip_prefix('.')) {
            Some(rest) if value.get().starts_with('{') => {
                let left = take(value.get(), rest, &full, moved)?;
                if left != "{}" {
                    append_member(&mut out, &key, &left);
                }
            }
            // The mapping wants an object where the document has a value, or the other way round.
            Some(_) => moved.push((full, value.get().to_owned())),
            None => append_member(&mut out, &key, value.get()),
        }
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

/// The fields that a reason names.
fn named_fields(reason: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for (before, after) in [
        ("failed to parse field [", "]"),
        ("object mapping for [", "]"),
        ("dynamically add mapping for field [", "]"),
        ("Existing mapping for [", "]"),
        ("mapper [", "]"),
        ("in field=\"", "\""),
        ("non object mapping [", "]"),
        ("timestamp field [", "]"),
    ] {
        if let Some((_, rest)) = reason.split_once(before)
            && let Some((field, _)) = rest.split_once(after)
        {
            fields.push(field.to_owned());
        }
    }
    if let Some((_, rest)) = reason.split_once("dynamic introduction of [")
        && let Some((name, rest)) = rest.split_once("] within [")
        && let Some((within, _)) = rest.split_once(']')
    {
        fields.push(if within == "_doc" {
            name.to_owned()
        } else {
            format!("{within}.{name}")
        });
    }
    fields.retain(|field| !field.is_empty());
    fields.dedup();
    fields
}

/// Makes the dead letters of a document: one, or several when the document is long. Each comes
/// with its id, which follows from index and id of the document.
pub(crate) fn dead_letters(
    index: &str,
    id: &str,
    source: &[u8],
    error: &ItemError,
    now_ms: u64,
) -> Vec<(String, Vec<u8>)> {
    let text = String::from_utf8_lossy(source);
    let parts = cut(&text, MAX_LETTER_PART);
    let members: RawObject<'_> = serde_json::from_str(&text).unwrap_or(RawObject(Vec::new()));
    let now = i64::try_from(now_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let mut out = Vec::with_capacity(parts.len());
    for (n, part) in parts.iter().enumerate() {
        let mut letter = serde_json::Map::new();
        letter.insert(
            "@timestamp".into(),
            now.unwrap_or_default().to_string().into(),
        );
        let mut message = error.reason.as_str().into();
        for (key, value) in &members.0 {
            if key == "message" {
                let text: Result<String, _> = serde_json::from_str(value.get());
                let text = text.unwrap_or_else(|_| value.get().to_owned());
                message = cut(&text, MAX_LETTER_MESSAGE)
                    .first()
                    .copied()
                    .unwrap_or_default()
                    .into();
            } else if (key == "kubernetes.namespace"
                || key == "tailrace.stream"
                || key == "log.offset")
                && value.get().len() < 1_024
                && let Ok(value) = serde_json::from_str(value.get())
            {
                letter.insert(format!("tailrace.dead_letter.{key}"), value);
            }
        }
        letter.insert("message".into(), message);
        letter.insert(
            "tailrace.dead_letter".into(),
            serde_json::json!({
                "document": part,
                "reason": short(&error.reason),
                "type": error.kind,
                "status": error.status,
                "index": index,
                "id": id,
                "part": n,
                "parts": parts.len(),
            }),
        );
        out.push((
            letter_id(index, id, n),
            serde_json::Value::Object(letter).to_string().into_bytes(),
        ));
    }
    out
}

/// Index and id as they are while they fit the server's 512 bytes, else their hash.
fn letter_id(index: &str, id: &str, part: usize) -> String {
    let name = format!("{index}/{id}");
    let suffix = if part == 0 {
        String::new()
    } else {
        format!("#{part}")
    };
    if name.len() <= 480 {
        return name + &suffix;
    }
    // FNV-1a with two offsets, 128 bits together.
    let hash = |seed: u64| {
        name.bytes().fold(seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    format!(
        "{:016x}{:016x}{suffix}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x6c62_272e_07bb_0142)
    )
}

/// Cuts text into pieces of at most `max` bytes, at characters. Empty text is one piece.
fn cut(text: &str, max: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > max {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(max));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn error(reason: &str) -> ItemError {
        ItemError {
            status: 400,
            kind: "mapper_parsing_exception".into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn the_named_field_moves_and_the_rest_stays() {
        let source = r#"{"@timestamp":"t","message":"m","attributes":{"n":"abc","big":12345678901234567890123,"o":{"p":1}},"kubernetes.labels.app":"x","tags":["a"]}"#;
        for (reason, moved) in [
            (
                "failed to parse field [attributes.n] of type [long]",
                json!({"attributes.n": "abc"}),
            ),
            (
                "[1:42] object mapping for [attributes.o] tried to parse field [o] as object",
                json!({"attributes.o": "{\"p\":1}"}),
            ),
            (
                "Could not dynamically add mapping for field [attributes.o.p]. Existing mapping for [attributes.o] must be",
                json!({"attributes.o.p": "1"}),
            ),
            (
                "dynamic introduction of [big] within [attributes] is not allowed",
                json!({"attributes.big": "12345678901234567890123"}),
            ),
            (
                "immense term in field=\"kubernetes.labels.app\" (whose",
                json!({"kubernetes.labels.app": "x"}),
            ),
            (
                "failed to parse field [kubernetes.labels] of type",
                json!({"kubernetes.labels.app": "x"}),
            ),
        ] {
            let out = mend(source.as_bytes(), &error(reason), 1, 0).unwrap();
            let value: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["tailrace.conflict"], moved, "{reason}");
            assert_eq!(value["message"], "m");
            assert_eq!(value["tags"], json!(["a", "mended"]));
            assert_eq!(value["tailrace.mended_reason"], reason);
            if !reason.contains("big") {
                let text = String::from_utf8(out).unwrap();
                assert!(
                    text.contains("\"big\":12345678901234567890123"),
                    "untouched bytes: {text}"
                );
            }
        }
    }

    #[test]
    fn an_unnamed_fault_moves_all_attributes_and_the_second_round_too() {
        let source = br#"{"@timestamp":"t","x":"y","attributes":{"n":1},"attributes.m":2}"#;
        let limit = error("Limit of total fields [20] has been exceeded");
        let first: Value = serde_json::from_slice(&mend(source, &limit, 1, 0).unwrap()).unwrap();
        assert_eq!(
            first["tailrace.conflict"],
            json!({"attributes": "{\"n\":1}", "attributes.m": "2"})
        );
        let named = mend(
            source,
            &error("failed to parse field [x] of type [long]"),
            1,
            0,
        )
        .unwrap();
        let second: Value = serde_json::from_slice(&mend(&named, &limit, 2, 0).unwrap()).unwrap();
        assert_eq!(second["tailrace.conflict"]["x"], "y");
        assert_eq!(second["tailrace.conflict"]["attributes.m"], "2");
        assert_eq!(second["tags"], json!(["mended"]));
        assert!(
            mend(br#"{"@timestamp":"t"}"#, &limit, 1, 0).is_none(),
            "nothing to move"
        );
        assert!(mend(b"not json", &limit, 1, 0).is_none());
    }

    #[test]
    fn a_bad_time_is_replaced_and_kept() {
        let source = br#"{"@timestamp":"garbage"}"#;
        let out = mend(
            source,
            &error("failed to parse field [@timestamp] of type [date_nanos]"),
            1,
            1_000,
        );
        let value: Value = serde_json::from_slice(&out.unwrap()).unwrap();
        assert_eq!(value["@timestamp"], "1970-01-01T00:00:01Z");
        assert_eq!(value["tailrace.conflict"], json!({"@timestamp": "garbage"}));
        assert!(
            mend(
                b"{}",
                &error("data stream timestamp field [@timestamp] is missing"),
                1,
                0
            )
            .is_some()
        );
    }

    #[test]
    fn long_values_do_not_go_into_terms() {
        let source = json!({"@timestamp": "t", "k": "x".repeat(40_000)}).to_string();
        let out = mend(
            source.as_bytes(),
            &error("immense term in field=\"k\""),
            1,
            0,
        )
        .unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value["tailrace.overflow"]["k"].as_str().unwrap().len(),
            40_000
        );
        assert!(value.get("tailrace.conflict").is_none());
    }

    #[test]
    fn a_dead_letter_holds_all_of_the_document() {
        let source = json!({"message": "é".repeat(200_000), "tailrace.stream": "s"}).to_string();
        let letters = dead_letters("logs-a", "id", source.as_bytes(), &error("why"), 0);
        assert!(letters.len() > 1);
        let mut whole = String::new();
        for (n, (id, letter)) in letters.iter().enumerate() {
            let letter: Value = serde_json::from_slice(letter).unwrap();
            assert_eq!(letter["tailrace.dead_letter"]["part"], n);
            assert_eq!(letter["tailrace.dead_letter"]["parts"], letters.len());
            assert_eq!(
                id,
                &if n == 0 {
                    "logs-a/id".to_owned()
                } else {
                    format!("logs-a/id#{n}")
                }
            );
            whole += letter["tailrace.dead_letter"]["document"].as_str().unwrap();
        }
        assert_eq!(whole, source);
        assert!(letter_id(&"x".repeat(500), "id", 3).len() < 60);
        assert_ne!(
            letter_id(&"x".repeat(500), "a", 0),
            letter_id(&"x".repeat(500), "b", 0)
        );
    }

    proptest! {
        /// Whatever the document and the reason, the outcome is JSON or nothing, and no value is lost.
        #[test]
        fn mending_never_fails(keys in proptest::collection::vec("[a-c.]{1,4}", 0..6), path in "[a-c.]{0,5}") {
            let mut source = String::from("{\"@timestamp\":\"t\"");
            for (n, key) in keys.iter().enumerate() {
                source.push_str(&format!(",\"{key}\":{{\"a\":{n},\"b.c\":\"s{n}\"}}"));
            }
            source.push('}');
            let reason = format!("failed to parse field [{path}] of type [long]");
            if let Some(out) = mend(source.as_bytes(), &error(&reason), 1, 0) {
                let text = String::from_utf8(out.clone()).unwrap();
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
                for n in 0..keys.len() {
                    let marker = format!("s{n}");
                    prop_assert!(text.contains(&marker));
                }
            }
        }
    }
}
