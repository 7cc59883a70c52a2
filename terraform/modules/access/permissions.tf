# The lists. Each line is one thing that a role does; docs/aws.md explains them. Keep them as tight as the program:
# a call that a role does not make has no place here.

locals {
  stream  = var.stream_arn
  table   = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.tables}"
  control = "${local.table}-control"
  # Generations have four digits, and new ones come without Terraform.
  records     = "${local.table}-records-????"
  checkpoints = "${local.table}-checkpoints-????"
  quarantine  = "${local.table}-quarantine-????"
  bucket      = var.bucket_arn
  below       = "${var.bucket_arn}/${var.prefix}"
  families    = { for family in ["segments", "manifests", "heads", "watermarks", "counters", "claims", "compacted", "runs", "closes", "providers"] : family => "${local.below}/${family}/*" }

  via = { for service in ["kinesis", "dynamodb", "s3", "secretsmanager"] : service => "${service}.${local.region}.amazonaws.com" }

  # One use of the key by each of the services that a role reaches.
  key = {
    for role, use in {
      ingest    = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "s3", "secretsmanager"] }
      processor = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = concat(["kinesis", "dynamodb", "s3"], length(var.api_key_arns) == 0 ? [] : ["secretsmanager"]) }
      archiver  = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3"] }
      replay    = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3", "secretsmanager"] }
      reader    = { actions = ["kms:Decrypt"], services = ["dynamodb"] }
      } : role => {
      sid       = "Key"
      actions   = use.actions
      resources = [var.kms_key_arn]
      condition = { StringEquals = { "kms:ViaService" = [for service in use.services : local.via[service]] } }
    }
  }

  look = { sid = "LookAtTheLog", actions = ["kinesis:DescribeStreamSummary", "kinesis:ListShards"], resources = [local.stream], condition = null }
  read = { sid = "ReadTheLog", actions = ["kinesis:GetRecords", "kinesis:GetShardIterator"], resources = [local.stream], condition = null }
  live = { sid = "WhichGeneration", actions = ["dynamodb:GetItem"], resources = [local.control], condition = null }
  list = { sid = "ListTheArchive", actions = ["s3:ListBucket"], resources = [local.bucket], condition = { StringLike = { "s3:prefix" = "${var.prefix}/*" } } }

  # A source that fetches objects appends what it fetched, large bodies included.
  hydrates = [for one in [
    { sid = "AppendWhatWasFetched", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
    { sid = "LargeBodiesFetched", actions = ["s3:PutObject"], resources = [local.families.claims], condition = null },
    { sid = "ApiKeys", actions = ["secretsmanager:GetSecretValue"], resources = var.api_key_arns, condition = null },
  ] : one if length(var.api_key_arns) > 0]

  permissions = {
    ingest = concat([
      local.look,
      { sid = "Append", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
      { sid = "LargeBodies", actions = ["s3:GetObject", "s3:PutObject"], resources = [local.families.claims], condition = null },
      local.key.ingest,
      ], [for one in [
        { sid = "SigningSecrets", actions = ["secretsmanager:GetSecretValue"], resources = var.secret_arns, condition = null },
    ] : one if length(var.secret_arns) > 0])

    processor = concat([
      local.look,
      local.read,
      local.live,
      { sid = "Leases", actions = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"], resources = ["${local.table}-leases"], condition = null },
      { sid = "Entities", actions = ["dynamodb:BatchGetItem", "dynamodb:PutItem"], resources = [local.records], condition = null },
      { sid = "Progress", actions = ["dynamodb:GetItem", "dynamodb:UpdateItem"], resources = [local.checkpoints], condition = null },
      { sid = "Park", actions = ["dynamodb:PutItem"], resources = [local.quarantine], condition = null },
      { sid = "LargeBodies", actions = ["s3:GetObject"], resources = [local.families.claims], condition = null },
      local.key.processor,
    ], local.hydrates)

    archiver = [
      local.look,
      local.read,
      { sid = "Leases", actions = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"], resources = ["${local.table}-leases-archiver"], condition = null },
      local.list,
      {
        sid       = "Archive"
        actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        resources = [for family in ["segments", "manifests", "heads", "watermarks"] : local.families[family]]
        condition = null
      },
      { sid = "LargeBodies", actions = ["s3:GetObject"], resources = [local.families.claims], condition = null },
      local.key.archiver,
    ]

    # One-off tasks: verify, export, close, compact, rebuild, promote, repair, redrive, release of the quarantine.
    replay = concat([
      local.look,
      local.read,
      local.list,
      { sid = "ReadTheArchive", actions = ["s3:GetObject"], resources = ["${local.below}/*"], condition = null },
      {
        sid       = "Statements"
        actions   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        resources = [for family in ["runs", "closes", "providers", "compacted", "manifests", "heads", "claims"] : local.families[family]]
        condition = null
      },
      {
        sid       = "ReadTheState"
        actions   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"]
        resources = [local.control, local.records, "${local.records}/index/*", local.checkpoints, local.quarantine]
        condition = null
      },
      {
        sid       = "WriteTheState"
        actions   = ["dynamodb:PutItem", "dynamodb:UpdateItem"]
        resources = [local.control, local.records, local.checkpoints, local.quarantine]
        condition = null
      },
      {
        sid       = "Generations"
        actions   = ["dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeTable"]
        resources = [local.records, local.checkpoints, local.quarantine]
        condition = null
      },
      { sid = "LookAtControl", actions = ["dynamodb:DescribeTable"], resources = [local.control], condition = null },
      { sid = "Redrive", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
      local.key.replay,
      ], [for one in [
        { sid = "CheckSignatures", actions = ["secretsmanager:GetSecretValue"], resources = var.secret_arns, condition = null },
    ] : one if length(var.secret_arns) > 0])

    reader = [
      local.live,
      {
        sid       = "LookAtTheState"
        actions   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"]
        resources = [local.records, "${local.records}/index/*", local.checkpoints, local.quarantine]
        condition = null
      },
      local.key.reader,
    ]
  }

  # Denied whatever else is allowed, now or by a later policy.
  denies = [
    {
      # AUTO ignores partition keys, so the events of an entity would lose their order; it needs an on-demand stream.
      sid       = "KeepTheOrder"
      actions   = ["kinesis:UpdateStreamMode", "kinesis:UpdateStreamRecordDistributionStrategy"]
      resources = ["*"]
    },
    {
      sid       = "KeepTheLog"
      actions   = ["kinesis:DecreaseStreamRetentionPeriod", "kinesis:DeleteStream", "kinesis:StopStreamEncryption"]
      resources = [local.stream]
    },
    {
      sid = "KeepTheArchive"
      actions = [
        "s3:BypassGovernanceRetention", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy",
        "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration",
      ]
      resources = [local.bucket, "${local.bucket}/*"]
    },
    {
      sid       = "KeepTheMarkAndTheLeases"
      actions   = ["dynamodb:DeleteTable"]
      resources = [local.control, "${local.table}-leases", "${local.table}-leases-archiver"]
    },
  ]
}
