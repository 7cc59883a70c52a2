variable "tables" {
  description = "What the names of all tables begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{3,200}$", var.tables))
    error_message = "Use 3 to 200 letters, digits, '_', '.' and '-'."
  }
}

variable "generations" {
  description = "Numbers of the generations of the state whose tables are made here."
  type        = set(number)
  default     = [1]

  validation {
    condition     = length(var.generations) > 0 && alltrue([for n in var.generations : n >= 1 && n <= 9999 && floor(n) == n])
    error_message = "Give at least one number from 1 to 9999."
  }
}

variable "deletion_protection" {
  description = "Whether the tables refuse to be deleted."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the tables."
  type        = string
}

variable "tags" {
  description = "Tags of the tables."
  type        = map(string)
  default     = {}
}
