# The state: DynamoDB tables with the names and keys that the program expects (docs/aws.md), capacity on demand.
#
# The state can be made again from the archive; that takes time, so the tables are protected from deletion and can be
# brought back to any moment of the last 35 days.
#
# A generation is one complete set of entity records. `ledgerline replay rebuild` makes the tables of a new one itself
# when they are not there. Name the generation in `generations` before, and it finds tables with this key, recovery and
# protection.

locals {
  # Terraform's keys for tables that belong to no generation, then one per table and generation.
  single = {
    control           = { name = "${var.tables}-control", hash = "name", range = null, indexes = {} }
    leases            = { name = "${var.tables}-leases", hash = "leaseKey", range = null, indexes = {} }
    "leases-archiver" = { name = "${var.tables}-leases-archiver", hash = "leaseKey", range = null, indexes = {} }
  }
  of_generation = merge([
    for number in var.generations : {
      format("records-%04d", number) = {
        name    = format("%s-records-%04d", var.tables, number)
        hash    = "key"
        range   = null
        indexes = { listing = "part", attention = "attention" }
      }
      format("checkpoints-%04d", number) = {
        name = format("%s-checkpoints-%04d", var.tables, number), hash = "shard", range = null, indexes = {}
      }
      format("quarantine-%04d", number) = {
        name = format("%s-quarantine-%04d", var.tables, number), hash = "part", range = "id", indexes = {}
      }
    }
  ]...)
  all = merge(local.single, local.of_generation)
}

resource "aws_dynamodb_table" "this" {
  for_each = local.all

  name                        = each.value.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.hash
  range_key                   = each.value.range
  deletion_protection_enabled = var.deletion_protection
  tags                        = var.tags

  dynamic "attribute" {
    for_each = toset(concat(compact([each.value.hash, each.value.range]), values(each.value.indexes)))
    content {
      name = attribute.value
      type = "S"
    }
  }

  # `attention` is sparse: only entities that somebody should look at carry the attribute.
  dynamic "global_secondary_index" {
    for_each = each.value.indexes
    content {
      name               = global_secondary_index.key
      hash_key           = global_secondary_index.value
      range_key          = each.value.hash
      projection_type    = "INCLUDE"
      non_key_attributes = ["status"]
    }
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  point_in_time_recovery {
    enabled = true
  }
}
