# The doorbell image. Where the usual registries are out of reach, other base images can be named:
#   docker build --build-arg RUST_IMAGE=… --build-arg RUNTIME_IMAGE=… .
ARG RUST_IMAGE=rust:1-slim-bookworm
# Has glibc, the root certificates and nothing else: no shell. For `exec` targets, name one that has what they run.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Line numbers in backtraces are not worth their size here.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
# All dependencies, in a layer that stands until one of them changes: the sources of the project itself are stand-ins.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
RUN mkdir -p src examples bench/src bench/benches \
    && echo 'fn main() {}' | tee src/main.rs > bench/src/main.rs \
    && for example in $(sed -n '/^\[\[example\]\]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml); do \
        cp src/main.rs "examples/$example.rs"; \
    done \
    && for bench in $(sed -n '/^\[\[bench\]\]/{n;s/^name = "\(.*\)"/\1/p}' bench/Cargo.toml); do \
        cp src/main.rs "bench/benches/$bench.rs"; \
    done \
    && touch src/lib.rs README.md \
    && cargo build --release --locked --package doorbell --bin doorbell
COPY README.md ./
COPY src src
# What has just been copied may be older than the stand-ins that were built; cargo goes by that.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --package doorbell --bin doorbell
RUN mkdir -p /image/usr/local/bin /image/data \
    && cp target/release/doorbell /image/usr/local/bin/

FROM ${RUNTIME_IMAGE}
COPY --from=build /image/usr /usr
# A volume that is mounted here for the first time takes this folder's owner.
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
WORKDIR /
ENV DOORBELL_CONFIG=/etc/doorbell/doorbell.toml
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/doorbell", "health"]
ENTRYPOINT ["/usr/local/bin/doorbell"]
CMD ["serve"]
