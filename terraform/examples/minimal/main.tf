# The least that runs: one source, everything else as it comes. Two tasks take webhooks, one folds, one archives.
#
#   terraform init
#   terraform apply -var image=… -var certificate_arn=…

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "ledgerline" {
  source = "../../"

  sources = [{ name = "stripe-eu", provider = "stripe" }]

  service = {
    image                = var.image
    image_repository_arn = var.image_repository_arn
    certificate_arn      = var.certificate_arn
  }
}
