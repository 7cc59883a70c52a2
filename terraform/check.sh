#!/usr/bin/env bash
# Everything about the Terraform code that can be checked without AWS: READMEs, names of metrics and runbooks, format,
# validation of every module and example, native tests with a made-up provider, and a policy check by checkov.
#
#   terraform/check.sh
#
# Says what it leaves out where Terraform, the AWS provider or checkov cannot be had (CHECKOV_DIR keeps checkov for the next
# time; TF_PLUGIN_DIR names a folder with the provider).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=terraform/provider.sh
. "$here/provider.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if command -v python3 >/dev/null; then
  python3 "$here/docs.py" --check
else
  echo "skipped: READMEs, because there is no python3 on this machine"
fi

# Each metric of the program that an alarm or the dashboard looks at is one that the program writes.
names() { grep -rhoE 'ledgerline_[a-z_]+' "$here/modules" --include=*.tf; sed -n 's/.*\[for m in \[\(.*\)\] : \["Ledgerline".*/\1/p' "$here/modules/alarms/dashboard.tf" | grep -oE '"[a-z_]+"' | tr -d '"' | sed 's/^/ledgerline_/'; }
written=$(cd "$here/.." && grep -rhoE '"ledgerline_[a-z_]+"' --include=*.rs ingest/src processor/src ledgerline/src | tr -d '"' | sort -u)
for metric in $(names | grep -vE '_$' | sort -u); do
  grep -qx "$metric" <<<"$written" || { echo "the program writes no metric $metric" >&2; exit 1; }
done
echo "metrics: all are written by the program"

# Each alarm points to a page that is there.
alarms=$(sed -n 's/^    "\([a-z-]*\)" = {$/\1/p' "$here/modules/alarms/main.tf"; grep -oE 'runbooks}/[a-z0-9-]+\.md' "$here/modules/alarms/main.tf" | sed 's/.*\///; s/\.md//')
[ "$(wc -w <<<"$alarms")" -ge 12 ] || { echo "the alarms were not found in modules/alarms/main.tf" >&2; exit 1; }
for alarm in $alarms; do
  [ -s "$here/../docs/runbooks/$alarm.md" ] || { echo "no runbook docs/runbooks/$alarm.md for the alarm" >&2; exit 1; }
done
echo "runbooks: one for each alarm"

# Each exception from the policy check says why.
if grep -rnE 'checkov:skip=[A-Z0-9_]+(:.{0,20})?$' "$here" --include=*.tf; then
  echo "an exception without a reason" >&2
  exit 1
fi

command -v terraform >/dev/null || skip "format, validation, tests and policy: no terraform on this machine"
terraform fmt -check -recursive "$here"
echo "format: as terraform fmt has it"

# A copy, so that nothing is left among the sources.
cp -r "$here" "$work/terraform"
cd "$work/terraform"
if init; then
  for folder in . local modules/* examples/*; do
    (
      cd "$folder"
      init || { cat init.log >&2; exit 1; }
      terraform validate -no-color >validate.log 2>&1 || { cat validate.log >&2; exit 1; }
    )
    echo "valid: $folder"
  done
  terraform test -no-color >test.log 2>&1 || { cat test.log >&2; exit 1; }
  tail -1 test.log
else
  echo "skipped: validation and tests, because the AWS provider is neither in a folder (TF_PLUGIN_DIR) nor to be had from the registry"
fi

checkov=${CHECKOV_DIR:-$work/checkov}
if environment "$checkov" "$here/requirements.txt"; then
  # The copy for stand-ins is left out: it lifts every protection, so that it can be destroyed.
  rm -rf "$work/policy" && cp -r "$here" "$work/policy" && rm -rf "$work/policy/local"
  # The examples with their program.
  printf 'image = "example.com/ledgerline@sha256:0"\ncertificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/one"\nimage_digest = "sha256:0"\n' >"$work/policy.tfvars"
  LOG_LEVEL=ERROR "$checkov/bin/checkov" -d "$work/policy" --var-file "$work/policy.tfvars" --framework terraform --skip-download --quiet --compact \
    >"$work/policy.log" 2>&1 || { cat "$work/policy.log" >&2; exit 1; }
  grep '^Passed checks' "$work/policy.log"
  echo "policy: checkov has no findings but those that are explained"
else
  echo "skipped: the policy check, because checkov cannot be installed"
fi
