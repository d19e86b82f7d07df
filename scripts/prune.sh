#!/bin/bash
# Keeps the build cache below 15 GB, so that it cannot fill a disk: what only makes the next build of
# a changed crate quicker goes first, then everything.
set -eu
limit_kb=$((15 * 1000 * 1000))
dir=${CARGO_TARGET_DIR:-$HOME/.cache/tailrace/target}
[ -d "$dir" ] || exit 0
too_large() {
    local size_kb
    size_kb=$(du -sk "$dir" 2>/dev/null | cut -f1)
    [ "${size_kb:-0}" -gt "$limit_kb" ] && echo "build cache $dir holds $((size_kb / 1000)) MB: removing $1"
}
if too_large "incremental builds"; then
    rm -rf "$dir"/*/incremental
    if too_large "all of it"; then
        rm -rf "$dir"
    fi
fi
