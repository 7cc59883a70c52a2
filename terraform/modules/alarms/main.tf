# Alarms that mean something: each says that events are late, refused or at risk, and each has a page in docs/runbooks/
# that says what to do. All go to one topic.
#
# Metrics of the program carry the names of its `/metrics`, in the namespace Ledgerline with the dimension `service`
# (the deployment). What ends in `_total` is how many since the line before, so it is added up; the rest are states.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account  = data.aws_caller_identity.current.account_id
  runbooks = "https://github.com/${var.repository}/blob/main/docs/runbooks"
  ours     = { namespace = "Ledgerline", dimensions = { service = var.name } }
  stream   = { namespace = "AWS/Kinesis", dimensions = { StreamName = var.stream } }
  thresholds = merge({
    reader_late_seconds       = 300
    behind_records            = 50000
    shards_unowned            = 0
    holes                     = 0
    quarantined               = 0
    rejected_per_5_minutes    = 50
    archive_delay_seconds     = 900
    stream_refused_per_minute = 100
    door_5xx_per_5_minutes    = 10
    healthy_hosts_min         = 1
  }, { for name, value in var.thresholds : name => value if value != null })

  # One metric each. `missing` says what silence means: "breaching" where a reader that is gone says nothing.
  single = {
    "reader-late" = {
      text      = "A reader of the stream is late; past the stream's retention events are lost.", metric = merge(local.stream, { name = "GetRecords.IteratorAgeMilliseconds" })
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = local.thresholds.reader_late_seconds * 1000, minutes = 5, missing = "notBreaching"
    }
    "processor-lag" = {
      text      = "Records wait to be folded into the state: answers are old.", metric = merge(local.ours, { name = "ledgerline_processor_behind_records" })
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = local.thresholds.behind_records, minutes = 10, missing = "breaching"
    }
    "shards-unowned" = {
      text      = "Shards that no processor reads.", metric = merge(local.ours, { name = "ledgerline_leases_unheld" })
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = local.thresholds.shards_unowned, minutes = 5, missing = "breaching"
    }
    "open-holes" = {
      text      = "Hash keys that no lease covers: events that nobody will read.", metric = merge(local.ours, { name = "ledgerline_leases_holes" })
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = local.thresholds.holes, minutes = 5, missing = "breaching"
    }
    "quarantine-growth" = {
      text      = "Events could not be read, or contradict an event under the same id.", metric = merge(local.ours, { name = "ledgerline_processor_quarantined_total" })
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = local.thresholds.quarantined, minutes = 1, missing = "notBreaching"
    }
    "signatures-rejected" = {
      text      = "Requests whose signature was refused: a rotated secret, or somebody tries.", metric = merge(local.ours, { name = "ledgerline_ingest_rejected_total" })
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = local.thresholds.rejected_per_5_minutes, minutes = 1, missing = "notBreaching", period = 300
    }
    "archive-delay" = {
      text      = "Records wait to be archived.", metric = merge(local.ours, { name = "ledgerline_archiver_delay_seconds" })
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = local.thresholds.archive_delay_seconds, minutes = 5, missing = "breaching"
    }
    "stream-full" = {
      text      = "The stream refuses records: its shards are at their limit.", metric = merge(local.stream, { name = "WriteProvisionedThroughputExceeded" })
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = local.thresholds.stream_refused_per_minute, minutes = 3, missing = "notBreaching"
    }
    "stream-reads-refused" = {
      text      = "The stream refuses reads: too many readers, or too fast.", metric = merge(local.stream, { name = "ReadProvisionedThroughputExceeded" })
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = local.thresholds.stream_refused_per_minute, minutes = 5, missing = "notBreaching"
    }
  }

  # Throttled reads and writes of a table; alarms take ten metrics at most.
  tables = { for key, table in var.tables : key => table }
}

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "single" {
  for_each = local.single

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.text} ${local.runbooks}/${each.key}.md"
  namespace           = each.value.metric.namespace
  metric_name         = each.value.metric.name
  dimensions          = each.value.metric.dimensions
  statistic           = each.value.statistic
  period              = try(each.value.period, 60)
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "throttles" {
  for_each = local.tables

  alarm_name          = "${var.name}-throttled-${each.key}"
  alarm_description   = "The table ${each.value} refuses reads or writes. ${local.runbooks}/table-throttled.md"
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags

  metric_query {
    id          = "throttled"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    label       = "throttled"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/DynamoDB"
        metric_name = metric_query.value
        dimensions  = { TableName = each.value }
        stat        = "Sum"
        period      = 60
      }
    }
  }
}

# The door, where there is one.
resource "aws_cloudwatch_metric_alarm" "door_5xx" {
  count = var.load_balancer == null ? 0 : 1

  alarm_name          = "${var.name}-door-5xx"
  alarm_description   = "Webhooks are answered with 5xx; the providers send them again, for a time. ${local.runbooks}/door-5xx.md"
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.thresholds.door_5xx_per_5_minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags

  metric_query {
    id          = "errors"
    expression  = "FILL(program, 0) + FILL(balancer, 0)"
    label       = "5xx"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { program = "HTTPCode_Target_5XX_Count", balancer = "HTTPCode_ELB_5XX_Count" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = var.load_balancer.load_balancer }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "door_unready" {
  count = var.load_balancer == null ? 0 : 1

  alarm_name          = "${var.name}-door-unready"
  alarm_description   = "Too few tasks take webhooks. ${local.runbooks}/door-unready.md"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = var.load_balancer.load_balancer, TargetGroup = var.load_balancer.target_group }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = local.thresholds.healthy_hosts_min
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags
}
