#!/bin/bash
# The web page: checks its types, runs its unit tests and builds it, in a copy outside the checkout.
# `build` puts what was built into web/dist/ and config/dashboards/; `check` fails when that differs
# from what is there. `browser URL` tests the page of the aggregator at URL in Chromium; more arguments
# pick files of tests by parts of their names.
set -eu
mode=${1:-check}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${TAILRACE_CACHE:-$HOME/.cache/tailrace}
# A copy of its own for each checkout, so that two of them do not meet.
copy=$cache/page-$(echo "$root" | cksum | cut -d' ' -f1)

mkdir -p "$copy/page"
exec 9>"$copy/lock"
flock 9
# What was deleted in the checkout must go from the copy; the packages may stay.
find "$copy/page" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
tar -C "$root/web/page" --exclude node_modules -cf - . | tar -C "$copy/page" -xf -
cd "$copy/page"
export NO_COLOR=1
if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --ignore-scripts --no-fund --no-audit --loglevel error
    cp package-lock.json node_modules/.installed
fi
if [ "$mode" = browser ]; then
    export TAILRACE_URL=${2:?the address of an aggregator}
    CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)} ||
        { echo "no Chromium here: install it (Debian: chromium), or name it by CHROMIUM" >&2; exit 1; }
    export CHROMIUM
    exec npx --no-install vitest run --config test/vitest.config.ts "${@:3}"
fi
npx --no-install tsc --noEmit
npx --no-install vitest run --reporter dot
npx --no-install vite build --logLevel warn
# The same dashboards for Kibana, OpenSearch Dashboards and Grafana.
rm -rf ../dashboards
npx --no-install rolldown export/main.ts --platform node --format esm --file ../export.mjs >/dev/null
node ../export.mjs ../dashboards

case $mode in
build)
    rm -rf "$root/web/dist"
    cp -R "$copy/dist" "$root/web/dist"
    mkdir -p "$root/config/dashboards"
    rm -rf "$root/config/dashboards/grafana"
    cp -R "$copy/dashboards/." "$root/config/dashboards/"
    ;;
check)
    if ! { diff -rq "$copy/dist" "$root/web/dist" && diff -rq -x README.md "$copy/dashboards" "$root/config/dashboards"; } >&2; then
        echo "this is not what web/page/ builds: run \`make web\` and commit the result" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: $0 build|check|browser URL [FILE...]" >&2
    exit 2
    ;;
esac
size=$(find "$copy/dist" -type f -exec sh -c 'gzip -9c "$1" | wc -c' _ {} \; | awk '{ sum += $1 } END { print sum }')
echo "web page: $size bytes gzipped"
# What everyone loads at night over a phone: kept below a limit on purpose.
[ "$size" -lt 150000 ] || { echo "the page has grown beyond 150 kB gzipped" >&2; exit 1; }
