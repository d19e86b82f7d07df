#!/bin/bash
# schemathesis.sh URL: tests a running API against its own document, with requests that fit it and
# requests that do not. schemathesis comes from PyPI into the cache.
set -eu
url=$1
venv=${TAILRACE_CACHE:-$HOME/.cache/tailrace}/schemathesis
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check 'schemathesis>=4,<5'
fi
# The tail has no end. What of a query, a time or a cursor is valid no schema can tell, so a
# request that fits the schema may be refused all the same.
config=$(cd "$(dirname "$0")" && pwd)/schemathesis.toml
# It leaves files of its own where it runs.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
"$venv/bin/schemathesis" --config-file "$config" run "$url/api/v1/openapi.json" --url "$url" \
    --exclude-path /api/v1/tail \
    --exclude-checks positive_data_acceptance \
    --max-examples "${EXAMPLES:-15}" --seed 1 --request-timeout 30 --workers 1 --no-color
