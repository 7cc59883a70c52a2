# Ledgerline in an AWS account: one apply. Each module is one role; this file joins them.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  region = data.aws_region.current.name
  # The name of a bucket is unique in all of AWS.
  bucket  = coalesce(var.archive.bucket, "${var.name}-archive-${data.aws_caller_identity.current.account_id}-${local.region}")
  key_arn = coalesce(var.kms_key_arn, try(module.key[0].arn, null))

  # For the bill: everything of a deployment, and of each part of it.
  tags = { for part in ["key", "log", "state", "archive", "secrets", "access", "network", "service", "alarms"] :
    part => merge(var.tags, { "ledgerline:deployment" = var.name, "ledgerline:part" = part })
  }
}

module "key" {
  source = "./modules/key"
  count  = var.kms_key_arn == null ? 1 : 0

  name = var.name
  tags = local.tags.key
}

module "log" {
  source = "./modules/log"

  name                = var.name
  shards              = var.log.shards
  retention_hours     = var.log.retention_hours
  shard_level_metrics = var.log.shard_level_metrics
  consumers           = local.consumers
  kms_key_arn         = local.key_arn
  tags                = local.tags.log
}

module "state" {
  source = "./modules/state"

  tables              = var.name
  generations         = var.state.generations
  deletion_protection = var.state.deletion_protection
  kms_key_arn         = local.key_arn
  tags                = local.tags.state
}

module "archive" {
  source = "./modules/archive"

  bucket            = local.bucket
  prefix            = var.archive.prefix
  retention_hours   = var.log.retention_hours
  colder            = var.archive.colder
  old_versions_days = var.archive.old_versions_days
  object_lock       = var.archive.object_lock
  access_log_bucket = var.archive.access_log_bucket
  force_destroy     = var.archive.force_destroy
  kms_key_arn       = local.key_arn
  tags              = local.tags.archive
}

module "secrets" {
  source = "./modules/secrets"

  secrets       = merge(local.signing_secrets, local.api_keys)
  recovery_days = var.secrets_recovery_days
  kms_key_arn   = local.key_arn
  tags          = local.tags.secrets
}

module "access" {
  source = "./modules/access"

  name                     = var.name
  stream_arn               = module.log.arn
  consumer_arns            = module.log.consumer_arns
  tables                   = var.name
  bucket_arn               = module.archive.arn
  prefix                   = var.archive.prefix
  secret_arns              = concat([for name in keys(local.signing_secrets) : module.secrets.arns[name]], local.foreign_secret_arns)
  api_key_arns             = [for name in keys(local.api_keys) : module.secrets.arns[name]]
  kms_key_arn              = local.key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = local.tags.access
}

module "network" {
  source = "./modules/network"
  count  = var.service != null && var.network.vpc_id == null ? 1 : 0

  name        = var.name
  cidr        = var.network.cidr
  zones       = var.network.zones
  nat         = var.network.nat
  endpoints   = var.network.endpoints
  log_days    = var.log_days
  kms_key_arn = local.key_arn
  tags        = local.tags.network
}

module "service" {
  source = "./modules/service"
  count  = var.service == null ? 0 : 1

  name                     = var.name
  image                    = var.service.image
  image_repository_arn     = var.service.image_repository_arn
  architecture             = var.service.architecture
  settings                 = local.settings
  environment              = var.service.environment
  health_command           = var.service.health_command
  role_arns                = module.access.role_arns
  shards                   = module.log.shards
  ingest                   = var.service.ingest
  processor                = var.service.processor
  archiver                 = var.service.archiver
  replay                   = var.service.replay
  vpc_id                   = coalesce(var.network.vpc_id, try(module.network[0].vpc_id, null))
  public_subnet_ids        = var.network.vpc_id == null ? module.network[0].public_subnet_ids : var.network.public_subnet_ids
  private_subnet_ids       = var.network.vpc_id == null ? module.network[0].private_subnet_ids : var.network.private_subnet_ids
  certificate_arn          = var.service.certificate_arn
  internal                 = var.service.internal
  allowed_cidrs            = var.service.allowed_cidrs
  web_acl_arn              = var.service.web_acl_arn
  access_log_bucket        = var.service.access_log_bucket
  deletion_protection      = var.service.deletion_protection
  wait_for_steady_state    = var.service.wait_for_steady_state
  log_days                 = var.log_days
  kms_key_arn              = local.key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = local.tags.service

  # A program that starts reads its tables and its secrets.
  depends_on = [module.state, module.archive, module.secrets]
}

module "alarms" {
  source = "./modules/alarms"

  name          = var.name
  stream        = module.log.name
  tables        = module.state.names
  load_balancer = one(module.service[*].load_balancer)
  emails        = var.alarms.emails
  thresholds    = var.alarms.thresholds
  repository    = var.alarms.repository
  kms_key_arn   = local.key_arn
  tags          = local.tags.alarms
}
