variable "bucket" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "Use 3 to 63 small letters, digits, '.' and '-', with a letter or digit at both ends."
  }
}

variable "prefix" {
  description = "Below which all objects lie, without a slash at the ends."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9._-]+(/[a-zA-Z0-9._-]+)*$", var.prefix))
    error_message = "Use letters, digits, '.', '_' and '-', with single slashes in between."
  }
}

variable "retention_hours" {
  description = "Hours that the stream keeps a record; large bodies beside it are kept two days longer."
  type        = number
}

variable "colder" {
  description = "After how many days segments move to which storage class; null to leave them. Only classes that are read at once, because `verify` reads them."
  type = object({
    after_days    = number
    storage_class = string
  })
  default = { after_days = 90, storage_class = "GLACIER_IR" }

  validation {
    condition     = var.colder == null || contains(["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"], try(var.colder.storage_class, ""))
    error_message = "Use STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR: objects in the others must be restored before they can be read."
  }

  validation {
    condition     = var.colder == null || try(var.colder.after_days, 0) >= 30
    error_message = "Use 30 days or more: S3 moves nothing to a colder class earlier."
  }
}

variable "old_versions_days" {
  description = "Days that old versions of replaced objects (manifests, heads, watermarks, counters, runs) are kept."
  type        = number
  default     = 90

  validation {
    condition     = var.old_versions_days >= 1
    error_message = "Use one day or more."
  }
}

variable "object_lock" {
  description = "Object Lock: how long nobody can delete a version. GOVERNANCE can be lifted by who may, COMPLIANCE by nobody. It can only be chosen when the bucket is made."
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.object_lock == null || contains(["GOVERNANCE", "COMPLIANCE"], try(var.object_lock.mode, ""))
    error_message = "Use the mode GOVERNANCE or COMPLIANCE."
  }

  validation {
    condition     = var.object_lock == null || (try(var.object_lock.days, 0) >= 1 && try(var.object_lock.days, 0) <= 36500)
    error_message = "Use 1 to 36500 days."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes S3's access logs; none without it."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may empty the bucket. For trying out only."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the objects."
  type        = string
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
}
