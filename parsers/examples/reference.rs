//! Writes what is generated from the steps: `docs/rules/reference.md` and
//! `config/rules.schema.json`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::write(
        root.join("docs/rules/reference.md"),
        parsers::author::reference(),
    )?;
    std::fs::write(
        root.join("config/rules.schema.json"),
        parsers::author::schema(),
    )
}
