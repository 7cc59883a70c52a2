variable "region" {
  description = "Region of the deployment."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "Name of the deployment."
  type        = string
  default     = "ledgerline"
}

variable "repository" {
  description = "Repository on GitHub: owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "Give owner/name, without wildcards."
  }
}

variable "environment" {
  description = "Environment on GitHub whose protection (reviewers, branches) guards the role `apply`."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.environment))
    error_message = "Use letters, digits, '_' and '-'."
  }
}

variable "state_bucket" {
  description = "Bucket of Terraform's state."
  type        = string
}
