mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bucket          = "the-archive"
  prefix          = "ledgerline"
  retention_hours = 168
  kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "nobody_changes_it" {
  command = apply
  module { source = "./modules/archive" }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny" && statement.Principal == "*"])
    error_message = "the policy denies, to everybody, and allows nothing"
  }
  assert {
    condition = one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s if s.Sid == "OnlyTls"]) == {
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::the-archive", "arn:aws:s3:::the-archive/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
    error_message = "plain HTTP is denied"
  }
  assert {
    condition = one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s if s.Sid == "OnlyCreate"]) == {
      Sid       = "OnlyCreate"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = [for family in ["segments", "compacted", "closes", "providers", "claims"] : "arn:aws:s3:::the-archive/ledgerline/${family}/*"]
      Condition = { Null = { "s3:if-none-match" = "true" }, Bool = { "s3:ObjectCreationOperation" = "true" } }
    }
    error_message = "a put without If-None-Match is denied where objects are created once"
  }
  assert {
    condition = alltrue([
      for family in ["segments", "manifests", "heads", "watermarks", "counters", "runs", "closes", "providers", "claims"] :
      contains(one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s if s.Sid == "NoDelete"]).Resource, "arn:aws:s3:::the-archive/ledgerline/${family}/*")
    ])
    error_message = "deletes are denied"
  }
  assert {
    condition     = toset(one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s if s.Sid == "NoDelete"]).Action) == toset(["s3:DeleteObject", "s3:DeleteObjectVersion"])
    error_message = "versions too"
  }
}

run "closed_and_encrypted" {
  command = apply
  module { source = "./modules/archive" }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "versions are kept"
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "nothing is public"
  }
  assert {
    condition = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
    rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn])
    error_message = "encrypted with the deployment's key"
  }
  assert {
    condition     = !aws_s3_bucket.this.force_destroy && !aws_s3_bucket.this.object_lock_enabled
    error_message = "a destroy does not empty it; Object Lock is a choice"
  }
}

run "lifecycle" {
  command = apply
  module { source = "./modules/archive" }
  variables { retention_hours = 100 }

  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if rule.id == "expire-claims"]).expiration[0].days == 7
    error_message = "large bodies live two days longer than the stream's records, full days: 100 hours are 5 days"
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if rule.id == "expire-claims"]).filter[0].prefix == "ledgerline/claims/"
    error_message = "only large bodies expire"
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id if length(rule.expiration) > 0] == ["expire-claims"]
    error_message = "nothing else expires"
  }
  assert {
    condition = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : (
      length(rule.noncurrent_version_expiration) == 0 || !contains(["", "ledgerline/segments/", "ledgerline/closes/", "ledgerline/providers/"], try(rule.filter[0].prefix, ""))
    )])
    error_message = "no version of what is created once expires"
  }
  assert {
    condition = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : [rule.filter[0].prefix, one(rule.transition).storage_class] if length(rule.transition) > 0] == [
      ["ledgerline/segments/", "GLACIER_IR"]
    ]
    error_message = "segments go to colder storage"
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if rule.id == "abort-uploads"]).abort_incomplete_multipart_upload[0].days_after_initiation == 3
    error_message = "uploads that nobody completes are dropped"
  }
}

run "locked" {
  command = apply
  module { source = "./modules/archive" }
  variables { object_lock = { mode = "COMPLIANCE", days = 3650 } }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].days == 3650
    error_message = "Object Lock"
  }
}

run "lock_of_another_kind" {
  command = plan
  module { source = "./modules/archive" }
  variables { object_lock = { mode = "SOFT", days = 1 } }
  expect_failures = [var.object_lock]
}

run "storage_that_must_be_restored_first" {
  command = plan
  module { source = "./modules/archive" }
  variables { colder = { after_days = 90, storage_class = "DEEP_ARCHIVE" } }
  expect_failures = [var.colder]
}

run "colder_too_early" {
  command = plan
  module { source = "./modules/archive" }
  variables { colder = { after_days = 1, storage_class = "GLACIER_IR" } }
  expect_failures = [var.colder]
}

run "bucket_in_capitals" {
  command = plan
  module { source = "./modules/archive" }
  variables { bucket = "The_Archive" }
  expect_failures = [var.bucket]
}

run "prefix_with_a_slash_at_the_end" {
  command = plan
  module { source = "./modules/archive" }
  variables { prefix = "ledgerline/" }
  expect_failures = [var.prefix]
}
