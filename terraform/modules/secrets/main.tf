# Places for the signing secrets and API keys of the sources. The values are not in Terraform, so they are in no state
# file: put them in with `aws secretsmanager put-secret-value` (docs/deploy.md).

resource "aws_secretsmanager_secret" "this" {
  # checkov:skip=CKV2_AWS_57:The provider of the webhooks issues these secrets, so AWS cannot rotate them by itself; docs/runbooks/rotate-secrets.md
  for_each = var.secrets

  name                    = each.key
  description             = each.value
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
  tags                    = var.tags
}
