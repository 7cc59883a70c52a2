variable "name" {
  description = "Name of the deployment, of its cluster and its load balancer."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}[a-z0-9]$", var.name))
    error_message = "Use 3 to 25 small letters, digits and '-': a load balancer's names are short."
  }
}

variable "image" {
  description = "Image of the program, best with its digest (\"…/ledgerline@sha256:…\")."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that holds the image; none when it is public."
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the image is built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "Use X86_64 or ARM64."
  }
}

variable "settings" {
  description = "Text of the settings file, by role."
  type        = map(string)
}

variable "environment" {
  description = "Further environment variables, such as LEDGERLINE_LOG. Never secrets. LEDGERLINE_EMF is the name of the deployment: alarms look for it."
  type        = map(string)
  default     = {}
}

variable "health_command" {
  description = "Command in the image of ingest that asks /healthz and exits with 0 when it is well; none without it."
  type        = list(string)
  default     = null
}

variable "role_arns" {
  description = "ARNs of the roles ingest, processor, archiver and replay."
  type        = map(string)
}

variable "shards" {
  description = "Shards of the stream: more processors than that have nothing to do."
  type        = number
}

variable "ingest" {
  description = "Tasks behind the load balancer: size, smallest and largest number, CPU (per cent) that autoscaling holds."
  type = object({
    cpu        = optional(number, 512)
    memory_mib = optional(number, 1024)
    tasks_min  = optional(number, 2)
    tasks_max  = optional(number, 10)
    cpu_target = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.ingest.tasks_min >= 1 && var.ingest.tasks_max >= var.ingest.tasks_min
    error_message = "Use tasks_min of 1 or more, and tasks_max not below it."
  }

  validation {
    condition     = var.ingest.cpu_target >= 10 && var.ingest.cpu_target <= 90
    error_message = "Use a cpu_target of 10 to 90 per cent."
  }
}

variable "processor" {
  description = "Processors: size, smallest and largest number (never above the shards), and how many records one shard may be behind before one more is started."
  type = object({
    cpu                = optional(number, 512)
    memory_mib         = optional(number, 1024)
    tasks_min          = optional(number, 1)
    tasks_max          = optional(number, 10)
    behind_records_out = optional(number, 10000)
  })
  default = {}

  validation {
    condition     = var.processor.tasks_min >= 1 && var.processor.tasks_max >= var.processor.tasks_min
    error_message = "Use tasks_min of 1 or more, and tasks_max not below it."
  }

  validation {
    condition     = var.processor.behind_records_out >= 10
    error_message = "Use behind_records_out of 10 or more."
  }
}

variable "archiver" {
  description = "Archivers: size and number. With two, one goes on at once when the other dies."
  type = object({
    cpu        = optional(number, 512)
    memory_mib = optional(number, 1024)
    tasks      = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.archiver.tasks >= 1
    error_message = "Use one task or more: without an archiver events are lost when the stream forgets them."
  }
}

variable "replay" {
  description = "The task that is started by hand: size, and room for temporary files."
  type = object({
    cpu        = optional(number, 2048)
    memory_mib = optional(number, 4096)
    spill_gib  = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.replay.spill_gib >= 21 && var.replay.spill_gib <= 200
    error_message = "Use 21 to 200 GiB."
  }
}

variable "vpc_id" {
  description = "Id of the network."
  type        = string
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "certificate_arn" {
  description = "ARN of the certificate (ACM) of the load balancer."
  type        = string
}

variable "internal" {
  description = "Whether the load balancer is reached from inside the network only."
  type        = bool
  default     = false
}

variable "allowed_cidrs" {
  description = "Who may send: IPv4 ranges. Providers publish theirs; signatures are checked in any case."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "web_acl_arn" {
  description = "ARN of a web ACL (WAF) for the load balancer; none without it."
  type        = string
  default     = null
}

variable "access_log_bucket" {
  description = "Bucket that takes the load balancer's access logs; none without it."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  default     = true
}

variable "wait_for_steady_state" {
  description = "Whether an apply waits until the new tasks run, and fails when they were taken back."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the logs."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "ARN of a permissions boundary for the role that starts tasks; none without it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
