# The first four have the names of the program's settings: `terraform output -json > ledgerline.json`, then
# `ledgerline --config ledgerline.json …`. Everything else is in `deployment`, which the program ignores.

output "aws" {
  description = "The table [aws] of the settings: where everything is."
  value       = local.aws
}

output "source" {
  description = "The sources, as [[source]] in the settings; secrets by name, never by value."
  value       = local.source
}

output "limits" {
  description = "The limits, as [limits] in the settings."
  value       = var.limits
}

output "listen" {
  description = "The address that the program listens on."
  value       = local.listen
}

output "deployment" {
  description = "Everything else: address, roles, what each role may do, cluster, tasks, logs, alarms."
  value = {
    name               = var.name
    region             = local.region
    account            = data.aws_caller_identity.current.account_id
    address            = one(module.service[*].address)
    zone_id            = one(module.service[*].zone_id)
    cluster            = one(module.service[*].cluster)
    services           = one(module.service[*].services)
    task_definitions   = one(module.service[*].task_definitions)
    task_network       = one(module.service[*].task_network)
    log_groups         = one(module.service[*].log_groups)
    settings           = local.settings
    stream_arn         = module.log.arn
    shards             = module.log.shards
    retention_hours    = module.log.retention_hours
    tables             = module.state.names
    bucket_arn         = module.archive.arn
    secret_arns        = module.secrets.arns
    kms_key_arn        = local.key_arn
    role_arns          = module.access.role_arns
    reader_policy_arn  = module.access.reader_policy_arn
    guard_policy_arn   = module.access.guard_policy_arn
    permissions        = module.access.permissions
    denies             = module.access.denies
    alarms             = module.alarms.names
    alarms_topic_arn   = module.alarms.topic_arn
    dashboard          = module.alarms.dashboard
    public_subnet_ids  = one(module.network[*].public_subnet_ids)
    private_subnet_ids = one(module.network[*].private_subnet_ids)
    vpc_id             = var.network.vpc_id == null ? one(module.network[*].vpc_id) : var.network.vpc_id
  }
}
