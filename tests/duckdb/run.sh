#!/usr/bin/env bash
# The documented queries: builds an archive with the demo, runs every query of docs/archive.md on it with
# DuckDB, and compares the sums by currency with those of `ledgerline replay export`.
#
#   tests/duckdb/run.sh [PAYMENTS]
#
# Installs DuckDB from PyPI into a folder of its own (DUCKDB_DIR keeps it for the next time). Where that
# cannot be done it says so and ends well: no other test needs the network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
payments=${1:-200}

skip() {
  echo "skipped: $*"
  exit 0
}

command -v python3 >/dev/null || skip "no python3 on this machine"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dir=${DUCKDB_DIR:-$work/duckdb}
mkdir -p "$dir"
if [ ! -e "$dir/ready" ]; then
  echo "installing DuckDB into $dir"
  python3 -m venv "$dir/py" || skip "python3 has no venv"
  "$dir/py/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" ||
    skip "DuckDB cannot be installed"
  touch "$dir/ready"
fi

cargo build --quiet --locked --manifest-path "$here/../../Cargo.toml" -p ledgerline
target=$(cargo metadata --format-version 1 --no-deps --offline --manifest-path "$here/../../Cargo.toml" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
ledgerline=$target/debug/ledgerline

cd "$work"
"$ledgerline" demo --payments "$payments" --data kept >demo.log || { cat demo.log >&2; exit 1; }
run() { "$ledgerline" --config kept/ledgerline.toml "$@"; }
run archive check
run replay export --format csv >export.csv
run archive compact --before 2100-01-01 --yes --reason "test of the documented queries"
run archive check
"$dir/py/bin/python" "$here/queries.py" "$here/../../docs/archive.md" kept/data/archive export.csv
