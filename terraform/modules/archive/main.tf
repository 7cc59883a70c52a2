# The archive: the signed originals in one bucket. What was written once stays as it was: no role may overwrite or delete
# it, nor may a person, short of changing this policy. Object Lock is stronger: it binds the account's owner too.

data "aws_partition" "current" {}

locals {
  objects = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"
  below   = "${local.objects}/${var.prefix}"

  # Families of keys (docs/archive.md). Those that are created once and never replaced:
  created_once = ["segments", "compacted", "closes", "providers", "claims"]
  # Those whose objects are replaced by newer ones; versions keep what was there before.
  replaced = ["manifests", "heads", "watermarks", "counters", "runs"]
  # Compacted objects are derived and may be made again; nothing else is ever deleted by a caller.
  kept = setsubtract(concat(local.created_once, local.replaced), ["compacted"])

  # Bodies of records that are too large for the stream: needed while the stream keeps the record, and a little longer.
  claims_days = ceil(var.retention_hours / 24) + 2
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_144:Replication to another region is a decision with a price; docs/runbooks/restore.md says how to add it
  # checkov:skip=CKV2_AWS_62:Nobody needs to hear of new objects: manifests and watermarks say what is there
  bucket              = var.bucket
  object_lock_enabled = var.object_lock != null
  force_destroy       = var.force_destroy
  tags                = var.tags
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count  = var.object_lock == null ? 0 : 1
  bucket = aws_s3_bucket.this.id

  rule {
    default_retention {
      mode = var.object_lock.mode
      days = var.object_lock.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  count         = var.access_log_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket}/"
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OnlyTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.objects, "${local.objects}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyNewTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.objects, "${local.objects}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
      {
        # The parts of an upload carry no condition; the request that completes it does.
        Sid       = "OnlyCreate"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = [for family in local.created_once : "${local.below}/${family}/*"]
        Condition = {
          Null = { "s3:if-none-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        }
      },
      {
        # Lifecycle rules are not subject to it. Deleting what is derived (compacted/) is allowed to who has the permission.
        Sid       = "NoDelete"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource  = [for family in sort(local.kept) : "${local.below}/${family}/*"]
      },
      {
        Sid       = "NoWayAround"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:BypassGovernanceRetention", "s3:PutObjectAcl", "s3:PutObjectVersionAcl", "s3:ReplicateDelete"]
        Resource  = "${local.below}/*"
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  # checkov:skip=CKV_AWS_300:The rule abort-uploads below does it, for the whole bucket
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "abort-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }

  dynamic "rule" {
    for_each = var.colder == null ? [] : [var.colder]
    content {
      id     = "colder-segments"
      status = "Enabled"
      filter {
        prefix = "${var.prefix}/segments/"
      }
      transition {
        days          = rule.value.after_days
        storage_class = rule.value.storage_class
      }
    }
  }

  rule {
    id     = "expire-claims"
    status = "Enabled"
    filter {
      prefix = "${var.prefix}/claims/"
    }
    expiration {
      days = local.claims_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # A replaced object's old versions; the newest is never touched.
  dynamic "rule" {
    for_each = local.replaced
    content {
      id     = "old-versions-${rule.value}"
      status = "Enabled"
      filter {
        prefix = "${var.prefix}/${rule.value}/"
      }
      noncurrent_version_expiration {
        noncurrent_days = var.old_versions_days
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
