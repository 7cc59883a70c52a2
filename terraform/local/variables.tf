variable "everything" {
  description = "Address of the stand-in that takes all of Terraform's calls."
  type        = string
}

variable "kinesis" {
  description = "Address of Kinesis for the program, when it is another one."
  type        = string
  default     = null
}

variable "dynamodb" {
  description = "Address of DynamoDB for the program, when it is another one."
  type        = string
  default     = null
}

variable "s3" {
  description = "Address of S3 for the program, when it is another one."
  type        = string
  default     = null
}

variable "secrets_manager" {
  description = "Address of Secrets Manager for the program, when it is another one."
  type        = string
  default     = null
}

variable "region" {
  description = "Region that the stand-ins pretend to be."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "Name of the deployment."
  type        = string
  default     = "ledgerline"
}

variable "bucket" {
  description = "Name of the archive's bucket, for a server of S3 that has one bucket of a fixed name."
  type        = string
  default     = null
}

variable "shards" {
  description = "Shards of the stream."
  type        = number
  default     = 2
}

variable "segment_age_seconds" {
  description = "Oldest record that waits for its archive segment to fill."
  type        = number
  default     = 2
}

variable "sources" {
  description = "The sources, as the root module takes them."
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
  default = [
    { name = "stripe-eu", provider = "stripe", hydrate = true },
    { name = "adyen", provider = "adyen" },
  ]
}
