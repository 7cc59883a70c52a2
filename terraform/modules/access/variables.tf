variable "name" {
  description = "Name of the deployment; the roles are named {name}-ingest and so on."
  type        = string
}

variable "stream_arn" {
  description = "ARN of the stream."
  type        = string
}

variable "consumer_arns" {
  description = "ARNs of consumers for enhanced fan-out, by the role that reads through each: processor, archiver."
  type        = map(string)
  default     = {}
}

variable "tables" {
  description = "What the names of all tables begin with."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the archive's bucket."
  type        = string
}

variable "prefix" {
  description = "Below which all objects of the archive lie."
  type        = string
}

variable "secret_arns" {
  description = "ARNs of the signing secrets."
  type        = list(string)
}

variable "api_key_arns" {
  description = "ARNs of API keys with which the processor fetches objects."
  type        = list(string)
  default     = []
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts everything."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "ARN of a permissions boundary for all roles; none without it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of roles and policies."
  type        = map(string)
  default     = {}
}
