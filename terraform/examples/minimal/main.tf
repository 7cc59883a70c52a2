# The least that runs: one source, everything else as it comes. Two tasks take webhooks, one folds, one archives.
#
# In two steps, because the program reads its secrets when it starts: without an image everything but the program is made,
# the secrets' places among it; with one, the program too. docs/deploy.md leads through it.

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

  service = var.image == null ? null : {
    image                = var.image
    image_repository_arn = var.image_repository_arn
    certificate_arn      = var.certificate_arn
  }
}
