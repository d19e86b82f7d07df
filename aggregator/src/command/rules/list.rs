//! `rules list`: what there is to build with.

use std::io::Write;

use serde_json::{Value, json};
use telemetry::table::Table;

pub(super) fn run(as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let rules = parsers::author::shipped_rules();
    if as_json {
        let rules: Vec<Value> = rules
            .iter()
            .map(|rule| json!({"name": rule.name, "file": rule.file, "about": rule.about}))
            .collect();
        let steps: Vec<Value> = parsers::reference::docs()
            .map(|doc| json!({"name": doc.name, "about": doc.summary}))
            .collect();
        writeln!(out, "{}", json!({"rules": rules, "steps": steps}))?;
        return Ok(());
    }
    let mut table = Table::new(&["rule that ships", "what for"]);
    for rule in &rules {
        table.row(&[&rule.name, &rule.about]);
    }
    writeln!(out, "{table}\n")?;
    let mut table = Table::new(&["step", "what it does"]);
    for doc in parsers::reference::docs() {
        table.row(&[doc.name, doc.summary]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
