# The log: a Kinesis stream with a fixed number of shards. A record's partition key is its entity, and the order within
# an entity is what everything else is built on. So the stream is provisioned: an on-demand stream can be switched to a
# distribution that ignores partition keys.
#
# How many shards: a shard takes 1 MiB and 1 000 records a second in, and gives 2 MiB and five reads a second out.
# Take the peak of a busy minute, twice that, and the larger of (records / 1 000) and (MiB); `docs/runbooks/scale-shards.md`
# says when and how to change it. There is no automatic rescaling: a reshard moves every entity's lane, so a person
# should decide on it.

resource "aws_kinesis_stream" "this" {
  name                      = var.name
  shard_count               = var.shards
  retention_period          = var.retention_hours
  encryption_type           = "KMS"
  kms_key_id                = var.kms_key_arn
  enforce_consumer_deletion = false
  shard_level_metrics       = var.shard_level_metrics
  tags                      = var.tags

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}

# Enhanced fan-out: a consumer has 2 MiB a second of each shard to itself. It has one subscription per shard, so each role
# has its own. It costs by the hour and shard.
resource "aws_kinesis_stream_consumer" "this" {
  for_each = var.consumers

  name       = each.value
  stream_arn = aws_kinesis_stream.this.arn
}
