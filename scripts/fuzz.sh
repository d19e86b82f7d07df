#!/bin/bash
# Runs every fuzz target of every crate for so many seconds. Called by `make fuzz` and `make test`.
set -eu
seconds=${1:-10}
# Only the targets of this name.
only=${2:-}
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "cannot fuzz: needs a nightly toolchain (rustup toolchain install nightly)" >&2
    exit 1
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz"
    cargo install -q --locked cargo-fuzz
fi
failed=0
for manifest in */fuzz/Cargo.toml; do
    crate=${manifest%/fuzz/Cargo.toml}
    for target in $(cd "$crate" && cargo +nightly fuzz list); do
        [ -z "$only" ] || [ "$only" = "$target" ] || continue
        echo "== $crate: $target, $seconds s"
        # What is found goes to the cache; the seeds in the tree stay as they are.
        found=$CARGO_TARGET_DIR/fuzz-corpus/$crate/$target
        mkdir -p "$found"
        (cd "$crate" && CARGO_TARGET_DIR="$CARGO_TARGET_DIR/fuzz" cargo +nightly fuzz run "$target" \
            "$found" "fuzz/seeds/$target" -- \
            -max_total_time="$seconds" -print_final_stats=0 -verbosity=0) || {
            echo "== $crate: $target FAILED; its input is under $crate/fuzz/artifacts/$target" >&2
            failed=1
        }
    done
done
exit $failed
