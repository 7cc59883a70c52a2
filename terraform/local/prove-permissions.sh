#!/usr/bin/env bash
# The policies are sufficient and tight: a command for apply-local.sh.
#
#   terraform/apply-local.sh terraform/local/prove-permissions.sh PROGRAM
#
# PROGRAM is `ledgerline`, built with the feature aws. Runs everything that the roles do through a proxy that writes down which
# permission each call needs, then holds that against the lists of the deployment. LEDGERLINE_CALLS keeps the calls in a file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
recorder=
finish() {
  [ -z "$recorder" ] || kill "$recorder" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
calls=${LEDGERLINE_CALLS:-$work/calls.jsonl}
: >"$calls"

# Once a role an answer is lost, so that the question behind it is asked: whose object is it?
python3 "$here/recorder.py" "$LEDGERLINE_CONFIG" "$calls" "$work/settings.json" --lose '*/claims/*' &
recorder=$!
for _ in $(seq 100); do
  [ -e "$work/settings.json" ] && break
  kill -0 "$recorder" || exit 1
  sleep 0.1
done
python3 "$here/every_permission.py" "$1" "$work/settings.json"
python3 "$here/prove_permissions.py" "$calls" "$LEDGERLINE_CONFIG"
