#!/usr/bin/env bash
# What a deployment is for, on what Terraform made: a command for apply-local.sh.
#
#   terraform/apply-local.sh terraform/local/first-webhook.sh PROGRAM
#
# PROGRAM is `ledgerline`, built with the feature aws. Puts signing secrets into the secrets that Terraform made, serves with
# the outputs as settings, each role as a process of its own, sends signed webhooks of every source, a copy of each, and one
# with a wrong signature; then the state, the archive and the replay must agree. Stops all of it in good order.
set -euo pipefail
program=$(realpath "$1")
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
ledgerline() { LEDGERLINE_LOG=${LEDGERLINE_LOG:-warn} "$program" --config "$LEDGERLINE_CONFIG" --data "$work/spill" "$@"; }
output() { python3 -c 'import json, os, sys; print(eval(sys.argv[1], {"o": {k: v["value"] for k, v in json.load(open(os.environ["LEDGERLINE_CONFIG"])).items()}}))' "$1"; }
fail() {
  echo "failed: $*" >&2
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}

# A value for each secret, as docs/deploy.md has it, without the AWS CLI.
put_secret() {
  curl --silent --fail --output /dev/null "$LEDGERLINE_AWS/" --header 'X-Amz-Target: secretsmanager.PutSecretValue' \
    --header 'Content-Type: application/x-amz-json-1.1' \
    --header "Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/$(output 'o["aws"]["region"]')/secretsmanager/aws4_request, SignedHeaders=host, Signature=0" \
    --data "{\"SecretId\": \"$1\", \"SecretString\": \"$2\"}"
}
for secret in $(output '" ".join(o["deployment"]["secret_arns"])'); do
  case $secret in
    */adyen) put_secret "$secret" 44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056 ;;
    *) put_secret "$secret" "whsec_made_up_for_this_machine" ;;
  esac
done

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
for role in ingest processor archiver; do
  LEDGERLINE_LOG=info "$program" --config "$LEDGERLINE_CONFIG" --data "$work/$role" serve --role "$role" --listen "127.0.0.1:$port" >"$work/$role.log" 2>&1 &
  pids+=($!)
done
for _ in $(seq 150); do
  [ "$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/readyz")" = 200 ] && break
  kill -0 "${pids[0]}" 2>/dev/null || fail "ingest did not come up"
  sleep 0.2
done

mkdir "$work/bodies"
for n in 1 2 3 4 5; do
  printf '{"id":"evt_%s","object":"event","type":"payment_intent.succeeded","created":17640000%02d,"data":{"object":{"id":"pi_%s","object":"payment_intent","amount":1000,"amount_received":1000,"currency":"eur","status":"succeeded"}}}' \
    "$n" "$n" "$n" >"$work/bodies/$n.json"
done
ledgerline send --source stripe-eu --url "http://127.0.0.1:$port/webhooks/stripe-eu" --duplicate 1 "$work/bodies" || fail "send"
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --header 'Stripe-Signature: t=1,v1=00' --data '{}' "http://127.0.0.1:$port/webhooks/stripe-eu")
[ "$status" = 401 ] || fail "a wrong signature was answered with $status"

# Read, folded and archived within seconds.
for _ in $(seq 120); do
  [ "$(ledgerline list --json 2>/dev/null | grep -c '"captured"')" = 5 ] && ledgerline replay verify >"$work/verify.txt" 2>&1 && break
  sleep 0.5
done
ledgerline list
[ "$(ledgerline list --json | grep -c '"captured"')" = 5 ] || fail "five captured payments"
ledgerline shards || fail "each shard has its readers"
ledgerline replay verify || fail "the replay agrees"
ledgerline archive check || fail "the archive is whole"

for pid in "${pids[@]}"; do kill "$pid"; done
for pid in "${pids[@]}"; do wait "$pid" || fail "a role did not stop in good order"; done
pids=()
echo "first webhooks: verified, folded, archived and proved on what Terraform made"
