#!/usr/bin/env bash
# Builds both images from static binaries, for this machine's architecture: amd64 or arm64. Uses buildah
# or docker when one of them works here; else leaves the binaries and says how to go on.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
target=$(rustc -vV | sed -n 's/^host: //p')
# An image is its binary and nothing else: what every node pulls stays small.
most_of_agent=15000000
out=${CARGO_TARGET_DIR:-$HOME/.cache/tailrace/target}
# A target folder of its own for these flags, or each build would throw the other's work away.
export CARGO_TARGET_DIR=$out/static RUSTFLAGS="-C target-feature=+crt-static"
cargo build --release --locked --target "$target" -p agent -p aggregator
binaries=$CARGO_TARGET_DIR/$target/release
for name in tailrace-agent tailrace-aggregator; do
  if ! ldd "$binaries/$name" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; then
    echo "error: $binaries/$name is not static" >&2
    exit 1
  fi
  printf '%s  %s bytes, static\n' "$binaries/$name" "$(stat -c %s "$binaries/$name")"
done
if [ "$(stat -c %s "$binaries/tailrace-agent")" -gt "$most_of_agent" ]; then
  echo "error: the agent has more than $most_of_agent bytes" >&2
  exit 1
fi
recipe() { # name user
  printf 'FROM scratch\nCOPY %s /%s\n%sENTRYPOINT ["/%s"]\n' "$1" "$1" "$2" "$1"
}
build() { # name recipe
  context=$(mktemp -d)
  cp "$binaries/$1" "$context/"
  printf '%s\n' "$2" >"$context/Dockerfile"
  if command -v buildah >/dev/null && buildah bud --isolation chroot -q -t "$1:$version" "$context"; then
    echo "image $1:$version (buildah)"
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1 && docker build -q -t "$1:$version" "$context"; then
    echo "image $1:$version (docker)"
  else
    echo "neither buildah nor a Docker engine works here: the binary is ready, k8s/*.Dockerfile build elsewhere"
  fi
  rm -rf "$context"
}
build tailrace-agent "$(recipe tailrace-agent '')"
build tailrace-aggregator "$(recipe tailrace-aggregator $'USER 65532:65532\n')"
