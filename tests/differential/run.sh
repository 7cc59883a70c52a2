#!/usr/bin/env bash
# The differential test: this program's verdicts on thousands of genuine and mutated requests against
# those of the providers' own libraries. docs/differential.md says what was found.
#
#   tests/differential/run.sh [ROUNDS] [SEED]
#
# Installs the libraries from PyPI and npm into a folder of its own (DIFFERENTIAL_DIR keeps it for the
# next time). Where they cannot be installed it says so and ends well: no other test needs the network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-100}
seed=${2:-1}

skip() {
  echo "skipped: $*"
  exit 0
}

command -v python3 >/dev/null || skip "no python3 on this machine"
command -v npm >/dev/null || skip "no npm on this machine"

if [ -n "${DIFFERENTIAL_DIR:-}" ]; then
  dir=$DIFFERENTIAL_DIR
  mkdir -p "$dir"
else
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
fi

if [ ! -e "$dir/ready" ]; then
  echo "installing the libraries into $dir"
  python3 -m venv "$dir/py" || skip "python3 has no venv"
  "$dir/py/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" ||
    skip "the Python libraries cannot be installed"
  cp "$here/package.json" "$dir/"
  (cd "$dir" && npm install --silent --no-audit --no-fund --ignore-scripts) ||
    skip "the Node libraries cannot be installed"
  touch "$dir/ready"
fi

cargo build --quiet --locked --manifest-path "$here/../Cargo.toml" --bin judge-signatures
target=$(cargo metadata --format-version 1 --no-deps --offline --manifest-path "$here/../Cargo.toml" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

cd "$dir"
python3 "$here/cases.py" "$rounds" "$seed" >cases.jsonl
"$target/debug/judge-signatures" <cases.jsonl >ours.jsonl
"$dir/py/bin/python" "$here/sdk_python.py" <cases.jsonl >python.jsonl 2>python.log ||
  { tail -5 python.log >&2; exit 1; }
node "$here/sdk_node.mjs" <cases.jsonl >node.jsonl 2>node.log || { tail -5 node.log >&2; exit 1; }
python3 "$here/compare.py" cases.jsonl ours.jsonl python.jsonl node.jsonl
