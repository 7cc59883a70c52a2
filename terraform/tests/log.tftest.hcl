mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name        = "ledgerline"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "keeps_order_and_days" {
  command = apply
  module { source = "./modules/log" }

  assert {
    condition     = aws_kinesis_stream.this.name == "ledgerline" && aws_kinesis_stream.this.shard_count == 2
    error_message = "name and shards"
  }
  assert {
    condition     = aws_kinesis_stream.this.stream_mode_details[0].stream_mode == "PROVISIONED"
    error_message = "an on-demand stream can be told to ignore partition keys"
  }
  assert {
    condition     = aws_kinesis_stream.this.retention_period == 168
    error_message = "seven days"
  }
  assert {
    condition     = aws_kinesis_stream.this.encryption_type == "KMS" && aws_kinesis_stream.this.kms_key_id == var.kms_key_arn
    error_message = "encrypted with the deployment's key"
  }
}

run "polls_unless_told" {
  command = apply
  module { source = "./modules/log" }

  assert {
    condition     = length(aws_kinesis_stream_consumer.this) == 0 && length(output.consumer_arns) == 0
    error_message = "a consumer costs by the hour and shard"
  }
}

run "a_consumer_for_each_role" {
  command = apply
  module { source = "./modules/log" }
  variables { consumers = { processor = "ledgerline-processor", archiver = "ledgerline-archiver" } }

  assert {
    condition     = jsonencode({ for role, made in aws_kinesis_stream_consumer.this : role => made.name }) == jsonencode(var.consumers)
    error_message = "names"
  }
  assert {
    condition     = alltrue([for made in aws_kinesis_stream_consumer.this : made.stream_arn == aws_kinesis_stream.this.arn])
    error_message = "of this stream"
  }
  assert {
    condition     = toset(keys(output.consumer_arns)) == toset(["processor", "archiver"])
    error_message = "ARNs by role"
  }
}

run "one_consumer_for_two" {
  command = plan
  module { source = "./modules/log" }
  variables { consumers = { processor = "ledgerline", archiver = "ledgerline" } }
  expect_failures = [var.consumers]
}

run "no_shards" {
  command = plan
  module { source = "./modules/log" }
  variables { shards = 0 }
  expect_failures = [var.shards]
}

run "half_a_shard" {
  command = plan
  module { source = "./modules/log" }
  variables { shards = 1.5 }
  expect_failures = [var.shards]
}

run "forgets_within_a_day" {
  command = plan
  module { source = "./modules/log" }
  variables { retention_hours = 24 }
  expect_failures = [var.retention_hours]
}

run "name_with_a_slash" {
  command = plan
  module { source = "./modules/log" }
  variables { name = "a/b" }
  expect_failures = [var.name]
}
