variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "deletion_window_days" {
  description = "Days between the order to delete the key and its deletion: what it encrypted cannot be read after that."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "Use 7 to 30 days."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
