#!/bin/bash
# Removes the build cache when it has grown beyond 12 GB, so that it cannot fill a disk.
set -eu
limit_kb=$((12 * 1000 * 1000))
dir=${CARGO_TARGET_DIR:-$HOME/.cache/tailrace/target}
[ -d "$dir" ] || exit 0
size_kb=$(du -sk "$dir" 2>/dev/null | cut -f1)
if [ "${size_kb:-0}" -gt "$limit_kb" ]; then
    echo "build cache $dir holds $((size_kb / 1000)) MB: removing it"
    rm -rf "$dir"
fi
