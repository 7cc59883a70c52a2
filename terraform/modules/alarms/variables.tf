variable "name" {
  description = "Name of the deployment: the dimension `service` of the program's metrics."
  type        = string
}

variable "stream" {
  description = "Name of the stream."
  type        = string
}

variable "tables" {
  description = "Names of the tables, by what they hold."
  type        = map(string)
}

variable "load_balancer" {
  description = "The load balancer and its target group as CloudWatch names them; null where there is none."
  type = object({
    load_balancer = string
    target_group  = string
  })
  default = null
}

variable "emails" {
  description = "Who gets the alarms by mail; each must confirm."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "Give addresses such as on-call@example.com."
  }
}

variable "thresholds" {
  description = "Past what an alarm goes off, where it is not the default."
  type = object({
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
  })
  default = {}

  validation {
    condition     = alltrue([for value in values(var.thresholds) : value == null || try(value >= 0, false)])
    error_message = "Use numbers of 0 or more."
  }
}

variable "repository" {
  description = "Repository on GitHub (\"owner/name\") whose runbooks the alarms point to."
  type        = string
  default     = "ledgerline/ledgerline"
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the topic."
  type        = string
}

variable "tags" {
  description = "Tags of topic and alarms."
  type        = map(string)
  default     = {}
}
