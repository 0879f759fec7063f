# The image is built from this tree alone: docker build --tag entrepot .
FROM rust:1-slim-bookworm AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock config.toml* ./
COPY src src
RUN cargo build --release --locked --bin entrepot \
 && strip target/release/entrepot

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin entrepot \
 && install -d -o 10001 -g 10001 /data
COPY --from=builder /build/target/release/entrepot /usr/local/bin/entrepot
ENV ENTREPOT_STORAGE__DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["entrepot", "healthcheck"]
ENTRYPOINT ["entrepot"]
CMD ["serve"]
