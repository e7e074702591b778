# Our own image: one static program and the CAs' certificates, nothing else.
#
#   docker build -t slipway .
#
# Without a registry for the first stage: `make image` compiles with the cargo at hand.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev make && mkdir /data
WORKDIR /src
COPY . .
# With a --target, +crt-static holds for the program only and not for what runs while compiling.
RUN target=$(rustc -vV | sed -n 's/^host: //p') && \
    SQLX_OFFLINE=true RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --bin slipway --target "$target" && \
    cp "target/$target/release/slipway" /slipway

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /slipway /slipway
# Uploaded contexts, unless SLIPWAY_CONTEXT_STORE names another place.
COPY --from=build --chown=65532:65532 /data /data
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    SLIPWAY_LISTEN=0.0.0.0:8080 \
    SLIPWAY_CONTEXT_STORE=/data/contexts
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/slipway"]
CMD ["serve"]
