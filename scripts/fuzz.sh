#!/bin/bash
# Runs fuzz targets for so many seconds each: all of them, or those named, or with `-` before a name
# all but that one. Called by `make fuzz` and `make test`.
# Exit 2: cannot, for want of a nightly toolchain or cargo-fuzz, which `make doctor` installs.
set -eu
seconds=${1:-10}
shift || true
cache=${TAILRACE_CACHE:-$HOME/.cache/tailrace}
export PATH="$cache/tools/bin:$PATH" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "cannot fuzz: needs a nightly toolchain (make doctor, or rustup toolchain install nightly)" >&2
    exit 2
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "cannot fuzz: needs cargo-fuzz (make doctor, or cargo install cargo-fuzz)" >&2
    exit 2
fi

wanted() { # wanted TARGET
    [ ${#names[@]} -gt 0 ] || return 0
    case " ${names[*]} " in
    *" -$1 "*) return 1 ;;
    *" $1 "*) return 0 ;;
    esac
    # Only exclusions: all others are wanted.
    case " ${names[*]}" in *" "[!-]*) return 1 ;; esac
}
names=("$@")

failed=0
for manifest in */fuzz/Cargo.toml; do
    crate=${manifest%/fuzz/Cargo.toml}
    # The versions that the programs are built with; cargo adds the fuzzer's own.
    cp Cargo.lock "$crate/fuzz/Cargo.lock"
    for target in $(cd "$crate" && cargo +nightly fuzz list); do
        wanted "$target" || continue
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
