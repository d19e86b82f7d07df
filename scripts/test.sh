#!/bin/bash
# Unit tests, the programs, end-to-end tests; all of them, then a summary. Called by `make test`.
set -u
fast="$CARGO_TARGET_DIR/fast"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
started=$SECONDS
failed=()

step() { # step NAME COMMAND...
    local name=$1 from=$SECONDS
    shift
    echo "== $name"
    if "$@" </dev/null 2>&1 | tee -a "$log"; then
        echo "== $name: passed in $((SECONDS - from)) s"
    else
        echo "== $name: FAILED after $((SECONDS - from)) s"
        failed+=("$name")
    fi
}
set -o pipefail

step "unit tests" cargo test --workspace --exclude tests --no-fail-fast
if cargo +nightly fuzz --version >/dev/null 2>&1; then
    step "fuzz formats" scripts/fuzz.sh 60 formats
else
    echo "== fuzz formats: left out, needs nightly and cargo-fuzz"
fi
step "web page" scripts/page.sh check
step "programs" cargo build --profile fast -p agent -p aggregator -p bench
export TAILRACE_BIN_DIR=$fast
# One after the other: each has servers, programs and sometimes a browser of its own, and two of
# them on two cores turn the deadlines of the store into faults of their own.
step "end-to-end tests" cargo test -p tests --no-fail-fast -- --test-threads 1

echo
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END { printf "%d passed, %d failed, %d ignored\n", passed, failed, ignored }' "$log"
grep -E '^test .* FAILED$' "$log" | sort -u
echo "took $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
