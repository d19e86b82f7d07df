#!/bin/bash
# Tells what the tests need and whether it is here; as root on Debian it installs what is missing.
set -eu

javas() { # the versions of all JDKs that can be found, one a line
    for home in ${JAVA_HOME:-} /usr/lib/jvm/* "$(dirname "$(dirname "$(readlink -f "$(command -v java || echo /none/bin/java)")")")"; do
        if [ -x "$home/bin/javac" ] && [ -f "$home/release" ]; then
            sed -n 's/^JAVA_VERSION="\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' "$home/release"
        fi
    done | sort -nu
}

has_java() { javas | awk -v least="$1" '$1 >= least { found = 1 } END { exit !found }'; }

has_node() { node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; }

# An older one from 1.21 on fetches the version that a module asks for, unless that is switched off.
has_go() { go version && v=$(go env GOVERSION) && v=${v#go1.} && v=${v%%[.r]*} &&
    { [ "$v" -ge "$1" ] || { [ "$v" -ge 21 ] && [ "$(go env GOTOOLCHAIN)" != local ]; }; }; }

install() { # install PACKAGE...: the first that there is
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    [ -n "${updated:-}" ] || { apt-get update -qq </dev/null >/dev/null 2>&1 || true; updated=1; }
    for package in "$@"; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            echo "    installing $package"
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
                </dev/null >/dev/null 2>&1 && return 0
        fi
    done
    return 1
}

missing=0
need() { # need WHAT TEST WHY PACKAGE...
    local what=$1 test=$2 why=$3
    shift 3
    if eval "$test" >/dev/null 2>&1; then
        echo "  found    $what"
    elif install "$@" && eval "$test" >/dev/null 2>&1; then
        echo "  installed $what"
    else
        echo "  MISSING  $what: $why"
        missing=1
    fi
}

echo "What the tests need:"
need "cargo" "command -v cargo" "install Rust (rustup.rs)"
need "a C compiler" "command -v cc" "zstd and ring are built with it (Debian: gcc)" gcc
need "mvn" "command -v mvn" "it fetches the servers from Maven Central (Debian: maven)" maven
need "openssl" "command -v openssl" "certificates of the servers with TLS are made with it" openssl
need "systemd-journal-remote" "test -x /lib/systemd/systemd-journal-remote && command -v journalctl" \
    "journal files are made with it (Debian: systemd-journal-remote)" systemd-journal-remote
need "buildah" "command -v buildah" "the agent's image is built and started with it (Debian: buildah)" buildah
need "JDK 17+" "has_java 17" "Elasticsearch 8 runs on it (Debian: openjdk-17-jdk-headless)" \
    openjdk-17-jdk-headless default-jdk-headless openjdk-21-jdk-headless openjdk-25-jdk-headless
need "JDK 21+" "has_java 21" "OpenSearch 3 and Elasticsearch 9 run on it; name one by JAVA_HOME" \
    openjdk-21-jdk-headless openjdk-25-jdk-headless
need "Node.js 20.19+" "has_node" "the web page is built and its tests run with it (nodejs.org; Debian 13: nodejs npm)" nodejs
need "npm" "command -v npm" "it fetches what the web page is built with (comes with Node.js; Debian: npm)" npm
need "chromium" "command -v chromium" "the web page is tested in it (Debian: chromium)" chromium
need "python3 with venv" "python3 -c 'import venv, ensurepip'" \
    "schemathesis tests the API with it (Debian: python3-venv)" python3-venv
need "go 1.26+" "has_go 26" \
    "the Kubernetes API server of the tests, helm and kustomize are built with it (go.dev/dl; Debian: golang-go)" \
    golang-go
# Tools that cargo builds: kept beside the build output, as they take minutes.
tools=${TAILRACE_CACHE:-$HOME/.cache/tailrace}/tools
mkdir -p "${tools%/*}"
tool() { # tool CRATE WHY
    if PATH="$tools/bin:$PATH" command -v "$1" >/dev/null; then
        echo "  found    $1"
    elif echo "    building $1" && CARGO_TARGET_DIR="$tools/build" cargo install -q --locked \
        --root "$tools" "$1" </dev/null >"$tools.log" 2>&1; then
        echo "  installed $1"
    else
        echo "  MISSING  $1: $2 (cargo install $1; what it said: $tools.log)"
        missing=1
    fi
    rm -rf "$tools/build"
}
# Fuzz targets need a compiler of their own.
if cargo +nightly --version >/dev/null 2>&1; then
    echo "  found    a nightly toolchain"
elif rustup toolchain install nightly --profile minimal </dev/null >/dev/null 2>&1; then
    echo "  installed a nightly toolchain"
else
    echo "  MISSING  a nightly toolchain: fuzz targets are built with it (rustup toolchain install nightly)"
    missing=1
fi
tool cargo-fuzz "fuzz targets are run with it"
tool cargo-deny "licences and sources of dependencies are checked with it"
# Tools that Go builds. What Go keeps grows to gigabytes, and is removed with the last of them.
gotool() { # gotool NAME PACKAGE@VERSION WHY
    local name=$1 package=$2
    if PATH="$tools/bin:$PATH" command -v "$name" >/dev/null; then
        echo "  found    $name"
    elif mkdir -p "$tools" && echo "    building $name" && CGO_ENABLED=0 GOBIN="$tools/bin" GOFLAGS=-modcacherw \
        GOCACHE="$tools/go/build" GOMODCACHE="$tools/go/mod" \
        go install -trimpath -ldflags='-s -w' "$package" </dev/null >"$tools.log" 2>&1; then
        echo "  installed $name"
    else
        echo "  MISSING  $name: $3 (go install $package; what it said: $tools.log)"
        missing=1
    fi
}
gotool helm helm.sh/helm/v3/cmd/helm@v3.22.0 "the chart is rendered and checked with it"
gotool kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.8.2 "the manifests are rendered with it"
rm -rf "$tools/go"
echo "  JDKs: $(javas | tr '\n' ' ')"
if [ "$missing" = 1 ]; then
    echo "Tests that need what is missing will fail and say so."
fi
