//! Programs that tests run and that are not ours: where they are, or how to get them.

use std::{env, path::PathBuf};

use anyhow::bail;

use crate::cache;

/// A program that `make doctor` built, else one on the path; the error tells how to get it.
pub fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![cache::root().join("tools/bin")];
    dirs.extend(env::split_paths(&path));
    match dirs
        .iter()
        .map(|dir| dir.join(name))
        .find(|it| it.is_file())
    {
        Some(program) => Ok(program),
        None => bail!("cannot find `{name}`: {}", advice(name)),
    }
}

fn advice(name: &str) -> &'static str {
    match name {
        "go" => "install Go 1.26 or newer (go.dev/dl; Debian: golang-go)",
        "helm" | "kustomize" => "run `make doctor`, which builds it with Go",
        _ => "install it, or name its folder in PATH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_way_to_it() {
        assert!(find("sh").is_ok());
        let error = find("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
        assert!(advice("helm").contains("make doctor"));
    }
}
