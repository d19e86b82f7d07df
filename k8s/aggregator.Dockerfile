# Static binary in an empty image. Build context: the root of the project.
#   docker build -f k8s/aggregator.Dockerfile -t tailrace-aggregator:0.1.0 .
# and for the other architecture
#   docker buildx build --platform linux/arm64 -f k8s/aggregator.Dockerfile -t tailrace-aggregator:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
# The target is named, or build scripts would be linked statically too.
RUN target=$(rustc -vV | sed -n "s/^host: //p") \
 && cargo build --release --locked --target "$target" -p aggregator --target-dir /out \
 && mv "/out/$target/release" /bin-out

FROM scratch
# Files of the group alone: the pod runs as this user.
USER 65532:65532
COPY --from=build /bin-out/tailrace-aggregator /tailrace-aggregator
ENTRYPOINT ["/tailrace-aggregator"]
