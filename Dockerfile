# The program for AWS as a small image: no shell, no package manager, not root, nothing that it must write to but /data.
#
#   docker build --tag ledgerline .
#
# Without an engine: `cargo build --release --locked --features aws -p ledgerline` makes the same program. It needs the
# C library of the machine that built it or a newer one, libgcc and root certificates (docs/deploy.md, step 4).

# Debian 12, as the image below: the C library is the same.
FROM rust:1.95-slim-bookworm AS build

# A C compiler for SQLite, zstd and ring.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /build
COPY . .
RUN cargo build --release --locked --features aws --package ledgerline \
    && install -D --mode=0555 target/release/ledgerline /out/ledgerline \
    && install -d --owner=65532 --group=65532 --mode=0700 /out/data

# C library, libgcc, root certificates, time zones, and a user with the number 65532.
FROM gcr.io/distroless/cc-debian12:nonroot

LABEL org.opencontainers.image.title="ledgerline" \
      org.opencontainers.image.description="Webhooks in, ordered payment state that can be proved out" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /out/ledgerline /ledgerline
COPY --from=build --chown=65532:65532 /out/data /data

# Spill files of a replay. Fargate gives a volume here the owner that the folder has in the image.
VOLUME ["/data"]
WORKDIR /data
USER 65532:65532
EXPOSE 8080

ENTRYPOINT ["/ledgerline"]
CMD ["serve"]
