# A deployment that people are paid to look after: an address of its own with a certificate, state of Terraform in S3, a
# repository for images, access logs, a firewall in front, Object Lock, three zones, alarms by mail. In two steps, as the
# minimal example: the first, without an image, makes the repository and the secrets' places.

terraform {
  required_version = ">= 1.10"

  # terraform init -backend-config=bucket=… -backend-config=region=…
  backend "s3" {
    key          = "ledgerline/production.tfstate"
    encrypt      = true
    use_lockfile = true
  }

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { owner = "payments", environment = "production" }
  }
}

locals {
  name = "ledgerline"
}

module "ledgerline" {
  source = "../../"

  name = local.name
  sources = [
    { name = "stripe-eu", provider = "stripe", rate_limit_per_second = 1000 },
    { name = "adyen", provider = "adyen" },
    # Signs the address, so it must stand here as it was entered at the provider. Its certificates are fetched.
    { name = "square", provider = "square", url = "https://${var.domain}/webhooks/square" },
  ]

  log = { shards = 4, retention_hours = 336 }

  archive = {
    colder            = { after_days = 90, storage_class = "GLACIER_IR" }
    object_lock       = { mode = "GOVERNANCE", days = 3650 }
    access_log_bucket = var.access_log_bucket
  }

  network = { zones = ["a", "b", "c"], nat = "each" }

  service = var.image_digest == null ? null : {
    image                = "${aws_ecr_repository.this.repository_url}@${var.image_digest}"
    image_repository_arn = aws_ecr_repository.this.arn
    certificate_arn      = aws_acm_certificate_validation.this.certificate_arn
    ingest               = { tasks_min = 3, tasks_max = 20 }
    processor            = { tasks_min = 2, tasks_max = 4 }
    archiver             = { tasks = 2 }
    web_acl_arn          = var.web_acl_arn
    access_log_bucket    = var.access_log_bucket
  }

  alarms = { emails = var.alarm_emails }
}

resource "aws_ecr_repository" "this" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
  }
}

resource "aws_acm_certificate" "this" {
  domain_name       = var.domain
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = { for option in aws_acm_certificate.this.domain_validation_options : option.domain_name => option }

  zone_id = var.zone_id
  name    = each.value.resource_record_name
  type    = each.value.resource_record_type
  records = [each.value.resource_record_value]
  ttl     = 300
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "aws_route53_record" "this" {
  count = var.image_digest == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = module.ledgerline.deployment.address
    zone_id                = module.ledgerline.deployment.zone_id
    evaluate_target_health = true
  }
}
