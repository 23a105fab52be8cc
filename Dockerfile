# Built in one image, run in another that holds little more than the program.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches make the second build as quick as one outside of a container.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --package gateway \
    && cp target/dist/gusset /usr/local/bin/gusset

FROM debian:bookworm-slim
# The system's certificates, for upstreams behind TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home gusset
COPY --from=build /usr/local/bin/gusset /usr/local/bin/gusset
USER 10001
# 8080 takes requests. The admin API listens on the loopback address, inside the container.
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s CMD ["gusset", "health"]
ENTRYPOINT ["gusset"]
CMD ["run", "-c", "/etc/gusset/gateway.yaml"]
