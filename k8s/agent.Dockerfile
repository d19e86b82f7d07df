# Static binary in an empty image. Build context: the root of the project.
#   docker build -f k8s/agent.Dockerfile -t tailrace-agent:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --target x86_64-unknown-linux-gnu -p agent --target-dir /out

FROM scratch
COPY --from=build /out/x86_64-unknown-linux-gnu/release/tailrace-agent /tailrace-agent
ENTRYPOINT ["/tailrace-agent"]
