variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "image" {
  description = "Image of the program, with its digest; null until the secrets have values."
  type        = string
  default     = null
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that holds the image."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ARN of the certificate of the address that providers will send to; needed with the image."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || var.certificate_arn != null
    error_message = "Give the certificate's ARN too: the load balancer speaks HTTPS only."
  }
}
