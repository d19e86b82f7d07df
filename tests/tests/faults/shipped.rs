//! What is shipped has no fault points.

use std::path::PathBuf;

use tests::{
    control::{ensure_faults, version_of},
    program::bin_dir,
};

/// The programs as they are shipped: beside the directory of the ones with fault points.
fn shipped(name: &str) -> PathBuf {
    let dir = bin_dir();
    let shipped = match std::env::var_os("TAILRACE_SHIPPED_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => dir.parent().unwrap().to_owned(),
    };
    shipped.join(name)
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[test]
fn the_shipped_programs_have_no_fault_points() {
    ensure_faults().unwrap();
    for (name, point) in [
        ("tailrace-agent", "journal.rename.before"),
        ("tailrace-aggregator", "buffer.sync.before"),
    ] {
        let path = shipped(name);
        let version = version_of(&path).unwrap();
        assert!(!version.contains("fault"), "{version}");
        let shipped = std::fs::read(&path).unwrap();
        let faulty = std::fs::read(bin_dir().join(name)).unwrap();
        for mark in [point, "TAILRACE_FAULTS", "cannot tell of a fault"] {
            assert!(holds(&faulty, mark), "`{mark}` is no mark of fault points");
            assert!(!holds(&shipped, mark), "{} holds `{mark}`", path.display());
        }
    }
}
