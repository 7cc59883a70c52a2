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
      ingest    = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3", "secretsmanager"] }
      processor = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3", "secretsmanager"] }
      archiver  = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3"] }
      replay    = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], services = ["kinesis", "dynamodb", "s3", "secretsmanager"] }
      reader    = { actions = ["kms:Decrypt"], services = ["kinesis", "dynamodb"] }
      } : role => {
      sid       = "Key"
      actions   = use.actions
      resources = [var.kms_key_arn]
      condition = { StringEquals = { "kms:ViaService" = [for service in use.services : local.via[service]] } }
    }
  }

  look = { sid = "LookAtTheLog", actions = ["kinesis:DescribeStreamSummary", "kinesis:ListShards"], resources = [local.stream], condition = null }
  read = { sid = "ReadTheLog", actions = ["kinesis:GetRecords", "kinesis:GetShardIterator"], resources = [local.stream], condition = null }
  # By enhanced fan-out. Until a subscription is on, and at a shard's end, it polls all the same.
  fan_out = { for role in ["processor", "archiver"] : role => [
    for arn in compact([lookup(var.consumer_arns, role, "")]) :
    # It is looked up by its name, and then the permission is asked without the moment of its making.
    {
      sid       = "Subscribe"
      actions   = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]
      resources = [arn, replace(arn, "/:[0-9]+$/", "")]
      condition = null
    }
  ] }
  # Each start looks which generations there are, begins the first one, and gives the live one the provider files of the settings.
  live = { sid = "Generations", actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [local.control], condition = null }
  # IfExists: without this permission S3 answers 403 instead of 404 for a key that is not there, and the question for a key has
  # no prefix.
  list = { sid = "ListTheArchive", actions = ["s3:ListBucket"], resources = [local.bucket], condition = { StringLikeIfExists = { "s3:prefix" = "${var.prefix}/*" } } }

  # Who serves with sources in its settings reads the secrets of all of them at its start. The archiver gets none.
  secret_arns = concat(var.secret_arns, var.api_key_arns)
  secrets = [for one in [
    { sid = "Secrets", actions = ["secretsmanager:GetSecretValue"], resources = local.secret_arns, condition = null },
  ] : one if length(local.secret_arns) > 0]

  # A source that fetches objects appends what it fetched, large bodies included.
  hydrates = [for one in [
    { sid = "AppendWhatWasFetched", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
    { sid = "LargeBodiesFetched", actions = ["s3:PutObject"], resources = [local.families.claims], condition = null },
  ] : one if length(var.api_key_arns) > 0]

  permissions = {
    ingest = concat([
      local.look,
      { sid = "Append", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
      local.live,
      { sid = "LargeBodies", actions = ["s3:GetObject", "s3:PutObject"], resources = [local.families.claims], condition = null },
      # How many requests were refused on a day, for its close.
      { sid = "Counters", actions = ["s3:GetObject", "s3:PutObject"], resources = [local.families.counters], condition = null },
      local.list,
      local.key.ingest,
    ], local.secrets)

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
    ], local.fan_out.processor, local.hydrates, local.secrets)

    archiver = concat([
      local.look,
      local.read,
      local.live,
      { sid = "Leases", actions = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"], resources = ["${local.table}-leases-archiver"], condition = null },
      local.list,
      {
        sid       = "Archive"
        actions   = ["s3:GetObject", "s3:PutObject"]
        resources = [for family in ["segments", "manifests", "heads"] : local.families[family]]
        condition = null
      },
      # Only what is longer than 16 MiB goes in parts.
      { sid = "LongSegments", actions = ["s3:AbortMultipartUpload"], resources = [local.families.segments], condition = null },
      { sid = "LargeBodies", actions = ["s3:GetObject"], resources = [local.families.claims], condition = null },
      local.key.archiver,
    ], local.fan_out.archiver)

    # One-off tasks: verify, export, close, compact, rebuild, promote, repair, redrive, release of the quarantine.
    # What they need of the log they have from the archive; only redrive and release append.
    replay = concat([
      local.look,
      local.list,
      { sid = "ReadTheArchive", actions = ["s3:GetObject"], resources = ["${local.below}/*"], condition = null },
      {
        sid       = "Statements"
        actions   = ["s3:PutObject"]
        resources = [for family in ["runs", "closes", "providers", "compacted", "manifests", "heads", "claims"] : local.families[family]]
        condition = null
      },
      { sid = "LongObjects", actions = ["s3:AbortMultipartUpload"], resources = [local.families.compacted], condition = null },
      { sid = "ReadRecords", actions = ["dynamodb:BatchGetItem", "dynamodb:Scan"], resources = [local.records], condition = null },
      { sid = "ReadProgress", actions = ["dynamodb:GetItem", "dynamodb:Scan"], resources = [local.checkpoints], condition = null },
      { sid = "ReadQuarantine", actions = ["dynamodb:GetItem", "dynamodb:Query"], resources = [local.quarantine], condition = null },
      { sid = "WriteRecords", actions = ["dynamodb:PutItem"], resources = [local.records, local.quarantine], condition = null },
      { sid = "WriteProgress", actions = ["dynamodb:UpdateItem"], resources = [local.checkpoints, local.quarantine], condition = null },
      local.live,
      {
        sid       = "Tables"
        actions   = ["dynamodb:CreateTable", "dynamodb:DescribeTable", "dynamodb:UpdateContinuousBackups"]
        resources = [local.control, local.records, local.checkpoints, local.quarantine]
        condition = null
      },
      { sid = "Retire", actions = ["dynamodb:DeleteTable"], resources = [local.records, local.checkpoints, local.quarantine], condition = null },
      { sid = "Redrive", actions = ["kinesis:PutRecords"], resources = [local.stream], condition = null },
      local.key.replay,
    ], local.secrets)

    # `shards` reads the first record behind a checkpoint, to say for how long it has waited.
    reader = [
      local.look,
      local.read,
      { sid = "Leases", actions = ["dynamodb:Scan"], resources = ["${local.table}-leases", "${local.table}-leases-archiver"], condition = null },
      { sid = "Generations", actions = ["dynamodb:GetItem"], resources = [local.control], condition = null },
      { sid = "Entities", actions = ["dynamodb:BatchGetItem"], resources = [local.records], condition = null },
      { sid = "Lists", actions = ["dynamodb:Query"], resources = ["${local.records}/index/*", local.quarantine], condition = null },
      { sid = "Parked", actions = ["dynamodb:GetItem"], resources = [local.quarantine], condition = null },
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
