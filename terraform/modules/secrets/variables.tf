variable "secrets" {
  description = "What each secret is, by its name."
  type        = map(string)
}

variable "recovery_days" {
  description = "Days in which a deleted secret can be brought back; 0 deletes at once."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "Use 7 to 30 days, or 0."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the secrets."
  type        = string
}

variable "tags" {
  description = "Tags of the secrets."
  type        = map(string)
  default     = {}
}
