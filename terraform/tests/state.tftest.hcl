mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  tables      = "pay"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "tables_of_the_program" {
  command = apply
  module { source = "./modules/state" }

  # Names and keys as adapters/src/aws/dynamo/tables.rs and adapters/src/aws/leases have them.
  assert {
    condition = jsonencode({ for key, table in aws_dynamodb_table.this : table.name => compact([table.hash_key, table.range_key]) }) == jsonencode({
      "pay-control"          = ["name"]
      "pay-leases"           = ["leaseKey"]
      "pay-leases-archiver"  = ["leaseKey"]
      "pay-records-0001"     = ["key"]
      "pay-checkpoints-0001" = ["shard"]
      "pay-quarantine-0001"  = ["part", "id"]
    })
    error_message = "tables and keys: ${jsonencode({ for key, table in aws_dynamodb_table.this : table.name => [table.hash_key, table.range_key] })}"
  }
  assert {
    condition = { for index in aws_dynamodb_table.this["records-0001"].global_secondary_index : index.name => [index.hash_key, index.range_key, index.projection_type, join(",", index.non_key_attributes)] } == {
      listing   = ["part", "key", "INCLUDE", "status"]
      attention = ["attention", "key", "INCLUDE", "status"]
    }
    error_message = "indexes of the records"
  }
  assert {
    condition     = alltrue([for key, table in aws_dynamodb_table.this : length(table.global_secondary_index) == (key == "records-0001" ? 2 : 0)])
    error_message = "only records have indexes"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : alltrue([for attribute in table.attribute : attribute.type == "S"])])
    error_message = "keys are texts"
  }
  assert {
    condition = alltrue([for table in aws_dynamodb_table.this :
      table.billing_mode == "PAY_PER_REQUEST" && table.deletion_protection_enabled && table.point_in_time_recovery[0].enabled && table.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    ])
    error_message = "on demand, protected, recoverable, encrypted with the deployment's key"
  }
}

run "further_generations" {
  command = apply
  module { source = "./modules/state" }
  variables { generations = [1, 12] }

  assert {
    condition     = output.names["records-0012"] == "pay-records-0012" && length(output.names) == 9
    error_message = "numbers of generations have four digits: ${jsonencode(output.names)}"
  }
}

run "no_generation" {
  command = plan
  module { source = "./modules/state" }
  variables { generations = [] }
  expect_failures = [var.generations]
}

run "generation_of_five_digits" {
  command = plan
  module { source = "./modules/state" }
  variables { generations = [10000] }
  expect_failures = [var.generations]
}

run "prefix_with_a_slash" {
  command = plan
  module { source = "./modules/state" }
  variables { tables = "a/b/c" }
  expect_failures = [var.tables]
}
