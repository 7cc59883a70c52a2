variable "name" {
  description = "Name of the stream."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{1,117}$", var.name))
    error_message = "Use 1 to 117 letters, digits, '_', '.' and '-': the archive adds the stream's time of creation."
  }
}

variable "shards" {
  description = "Shards of the stream. Each takes 1 MiB and 1 000 records a second. A change reshards: at most twice as many or half as many at a time."
  type        = number
  default     = 2

  validation {
    condition     = var.shards >= 1 && var.shards <= 500 && floor(var.shards) == var.shards
    error_message = "Use 1 to 500 shards."
  }
}

variable "retention_hours" {
  description = "Hours that the stream keeps a record. A reader that is stopped for longer loses events, so it should be days."
  type        = number
  default     = 168

  validation {
    condition     = var.retention_hours >= 72 && var.retention_hours <= 8760
    error_message = "Use 72 to 8760 hours: below three days a long weekend loses events."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the stream."
  type        = string
}

variable "shard_level_metrics" {
  description = "Metrics per shard, such as \"IncomingBytes\"; each costs."
  type        = list(string)
  default     = []
}

variable "consumers" {
  description = "Names of consumers for enhanced fan-out, by the role that reads through each; none reads by polling."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(distinct(values(var.consumers))) == length(var.consumers)
    error_message = "Give each role a consumer of its own: a consumer has one subscription per shard."
  }
}

variable "tags" {
  description = "Tags of the stream."
  type        = map(string)
  default     = {}
}
