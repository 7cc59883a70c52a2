variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "account_id" {
  description = "The account that this may be applied to, and no other."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Give the 12 digits of the account."
  }
}

variable "domain" {
  description = "Name that providers send to, such as webhooks.example.com."
  type        = string
}

variable "zone_id" {
  description = "Hosted zone (Route 53) of the name."
  type        = string
}

variable "image_digest" {
  description = "Digest of the image in the repository that is made here (sha256:…); null until image and secrets are there."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Give sha256: and 64 hexadecimal digits, as `docker buildx imagetools inspect` prints them."
  }
}

variable "access_log_bucket" {
  description = "Bucket of the account for access logs of archive and load balancer."
  type        = string
}

variable "web_acl_arn" {
  description = "ARN of the account's web ACL (WAF)."
  type        = string
}

variable "alarm_emails" {
  description = "Who gets the alarms."
  type        = list(string)
}
