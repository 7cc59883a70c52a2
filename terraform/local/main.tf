# A whole deployment on this machine: for apply-local.sh. Stand-ins of AWS's services take the calls; nothing of it is
# AWS, and nothing of it costs.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

locals {
  # What the program itself uses may be kept by other stand-ins, in which the one for everything makes the same streams,
  # tables and buckets (stand_in.py).
  data = { for name, address in {
    kinesis         = var.kinesis
    dynamodb        = var.dynamodb
    s3              = var.s3
    secrets_manager = var.secrets_manager
  } : name => coalesce(address, var.everything) }
}

provider "aws" {
  region                      = var.region
  access_key                  = "local"
  secret_key                  = "local"
  max_retries                 = 2
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true

  endpoints {
    acm                    = var.everything
    applicationautoscaling = var.everything
    cloudwatch             = var.everything
    dynamodb               = var.everything
    ec2                    = var.everything
    ecs                    = var.everything
    elbv2                  = var.everything
    iam                    = var.everything
    kinesis                = var.everything
    kms                    = var.everything
    logs                   = var.everything
    s3                     = var.everything
    secretsmanager         = var.everything
    sns                    = var.everything
    sts                    = var.everything
  }
}

resource "aws_acm_certificate" "this" {
  domain_name       = "webhooks.example.com"
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

module "ledgerline" {
  source = "../"

  name    = var.name
  sources = var.sources
  limits  = { segment_age_seconds_max = var.segment_age_seconds }
  log     = { shards = var.shards, retention_hours = 168 }
  state   = { deletion_protection = false }
  archive = { bucket = var.bucket, force_destroy = true }

  secrets_recovery_days = 0

  service = {
    image                 = "example.com/ledgerline@sha256:${sha256("local")}"
    certificate_arn       = aws_acm_certificate.this.arn
    image_repository_arn  = "arn:aws:ecr:${var.region}:123456789012:repository/ledgerline"
    deletion_protection   = false
    wait_for_steady_state = false
  }
  network = { nat = "one" }
  alarms  = { emails = ["on-call@example.com"] }

  local     = true
  endpoints = local.data
}
