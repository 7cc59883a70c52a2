variable "name" {
  description = "Name of the deployment: of the stream, the cluster and the load balancer; names of tables, roles, secrets and alarms begin with it. It should never change."
  type        = string
  default     = "ledgerline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "Use 3 to 20 small letters, digits and '-', beginning with a letter: names of roles, buckets and load balancers are made of it."
  }
}

variable "sources" {
  description = "The webhook endpoints, as [[source]] in ledgerline.toml. A source without `secrets` gets a secret {name}/{source}; one with `hydrate` gets another for its API key, {name}/{source}/api-key. `secrets` names secrets that exist already, by name or ARN, with #field for a field of a JSON secret."
  type = list(object({
    name                  = string
    provider              = string
    secrets               = optional(list(string), [])
    hydrate               = optional(bool, false)
    hydrate_per_second    = optional(number)
    tolerance_seconds     = optional(number)
    url                   = optional(string)
    rate_limit_per_second = optional(number)
  }))

  validation {
    condition     = alltrue([for source in var.sources : can(regex("^[a-z0-9][a-z0-9._-]{0,63}$", source.name))])
    error_message = "Use names of 1 to 64 small letters, digits, '.', '_' and '-': they are part of addresses and keys."
  }

  validation {
    condition     = length(distinct(var.sources[*].name)) == length(var.sources)
    error_message = "Give each source a name of its own."
  }

  validation {
    condition     = alltrue([for source in var.sources : source.hydrate || source.hydrate_per_second == null])
    error_message = "hydrate_per_second is for sources with hydrate = true."
  }
}

variable "limits" {
  description = "Limits of the program, as [limits] in ledgerline.toml; its own defaults where nothing is said."
  type = object({
    body_bytes_max          = optional(number)
    body_seconds_max        = optional(number)
    requests_in_flight_max  = optional(number)
    append_seconds_max      = optional(number)
    drain_seconds_max       = optional(number)
    segment_age_seconds_max = optional(number)
    replay_memory_mib_max   = optional(number)
  })
  default = {}

  validation {
    condition     = coalesce(var.limits.drain_seconds_max, 20) <= 50
    error_message = "Use a drain_seconds_max of 50 or less: a task is killed 60 seconds after it was told to stop."
  }
}

variable "provider_files" {
  description = "Provider files of your own, as paths in the image."
  type        = list(string)
  default     = []
}

variable "log" {
  description = "The stream: shards (each takes 1 MiB and 1 000 records a second), hours that it keeps a record, metrics per shard, and whether processor and archiver read by enhanced fan-out (each pays by the hour and shard, and by the GB) instead of polling."
  type = object({
    shards              = optional(number, 2)
    retention_hours     = optional(number, 168)
    shard_level_metrics = optional(list(string), [])
    enhanced_fan_out    = optional(bool, false)
  })
  default = {}
}

variable "state" {
  description = "The tables: generations of the state whose tables are made here, and whether tables refuse to be deleted."
  type = object({
    generations         = optional(set(number), [1])
    deletion_protection = optional(bool, true)
  })
  default = {}
}

variable "archive" {
  description = "The archive: name of the bucket ({name}-archive-{account}-{region} when nothing is said), prefix, colder storage for segments, Object Lock, days that old versions of replaced objects are kept, bucket for access logs, and whether a destroy may empty it."
  type = object({
    bucket            = optional(string)
    prefix            = optional(string, "ledgerline")
    colder            = optional(object({ after_days = number, storage_class = string }), { after_days = 90, storage_class = "GLACIER_IR" })
    object_lock       = optional(object({ mode = string, days = number }))
    old_versions_days = optional(number, 90)
    access_log_bucket = optional(string)
    force_destroy     = optional(bool, false)
  })
  default = {}
}

variable "secrets_recovery_days" {
  description = "Days in which a deleted secret can be brought back; 0 deletes at once."
  type        = number
  default     = 30
}

variable "service" {
  description = "The program on ECS Fargate behind a load balancer; null for stream, tables, archive, secrets, roles and alarms only, for a program that runs elsewhere. See modules/service for what each key means."
  type = object({
    image                = string
    certificate_arn      = string
    image_repository_arn = optional(string)
    architecture         = optional(string, "X86_64")
    environment          = optional(map(string), {})
    health_command       = optional(list(string))
    ingest = optional(object({
      cpu        = optional(number, 512)
      memory_mib = optional(number, 1024)
      tasks_min  = optional(number, 2)
      tasks_max  = optional(number, 10)
      cpu_target = optional(number, 50)
    }), {})
    processor = optional(object({
      cpu                = optional(number, 512)
      memory_mib         = optional(number, 1024)
      tasks_min          = optional(number, 1)
      tasks_max          = optional(number, 10)
      behind_records_out = optional(number, 10000)
    }), {})
    archiver = optional(object({
      cpu        = optional(number, 512)
      memory_mib = optional(number, 1024)
      tasks      = optional(number, 1)
    }), {})
    replay = optional(object({
      cpu        = optional(number, 2048)
      memory_mib = optional(number, 4096)
      spill_gib  = optional(number, 50)
    }), {})
    internal              = optional(bool, false)
    allowed_cidrs         = optional(list(string), ["0.0.0.0/0"])
    web_acl_arn           = optional(string)
    access_log_bucket     = optional(string)
    deletion_protection   = optional(bool, true)
    wait_for_steady_state = optional(bool, true)
  })
  default = null
}

variable "network" {
  description = "The network of the service: your own (vpc_id and subnets), else one is made in the zones with these letters, with endpoints of the AWS services, and with ways out to the internet (nat: none, one, each) for sources that fetch something."
  type = object({
    vpc_id             = optional(string)
    public_subnet_ids  = optional(list(string), [])
    private_subnet_ids = optional(list(string), [])
    cidr               = optional(string, "10.70.0.0/16")
    zones              = optional(list(string), ["a", "b"])
    nat                = optional(string, "none")
    endpoints          = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.network.vpc_id == null || (length(var.network.public_subnet_ids) >= 2 && length(var.network.private_subnet_ids) >= 1)
    error_message = "With a vpc_id of your own give two or more public_subnet_ids (load balancer) and one or more private_subnet_ids (tasks)."
  }

  validation {
    condition     = var.network.vpc_id != null || var.network.nat != "none" || !anytrue(var.sources[*].hydrate)
    error_message = "A source with hydrate = true fetches from its provider: use nat = \"one\" or \"each\"."
  }
}

variable "alarms" {
  description = "Who gets the alarms by mail, thresholds that differ from the defaults (modules/alarms), and the repository whose runbooks the alarms point to."
  type = object({
    emails     = optional(list(string), [])
    repository = optional(string, "ledgerline/ledgerline")
    thresholds = optional(object({
      reader_late_seconds       = optional(number)
      behind_records            = optional(number)
      shards_unowned            = optional(number)
      holes                     = optional(number)
      quarantined               = optional(number)
      rejected_per_5_minutes    = optional(number)
      archive_delay_seconds     = optional(number)
      stream_refused_per_minute = optional(number)
      door_5xx_per_5_minutes    = optional(number)
      healthy_hosts_min         = optional(number)
    }), {})
  })
  default = {}
}

variable "log_days" {
  description = "Days that logs of program and network are kept, one of the numbers that CloudWatch takes."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "Use a number of days that CloudWatch takes, such as 30, 90, 365 or 731."
  }
}

variable "kms_key_arn" {
  description = "ARN of a key of your own for everything; one is made when nothing is said."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "Give the key's ARN, not an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of a permissions boundary for all roles; none without it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything; `ledgerline:deployment` and `ledgerline:part` are added, for the bill."
  type        = map(string)
  default     = {}
}

variable "local" {
  description = "Tells the program to use made-up credentials. For services on this machine only."
  type        = bool
  default     = false
}

variable "endpoints" {
  description = "Other addresses of AWS services for the program (kinesis, dynamodb, s3, secrets_manager). For services on this machine only."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.endpoints) : contains(["kinesis", "dynamodb", "s3", "secrets_manager"], name)])
    error_message = "Use kinesis, dynamodb, s3 and secrets_manager."
  }
}
