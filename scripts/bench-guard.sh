#!/bin/bash
# Counts the instructions that a line costs in each stage, and compares them with bench/guard.tsv. A
# count is the same at any load of the machine, as a time is not; another kind of processor or another
# compiler may count otherwise, and is recorded anew.
#
#   scripts/bench-guard.sh [STAGE…]     compares all stages, or those named
#   UPDATE=1 scripts/bench-guard.sh     records what is counted now
#
# Exit 1: a stage costs over 5 % more than recorded, or is not recorded. Exit 2: cannot, for want of
# valgrind.
set -eu -o pipefail
cd "$(dirname "$0")/.."
recorded=bench/guard.tsv
cache=${TAILRACE_CACHE:-$HOME/.cache/tailrace}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
# Percent that a stage may cost more.
limit=5
# Lines of a round, in each of the examples.
lines=2000

if ! command -v valgrind >/dev/null; then
    echo "cannot count instructions: needs valgrind (Debian: valgrind)" >&2
    exit 2
fi

# A package, its example, and what the example calls the stage.
stages=(
    'framing|throughput|cri nginx'
    'framing|throughput|cri text'
    'framing|throughput|cri pretty'
    'framing|throughput|cri traces'
    'framing|throughput|docker nginx'
    'framing|throughput|raw nginx'
    'parsers|throughput|json'
    'parsers|throughput|nginx'
    'parsers|throughput|nginx_regex'
    'parsers|throughput|logfmt'
    'parsers|throughput|grok'
    'parsers|throughput|plain'
    'parsers|throughput|json/all'
    'parsers|throughput|nginx/all'
    'parsers|throughput|logfmt/all'
    'parsers|throughput|plain/all'
    'agent|pack|'
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Several packages have an example `throughput`, and the last one built has the name.
build() { # build PACKAGE EXAMPLE
    [ ! -e "$work/$1-$2" ] || return 0
    cargo build --profile fast -q -p "$1" --example "$2"
    cp "$CARGO_TARGET_DIR/fast/examples/$2" "$work/$1-$2"
}

instructions() { # instructions ROUNDS PROGRAM [NAME]
    local rounds=$1
    shift
    ROUNDS=$rounds valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        --log-file="$work/log" "$@" >"$work/said" || {
        cat "$work/said" "$work/log" >&2
        return 1
    }
    sed -n 's/.*Collected : *//p' "$work/log"
}

names=("$@")
wanted() { # wanted STAGE
    [ ${#names[@]} -gt 0 ] || return 0
    local name
    for name in "${names[@]}"; do
        [ "$name" != "$1" ] || return 0
    done
    return 1
}

declare -A before=() now=()
while IFS=$'\t' read -r stage count; do
    case $stage in '' | '#'*) continue ;; esac
    before[$stage]=$count
done <"$recorded"

failed=0
printf '%-22s %10s %10s\n' 'instructions a line' recorded now
for entry in "${stages[@]}"; do
    IFS='|' read -r package example name <<<"$entry"
    stage=$package/${name:-$example}
    wanted "$stage" || continue
    build "$package" "$example"
    program=("$work/$package-$example")
    [ -z "$name" ] || program+=("$name")
    # What starting costs, and the first round, is in both.
    first=$(instructions 1 "${program[@]}")
    all=$(instructions 11 "${program[@]}")
    count=$(((all - first) / (10 * lines)))
    if [ "$count" -le 0 ]; then
        echo "$stage: the example $example of $package did nothing for $name" >&2
        exit 1
    fi
    now[$stage]=$count
    was=${before[$stage]:-}
    if [ -z "$was" ]; then
        verdict=${UPDATE:+new}
        verdict=${verdict:-not recorded: run with UPDATE=1}
        failed=1
    else
        verdict=$(awk -v was="$was" -v now="$count" 'BEGIN { printf "%+.1f %%", (now - was) * 100 / was }')
        if [ $((count * 100)) -gt $((was * (100 + limit))) ]; then
            verdict="$verdict: over the limit of $limit %"
            failed=1
        fi
    fi
    printf '%-22s %10s %10s  %s\n' "$stage" "${was:--}" "$count" "$verdict"
done
if [ ${#now[@]} -eq 0 ]; then
    echo "no such stage: ${names[*]}" >&2
    exit 1
fi
[ -n "${UPDATE:-}" ] || exit $failed

{
    printf '# stage\tinstructions a line\n'
    for entry in "${stages[@]}"; do
        IFS='|' read -r package example name <<<"$entry"
        stage=$package/${name:-$example}
        count=${now[$stage]:-${before[$stage]:-}}
        [ -z "$count" ] || printf '%s\t%s\n' "$stage" "$count"
    done
} >"$work/recorded"
cp "$work/recorded" "$recorded"
echo "recorded in $recorded"
