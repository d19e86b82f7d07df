//! Writes `docs/configuration.md` and `config/default/*.yaml` from the types.

use std::path::Path;

use config::agent::AgentConfig;
use config::aggregator::AggregatorConfig;

fn main() -> std::io::Result<()> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(crate_dir.join("default"))?;
    std::fs::write(
        crate_dir.join("../docs/configuration.md"),
        config::reference(),
    )?;
    std::fs::write(
        crate_dir.join("default/agent.yaml"),
        config::shipped::<AgentConfig>(),
    )?;
    std::fs::write(
        crate_dir.join("default/aggregator.yaml"),
        config::shipped::<AggregatorConfig>(),
    )?;
    let values = crate_dir.join("../k8s/chart/values.schema.json");
    let schema = config::chart_schema(&std::fs::read_to_string(&values)?).ok_or_else(|| {
        std::io::Error::other("cannot find the definitions in values.schema.json")
    })?;
    std::fs::write(values, schema)
}
