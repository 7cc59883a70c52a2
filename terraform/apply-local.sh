#!/usr/bin/env bash
# A real apply, with the real AWS provider, against a stand-in for AWS on this machine: apply, a second plan that must be
# empty, the outputs read back as settings, COMMAND, destroy.
#
#   terraform/apply-local.sh [COMMAND ARGUMENT…]
#
# COMMAND finds in LEDGERLINE_CONFIG the file of outputs, which the program takes as its settings, and in LEDGERLINE_AWS the
# stand-in's address. If it fails, so does this, after the destroy.
#
# By default the program's addresses of Kinesis, DynamoDB and S3 are the stand-in's as well. KINESIS_URL, DYNAMODB_URL and
# S3_URL name other servers for them: whatever stream, table and bucket Terraform makes is then made there too, and the
# outputs point there (local/stand_in.py). TF_VAR_… sets variables of terraform/local. MOTO_DIR keeps the stand-in's
# packages for the next time. Says so where terraform, the provider or the packages cannot be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=terraform/provider.sh
. "$here/provider.sh"

command -v terraform >/dev/null || skip "no terraform on this machine"

work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

cp -r "$here" "$work/terraform"
cd "$work/terraform/local"
init || skip "the AWS provider is neither in a folder (TF_PLUGIN_DIR) nor to be had from the registry"
packages=${MOTO_DIR:-$work/moto}
environment "$packages" "$here/local/requirements.txt" || skip "moto cannot be installed"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export LEDGERLINE_AWS=http://127.0.0.1:$port
MIRROR_KINESIS=${KINESIS_URL:-} MIRROR_DYNAMODB=${DYNAMODB_URL:-} MIRROR_S3=${S3_URL:-} \
  "$packages/bin/python" stand_in.py -H 127.0.0.1 -p "$port" >"$work/stand-in.log" 2>&1 &
server=$!
for _ in $(seq 150); do
  curl --silent --output /dev/null "$LEDGERLINE_AWS/moto-api/" && break
  kill -0 "$server" 2>/dev/null || { cat "$work/stand-in.log" >&2; exit 1; }
  sleep 0.2
done

export TF_VAR_everything=$LEDGERLINE_AWS
[ -z "${KINESIS_URL:-}" ] || export TF_VAR_kinesis=$KINESIS_URL
[ -z "${DYNAMODB_URL:-}" ] || export TF_VAR_dynamodb=$DYNAMODB_URL
[ -z "${S3_URL:-}" ] || export TF_VAR_s3=$S3_URL

# Runs a step of Terraform quietly; shows what it said when it fails.
terraform_step() {
  local began=$SECONDS
  terraform "$@" -input=false -no-color >step.log 2>&1 || { tail -60 step.log >&2; return 1; }
  echo "$1: $(grep -E '^(Apply complete|Destroy complete|No changes)' step.log | tail -1) ($((SECONDS - began)) s)"
}

terraform_step apply -auto-approve -parallelism=30
terraform_step plan -detailed-exitcode
terraform output -no-color -json >"$work/ledgerline.json"
"$packages/bin/python" check_outputs.py "$work/ledgerline.json"

result=0
if [ $# -gt 0 ]; then
  echo "running: $*"
  (cd "$here/.." && LEDGERLINE_CONFIG=$work/ledgerline.json "$@") || result=$?
fi

terraform_step destroy -auto-approve -parallelism=30
[ -z "$(terraform state list)" ] || { echo "left after the destroy:" >&2; terraform state list >&2; exit 1; }
[ "$result" = 0 ] || echo "the command failed: $result" >&2
exit "$result"
