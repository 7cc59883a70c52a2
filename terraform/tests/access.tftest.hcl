mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name        = "ledgerline"
  stream_arn  = "arn:aws:kinesis:eu-central-1:123456789012:stream/ledgerline"
  tables      = "ledgerline"
  bucket_arn  = "arn:aws:s3:::the-archive"
  prefix      = "ledgerline"
  secret_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:ledgerline/stripe-eu-AbCdEf"]
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "denied_to_every_role" {
  command = apply
  module { source = "./modules/access" }

  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["ingest", "processor", "archiver", "replay"])
    error_message = "one role each"
  }
  assert {
    condition     = alltrue([for role, made in aws_iam_role.this : made.name == "ledgerline-${role}"])
    error_message = "names"
  }
  assert {
    condition = alltrue(flatten([for policy in concat([for p in aws_iam_role_policy.this : p.policy], [aws_iam_policy.guard.policy, aws_iam_policy.reader.policy]) : [
      for action in ["kinesis:UpdateStreamRecordDistributionStrategy", "kinesis:UpdateStreamMode"] :
      anytrue([for s in jsondecode(policy).Statement : s.Effect == "Deny" && contains(s.Action, action) && s.Resource == ["*"]])
    ]]))
    error_message = "what would break the order of an entity is denied on every stream"
  }
  assert {
    condition = alltrue(flatten([for policy in concat([for p in aws_iam_role_policy.this : p.policy], [aws_iam_policy.guard.policy]) : [
      for action in ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy", "s3:BypassGovernanceRetention", "s3:PutLifecycleConfiguration"] :
      anytrue([for s in jsondecode(policy).Statement : s.Effect == "Deny" && contains(s.Action, action) && toset(s.Resource) == toset([var.bucket_arn, "${var.bucket_arn}/*"])])
    ]]))
    error_message = "what would change the archive is denied"
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_policy.guard.policy).Statement : s.Effect == "Deny"])
    error_message = "the guard allows nothing"
  }
  assert {
    condition     = !strcontains(join("", [for role in aws_iam_role.this : role.assume_role_policy]), "\"*\"") && alltrue([for role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"])
    error_message = "only tasks of this account take a role"
  }
}

run "no_more_than_needed" {
  command = apply
  module { source = "./modules/access" }

  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : [for action in s.Action : !strcontains(action, "*")] if s.Effect == "Allow"
    ]]))
    error_message = "actions are named one by one"
  }
  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : [for resource in s.Resource : startswith(resource, "arn:aws:") && !strcontains(resource, ":*")] if s.Effect == "Allow"
    ]]))
    error_message = "resources are named"
  }
  assert {
    condition = toset([for role, p in aws_iam_role_policy.this : role if anytrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Allow" && contains(s.Action, "kinesis:PutRecords")
    ])]) == toset(["ingest", "replay"])
    error_message = "the door and redrive append; nobody else, as long as no source fetches"
  }
  assert {
    condition = toset([for role, p in aws_iam_role_policy.this : role if anytrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Allow" && contains(s.Action, "secretsmanager:GetSecretValue")
    ])]) == toset(["ingest", "processor", "replay"])
    error_message = "the archiver reads no secrets"
  }
  assert {
    condition = toset([for role, p in aws_iam_role_policy.this : role if anytrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Allow" && contains(s.Action, "dynamodb:CreateTable")
    ])]) == toset(["replay"])
    error_message = "only a rebuild makes tables"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_role_policy.this["ingest"].policy).Statement :
    !contains(s.Action, "kinesis:GetRecords") && !anytrue([for resource in s.Resource : strcontains(resource, "dynamodb") && !endswith(resource, "-control")]) if s.Effect == "Allow"])
    error_message = "the door reads neither log nor state"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_role_policy.this["archiver"].policy).Statement :
    !anytrue([for resource in s.Resource : strcontains(resource, "records-")]) if s.Effect == "Allow"])
    error_message = "the archiver does not touch the state"
  }
  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : length(s.Condition.StringEquals["kms:ViaService"]) > 0 if s.Effect == "Allow" && strcontains(join(",", s.Action), "kms:")
    ]]))
    error_message = "the key is used through services only"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_policy.reader.policy).Statement :
    !anytrue([for action in s.Action : can(regex("Put|Update|Delete|Create", action))]) if s.Effect == "Allow"])
    error_message = "who looks changes nothing"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_role_policy.this["replay"].policy).Statement :
    !contains(s.Action, "kinesis:GetRecords") && !contains(s.Action, "kinesis:GetShardIterator") if s.Effect == "Allow"])
    error_message = "a replay reads the archive, not the log"
  }
  assert {
    condition = alltrue(flatten([for p in concat([for one in aws_iam_role_policy.this : one.policy], [aws_iam_policy.reader.policy]) : [
      for s in jsondecode(p).Statement : !contains(s.Action, "dynamodb:Scan") || alltrue([for resource in s.Resource : !endswith(resource, "-control") && !strcontains(resource, "quarantine") && !strcontains(resource, "/index/")]) if s.Effect == "Allow"
    ]]))
    error_message = "scans are for leases, records and checkpoints"
  }
  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : toset([for resource in s.Resource : element(split("/", resource), length(split("/", resource)) - 2)]) == toset([contains(["LongSegments"], s.Sid) ? "segments" : "compacted"]) if s.Effect == "Allow" && contains(s.Action, "s3:AbortMultipartUpload")
    ]]))
    error_message = "uploads in parts are of segments and compacted objects"
  }
  assert {
    condition = alltrue([for role in ["ingest", "processor", "archiver", "replay"] :
      toset([for s in jsondecode(aws_iam_role_policy.this[role].policy).Statement : s.Sid if s.Effect == "Allow"]) == toset([for one in output.permissions[role] : one.sid])
    ])
    error_message = "the list that is given out is the policy"
  }
}

run "sources_that_fetch" {
  command = apply
  module { source = "./modules/access" }
  variables { api_key_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:ledgerline/stripe-eu/api-key-AbCdEf"] }

  assert {
    condition = anytrue([for s in jsondecode(aws_iam_role_policy.this["processor"].policy).Statement :
    s.Effect == "Allow" && s.Action == ["secretsmanager:GetSecretValue"] && toset(s.Resource) == toset(concat(var.secret_arns, var.api_key_arns))])
    error_message = "the processor reads API keys"
  }
  assert {
    condition     = anytrue([for s in jsondecode(aws_iam_role_policy.this["processor"].policy).Statement : s.Effect == "Allow" && contains(s.Action, "kinesis:PutRecords")])
    error_message = "and appends what it fetched"
  }
}

run "enhanced_fan_out" {
  command = apply
  module { source = "./modules/access" }
  variables {
    consumer_arns = {
      processor = "arn:aws:kinesis:eu-central-1:123456789012:stream/ledgerline/consumer/ledgerline-processor:1700000000"
      archiver  = "arn:aws:kinesis:eu-central-1:123456789012:stream/ledgerline/consumer/ledgerline-archiver:1700000000"
    }
  }

  assert {
    condition = alltrue([for role, arn in var.consumer_arns : [
      for s in jsondecode(aws_iam_role_policy.this[role].policy).Statement : s.Resource if s.Effect == "Allow" && toset(s.Action) == toset(["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"])
    ] == [[arn, trimsuffix(arn, ":1700000000")]]])
    error_message = "each role subscribes with its own consumer, and no other"
  }
  assert {
    condition = toset([for role, p in aws_iam_role_policy.this : role if anytrue([
      for s in jsondecode(p.policy).Statement : s.Effect == "Allow" && contains(s.Action, "kinesis:SubscribeToShard")
    ])]) == toset(["processor", "archiver"])
    error_message = "nobody else does"
  }
  assert {
    condition     = alltrue([for role in ["processor", "archiver"] : strcontains(aws_iam_role_policy.this[role].policy, "kinesis:GetRecords")])
    error_message = "a reader polls until its subscription is on"
  }
}
