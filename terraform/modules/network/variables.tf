variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network; subnets are sixteenths of it."
  type        = string
  default     = "10.70.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]), 0) <= 24
    error_message = "Use an IPv4 range of /16 to /24, such as 10.70.0.0/16."
  }
}

variable "zones" {
  description = "Letters of the availability zones, such as [\"a\", \"b\"]. Add new ones at the end: the place says which addresses a zone gets."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && length(var.zones) >= 2 && length(var.zones) <= 6 && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "Use two to six different letters: the load balancer needs two zones."
  }
}

variable "nat" {
  description = "Ways out to the internet: none, one for all zones, or one in each."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "one", "each"], var.nat)
    error_message = "Use none, one or each."
  }
}

variable "endpoints" {
  description = "Whether AWS services are reached over interface endpoints. Without them a NAT is needed."
  type        = bool
  default     = true

  validation {
    condition     = var.endpoints || var.nat != "none"
    error_message = "Without endpoints and without NAT the tasks reach nothing: use endpoints = true, or nat = \"one\" or \"each\"."
  }
}

variable "log_days" {
  description = "Days that the log of the network is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the log of the network."
  type        = string
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
