#!/bin/bash
# Unit tests, the programs, end-to-end tests; all of them, then a summary. Called by `make test`.
set -u
tested="$CARGO_TARGET_DIR/tested"
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
# The step `vrl` is in no shipped program: it is built and tested here.
step "rules with vrl" cargo test -p parsers --features vrl --no-fail-fast
fuzz() { # exit 2: it cannot be done here, and it has said why
    scripts/fuzz.sh "$@" || { code=$?; [ "$code" = 2 ] && echo "fuzz targets are left out"; }
}
step "fuzz formats" fuzz 60 formats
step "fuzz" fuzz 10 -formats
step "web page" scripts/page.sh check
# One build with fault points serves all end-to-end tests; one of them shows that the shipped
# programs, which are built too, have none.
step "programs" make --no-print-directory faulty
export TAILRACE_BIN_DIR=$tested/faults
# One after the other: each has servers, programs and sometimes a browser of its own, and two of
# them on two cores turn the deadlines of the store into faults of their own.
# Static, in an empty image: the agent is the one with a limit of size.
step "image of the agent" k8s/image.sh tailrace-agent
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
