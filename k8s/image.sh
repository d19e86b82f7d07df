#!/usr/bin/env bash
# Builds the images from static binaries, for this machine's architecture: amd64 or arm64. Uses buildah
# or docker when one of them works here, and starts what it built; else leaves the binaries and says how
# to go on.
#   k8s/image.sh [tailrace-agent] [tailrace-aggregator]     both unless named
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
target=$(rustc -vV | sed -n 's/^host: //p')
# An image is its binary and nothing else: what every node pulls stays small.
most_of_agent=15000000
if [ $# = 0 ]; then set -- tailrace-agent tailrace-aggregator; fi
out=${CARGO_TARGET_DIR:-$HOME/.cache/tailrace/target}
# A target folder of its own for these flags, or each build would throw the other's work away.
export CARGO_TARGET_DIR=$out/static RUSTFLAGS="-C target-feature=+crt-static"
packages=()
for name in "$@"; do packages+=(-p "${name#tailrace-}"); done
cargo build --release --locked --target "$target" "${packages[@]}"
binaries=$CARGO_TARGET_DIR/$target/release
for name in "$@"; do
  if ! ldd "$binaries/$name" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; then
    echo "error: $binaries/$name is not static" >&2
    exit 1
  fi
  printf '%s  %s bytes, static\n' "$binaries/$name" "$(stat -c %s "$binaries/$name")"
  if [ "$name" = tailrace-agent ] && [ "$(stat -c %s "$binaries/$name")" -gt "$most_of_agent" ]; then
    echo "error: the agent has more than $most_of_agent bytes" >&2
    exit 1
  fi
done
recipe() { # name user
  printf 'FROM scratch\nCOPY %s /%s\n%sENTRYPOINT ["/%s"]\n' "$1" "$1" "$2" "$1"
}
build() { # name recipe
  context=$(mktemp -d)
  cp "$binaries/$1" "$context/"
  printf '%s\n' "$2" >"$context/Dockerfile"
  if command -v buildah >/dev/null && buildah bud --isolation chroot -q -t "$1:$version" "$context"; then
    container=$(buildah from "$1:$version")
    trap 'buildah rm "$container" >/dev/null' EXIT
    # It finds all it needs in an image that holds nothing else.
    started=$(buildah run --isolation chroot "$container" -- "/$1" --version)
    buildah rm "$container" >/dev/null
    trap - EXIT
    echo "image $1:$version (buildah), which says: $started"
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1 && docker build -q -t "$1:$version" "$context"; then
    echo "image $1:$version (docker)"
  else
    echo "neither buildah nor a Docker engine works here: the binary is ready, k8s/*.Dockerfile build elsewhere"
  fi
  rm -rf "$context"
}
for name in "$@"; do
  case $name in
    tailrace-agent) user='' ;;
    *) user=$'USER 65532:65532\n' ;;
  esac
  build "$name" "$(recipe "$name" "$user")"
done
