# syntax=docker/dockerfile:1
# The image is the binary, the libraries it is linked to, certificates, and nothing else: no shell,
# no package manager. It runs as a user without a name or rights.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short HEAD) -t roomcast .

# The client that pages load from a pod: what the lock file names, by its hashes.
FROM node:22-bookworm-slim AS client
WORKDIR /client
COPY src/demo/package.json src/demo/package-lock.json src/demo/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY examples examples
COPY tests/it tests/it
COPY load load
COPY --from=client /client/node_modules/socket.io-client /client
ENV ROOMCAST_CLIENT_PACKAGE=/client
# There is no .git here, so the commit is told.
ARG COMMIT=unknown
ENV VERGEN_GIT_SHA=$COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin roomcast && cp target/release/roomcast /roomcast
COPY .ci/rootfs .ci/rootfs
RUN .ci/rootfs /roomcast /rootfs

FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
EXPOSE 3000 9000
# In a pod, probes and Prometheus come from outside of it.
ENV ROOMCAST__INTERNAL__LISTEN='["0.0.0.0:9000", "[::]:9000"]'
ENTRYPOINT ["/roomcast"]
