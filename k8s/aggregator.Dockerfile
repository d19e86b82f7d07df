# Static binary in an empty image. Build context: the root of the project.
#   docker build -f k8s/aggregator.Dockerfile -t tailrace-aggregator:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --target x86_64-unknown-linux-gnu -p aggregator --target-dir /out

FROM scratch
# Files of the group alone: the pod runs as this user.
USER 65532:65532
COPY --from=build /out/x86_64-unknown-linux-gnu/release/tailrace-aggregator /tailrace-aggregator
ENTRYPOINT ["/tailrace-aggregator"]
