# The program's settings: as outputs with the names that its settings file uses, and as the text of that file for the
# containers. Both come from the same values.

locals {
  # Secrets that are made here, one per source that names none of its own, and API keys of sources that fetch.
  signing_secrets = { for source in var.sources : "${var.name}/${source.name}" => "Signing secret of ${source.name} (${source.provider})" if length(source.secrets) == 0 }
  api_keys        = { for source in var.sources : "${var.name}/${source.name}/api-key" => "API key of ${source.name} (${source.provider})" if source.hydrate }

  # Secrets that exist already: an ARN as it is, a name with the six letters that Secrets Manager adds.
  foreign_secrets = toset([for secret in flatten(var.sources[*].secrets) : split("#", secret)[0]])
  foreign_secret_arns = [
    for secret in local.foreign_secrets :
    startswith(secret, "arn:") ? secret : "arn:${data.aws_partition.current.partition}:secretsmanager:${local.region}:${data.aws_caller_identity.current.account_id}:secret:${secret}-??????"
  ]

  aws = {
    region    = local.region
    stream    = module.log.name
    tables    = module.state.tables
    bucket    = module.archive.bucket
    prefix    = module.archive.prefix
    local     = var.local ? true : null
    endpoints = length(var.endpoints) == 0 ? null : var.endpoints
    # Processor and archiver are processes of their own: of a shard's five reads a second each takes two.
    log = merge({ reads_per_second = 2 }, var.log.enhanced_fan_out ? { fan_out = local.consumers } : null)
  }

  # A consumer has one subscription per shard, so each role that reads has its own.
  consumers = { for role in ["processor", "archiver"] : role => "${var.name}-${role}" if var.log.enhanced_fan_out }

  source = [
    for source in var.sources : {
      name                  = source.name
      provider              = source.provider
      secrets               = [for secret in(length(source.secrets) == 0 ? ["${var.name}/${source.name}"] : source.secrets) : "aws-secretsmanager:${secret}"]
      hydrate               = source.hydrate ? "aws-secretsmanager:${var.name}/${source.name}/api-key" : null
      hydrate_per_second    = source.hydrate_per_second
      tolerance_seconds     = source.tolerance_seconds
      url                   = source.url
      rate_limit_per_second = source.rate_limit_per_second
    }
  ]

  listen = "0.0.0.0:8080"

  # TOML by hand: texts, numbers, lists of texts and tables of them look the same in JSON, `<`, `>` and `&` included.
  settings_of_all = join("\n", concat(
    [
      "data = \"/data\"",
      "listen = ${jsonencode(local.listen)}",
    ],
    length(var.provider_files) == 0 ? [] : ["providers = ${jsonencode(var.provider_files)}"],
    ["", "[aws]"],
    [for key in ["region", "stream", "tables", "bucket", "prefix", "local"] : "${key} = ${jsonencode(local.aws[key])}" if local.aws[key] != null],
    length(var.endpoints) == 0 ? [] : concat(["", "[aws.endpoints]"], [for key, value in var.endpoints : "${key} = ${jsonencode(value)}"]),
    ["", "[aws.log]", "reads_per_second = ${local.aws.log.reads_per_second}"],
    length(local.consumers) == 0 ? [] : ["fan_out = { ${join(", ", [for role, name in local.consumers : "${role} = ${jsonencode(name)}"])} }"],
    ["", "[limits]"],
    [for key, value in var.limits : "${key} = ${value}" if value != null],
    [""],
  ))
  settings_of_sources = join("\n", concat(
    flatten([
      for source in local.source : concat(
        ["", "[[source]]"],
        [for key in ["name", "provider", "secrets", "hydrate", "hydrate_per_second", "tolerance_seconds", "url", "rate_limit_per_second"] : "${key} = ${jsonencode(source[key])}" if source[key] != null],
      )
    ]),
    [""],
  ))
  # Sources bring secrets with them, and the archiver needs neither: it keeps what others verified.
  settings = { for role in ["ingest", "processor", "archiver", "replay"] : role => role == "archiver" ? local.settings_of_all : "${local.settings_of_all}${local.settings_of_sources}" }
}

data "aws_partition" "current" {}
