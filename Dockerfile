# The image is the binary, the libraries that it is linked to, certificates, and nothing else: no shell, no package
# manager. It runs as a user without a name or rights. docs/image.md explains it.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short HEAD) -t roomcast .

# Bases by digest: those of their indexes, which have both architectures. docs/image.md says how to renew them.
ARG RUST=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG NODE=node:22-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c

# The client that pages load from a pod: what the lock file names, by its hashes.
FROM ${NODE} AS client
WORKDIR /client
COPY src/demo/package.json src/demo/package-lock.json src/demo/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM ${RUST} AS tools
RUN cargo install --locked cargo-chef@0.1.78 && cargo install --locked cargo-cyclonedx@0.5.9
WORKDIR /src

# What the dependencies are, and nothing else: the next stage begins anew when this file changes, not with each commit.
FROM tools AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM tools AS build
COPY --from=recipe /recipe.json /recipe.json
RUN cargo chef cook --release --locked --package roomcast --bin roomcast --recipe-path /recipe.json
# Tests, examples and the load generator stay the empty ones of the recipe: they are not built.
COPY Cargo.toml Cargo.lock build.rs ./
COPY load/Cargo.toml load/
COPY --from=client /client/node_modules/socket.io-client /client
COPY src src
# After all that a commit does not change. There is no .git here, so the commit is told; SOURCE_DATE_EPOCH says when it was.
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH
RUN ROOMCAST_CLIENT_PACKAGE=/client VERGEN_GIT_SHA=$COMMIT cargo build --release --locked --bin roomcast
# Symbols stay, for backtraces that name functions; line tables are more than half of the binary.
RUN objcopy --strip-debug target/release/roomcast /roomcast
RUN cargo cyclonedx --format json --no-build-deps --override-filename roomcast.cdx
COPY .ci/rootfs .ci/rootfs
RUN .ci/rootfs /roomcast /rootfs roomcast.cdx.json

# All but the binary, which changes most: a new version is the layer of the binary alone.
FROM scratch AS base
COPY --from=build /rootfs /
USER 65532:65532
EXPOSE 3000 9000
# In a pod, probes and Prometheus come from outside of it.
ENV ROOMCAST__INTERNAL__LISTEN='["0.0.0.0:9000", "[::]:9000"]'
# Docker, Compose and Podman look at it; Kubernetes does not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/roomcast", "healthcheck"]
ENTRYPOINT ["/roomcast"]
ARG VERSION=unknown
ARG COMMIT=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Roomcast" \
      org.opencontainers.image.description="A Socket.IO service for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$CREATED"

# The same with line tables: docker build --target debug -t roomcast:debug .
FROM base AS debug
COPY --from=build /src/target/release/roomcast /src/target/release/roomcast.dwp /

FROM base
COPY --from=build /roomcast /roomcast
