//! Puts the page's files and the API's document, as JSON too, into the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle};

fn main() {
    println!("cargo::rerun-if-changed=openapi.yaml");
    println!("cargo::rerun-if-changed=dist");
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let yaml = std::fs::read_to_string(folder.join("openapi.yaml")).expect("openapi.yaml is there");
    std::fs::write(out.join("openapi.json"), json(&yaml)).expect("the build's folder is writable");
    std::fs::write(out.join("assets.rs"), assets(&folder.join("dist")))
        .expect("the build's folder is writable");
}

/// A table of all files below `dist`; empty when the page was not built.
fn assets(dist: &Path) -> String {
    let mut files = Vec::new();
    collect(dist, &mut files);
    files.sort();
    let mut table = String::from(
        "/// Paths and bytes of the page's files.\nstatic FILES: &[(&str, &[u8])] = &[\n",
    );
    for file in files {
        let name = file.strip_prefix(dist).expect("it lies below");
        let name = name.to_string_lossy().replace('\\', "/");
        // Not the path as it is now: another checkout may use what this one has built.
        let path = format!("/dist/{name}");
        writeln!(
            table,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),",
        )
        .expect("text grows");
    }
    table.push_str("];\n");
    table
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The YAML document as JSON: no anchors, no tags, which the document does not use.
fn json(yaml: &str) -> String {
    let mut out = String::new();
    // For each open container whether it is a map, and how many scalars and containers it has.
    let mut open: Vec<(bool, usize)> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        let (event, _) = event.expect("openapi.yaml is YAML");
        match event {
            Event::MappingEnd => {
                open.pop();
                out.push('}');
            }
            Event::SequenceEnd => {
                open.pop();
                out.push(']');
            }
            Event::MappingStart(..) => {
                separate(&mut out, &mut open);
                open.push((true, 0));
                out.push('{');
            }
            Event::SequenceStart(..) => {
                separate(&mut out, &mut open);
                open.push((false, 0));
                out.push('[');
            }
            Event::Scalar(text, style, ..) => {
                let is_key = open.last().is_some_and(|(is_map, n)| *is_map && n % 2 == 0);
                separate(&mut out, &mut open);
                let is_bare = style == ScalarStyle::Plain && !is_key;
                if is_bare && is_literal(&text) {
                    out.push_str(&text);
                } else {
                    string(&text, &mut out);
                }
            }
            Event::Alias(_) => panic!("openapi.yaml uses no aliases"),
            _ => {}
        }
    }
    out
}

/// Writes what stands before the next value.
fn separate(out: &mut String, open: &mut [(bool, usize)]) {
    if let Some((is_map, n)) = open.last_mut() {
        match (*is_map, *n) {
            (_, 0) => {}
            (true, n) if n % 2 == 1 => out.push(':'),
            _ => out.push(','),
        }
        *n += 1;
    }
}

fn is_literal(text: &str) -> bool {
    matches!(text, "true" | "false" | "null") || text.parse::<i64>().is_ok()
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}
