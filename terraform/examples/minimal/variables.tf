variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "image" {
  description = "Image of the program, with its digest."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that holds the image."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ARN of the certificate of the address that providers will send to."
  type        = string
}
