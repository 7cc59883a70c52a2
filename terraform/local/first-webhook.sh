#!/usr/bin/env bash
# What a deployment is for, on what Terraform made: a command for apply-local.sh.
#
#   terraform/apply-local.sh terraform/local/first-webhook.sh PROGRAM
#
# PROGRAM is `ledgerline`, built with the feature aws. Puts signing secrets into the secrets that Terraform made, serves with
# the outputs as settings, each role as a process of its own, sends signed webhooks, a copy of each, and one with a wrong
# signature; then the state, the archive and the replay must agree. Stops all of it in good order.
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

# Signed here and not by the program: five payments, each webhook twice.
python3 - "http://127.0.0.1:$port/webhooks/stripe-eu" <<'PYTHON' || fail "send"
import hashlib, hmac, json, sys, time, urllib.request

for n in range(5):
    payment = {"id": f"pi_first_{n}", "object": "payment_intent", "amount": 1000, "amount_received": 1000, "currency": "eur", "status": "succeeded"}
    event = {"id": f"evt_first_{n}", "object": "event", "type": "payment_intent.succeeded", "created": 1764000000 + n, "data": {"object": payment}}
    body, now = json.dumps(event).encode(), int(time.time())
    signature = hmac.new(b"whsec_made_up_for_this_machine", f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    for _ in range(2):
        headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={now},v1={signature}"}
        urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, headers), timeout=30).read()
print("sent: 5 webhooks, twice each")
PYTHON
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --header 'Stripe-Signature: t=1,v1=00' --data '{}' "http://127.0.0.1:$port/webhooks/stripe-eu")
[ "$status" = 401 ] || fail "a wrong signature was answered with $status"

# Read, folded and archived within seconds. There may be other payments from before.
captured() { ledgerline list --json --limit 1000 2>/dev/null | grep 'payment/pi_first_' | grep -c '"status":"captured"'; }
for _ in $(seq 120); do
  [ "$(captured)" = 5 ] && ledgerline replay verify >"$work/verify.txt" 2>&1 && break
  sleep 0.5
done
ledgerline list
[ "$(captured)" = 5 ] || fail "five captured payments"
ledgerline shards || fail "each shard has its readers"
ledgerline replay verify || fail "the replay agrees"
ledgerline archive check || fail "the archive is whole"

# Nobody changes what is archived: the bucket's policy, as the stand-in reads it. Another S3 has no policy.
bucket=$LEDGERLINE_AWS/$(output 'o["aws"]["bucket"]')
signed="Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/-/s3/aws4_request, SignedHeaders=host, Signature=0"
refused() {
  status=$(curl --silent --output /dev/null --write-out '%{http_code}' "$bucket/$segment" --header "$signed" "$@")
  [ "$status" = 403 ] || fail "$* of a segment was answered with $status"
}
if [ "$(output 'o["aws"]["endpoints"]["s3"]')" = "$LEDGERLINE_AWS" ]; then
  segment=$(curl --silent "$bucket?list-type=2" --header "$signed" | grep -oE '[^<>]+/segments/[^<>]+\.parquet' | head -1)
  [ -n "$segment" ] || fail "a segment in the bucket"
  refused --request DELETE
  refused --request PUT --data changed
  echo "archive: a segment can neither be deleted nor overwritten"
fi

for pid in "${pids[@]}"; do kill "$pid"; done
for pid in "${pids[@]}"; do wait "$pid" || fail "a role did not stop in good order"; done
pids=()
echo "first webhooks: verified, folded, archived and proved on what Terraform made"
