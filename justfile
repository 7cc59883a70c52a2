# Short names for what one does often; `.ci/run` is the gate.

default: test

# the main job, on this machine, in under a minute
demo:
    cargo run --release -- demo

test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

ci:
    .ci/run

# figures for docs/benchmarks.md
bench:
    cargo bench -p ledgerline-tests

# each fuzz target for two minutes (needs a nightly toolchain and cargo-fuzz)
fuzz seconds="120":
    for target in signature envelope provider body; do cargo +nightly fuzz run --fuzz-dir tests/fuzz $target -- -max_total_time={{seconds}}; done
