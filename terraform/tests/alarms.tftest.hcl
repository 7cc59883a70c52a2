mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name          = "ledgerline"
  stream        = "ledgerline"
  tables        = { control = "ledgerline-control", records-0001 = "ledgerline-records-0001" }
  load_balancer = { load_balancer = "app/made-up/50dc6c495c0c9188", target_group = "targetgroup/made-up/73e2d6bc24d8a067" }
  kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "what_should_wake_somebody" {
  command = apply
  module { source = "./modules/alarms" }

  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.single : key => "${alarm.namespace} ${alarm.metric_name} ${alarm.statistic}" } == {
      "reader-late"          = "AWS/Kinesis GetRecords.IteratorAgeMilliseconds Maximum"
      "processor-lag"        = "Ledgerline ledgerline_processor_behind_records Maximum"
      "shards-unowned"       = "Ledgerline ledgerline_leases_unheld Maximum"
      "open-holes"           = "Ledgerline ledgerline_leases_holes Maximum"
      "quarantine-growth"    = "Ledgerline ledgerline_processor_quarantined_total Sum"
      "signatures-rejected"  = "Ledgerline ledgerline_ingest_rejected_total Sum"
      "archive-delay"        = "Ledgerline ledgerline_archiver_delay_seconds Maximum"
      "stream-full"          = "AWS/Kinesis WriteProvisionedThroughputExceeded Sum"
      "stream-reads-refused" = "AWS/Kinesis ReadProvisionedThroughputExceeded Sum"
    }
    error_message = "one metric each: ${jsonencode({ for key, alarm in aws_cloudwatch_metric_alarm.single : key => "${alarm.namespace} ${alarm.metric_name} ${alarm.statistic}" })}"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.single : alarm.dimensions == tomap(alarm.namespace == "Ledgerline" ? { service = "ledgerline" } : { StreamName = "ledgerline" })])
    error_message = "of this deployment"
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.throttles)) == toset(["control", "records-0001"])
    error_message = "throttles of each table"
  }
  assert {
    condition     = toset([for query in aws_cloudwatch_metric_alarm.door_5xx[0].metric_query : query.metric[0].metric_name if length(query.metric) > 0]) == toset(["HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"])
    error_message = "5xx of program and load balancer"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.door_unready[0].metric_name == "HealthyHostCount"
    error_message = "nobody takes webhooks"
  }
  assert {
    condition = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.single), values(aws_cloudwatch_metric_alarm.throttles), aws_cloudwatch_metric_alarm.door_5xx, aws_cloudwatch_metric_alarm.door_unready) :
      alarm.alarm_actions == toset([aws_sns_topic.this.arn]) && alarm.ok_actions == toset([aws_sns_topic.this.arn]) && can(regex("/docs/runbooks/[a-z0-9-]+\\.md$", alarm.alarm_description))
    ])
    error_message = "each tells somebody, and says what to do"
  }
  assert {
    condition     = alltrue([for key in ["shards-unowned", "archive-delay", "processor-lag"] : aws_cloudwatch_metric_alarm.single[key].treat_missing_data == "breaching"])
    error_message = "a reader that is gone says nothing, and that is an alarm"
  }
  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == var.kms_key_arn && jsondecode(aws_sns_topic_policy.this.policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "encrypted, and told by this account's alarms only"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 11
    error_message = "a page to look at"
  }
}

run "no_door" {
  command = apply
  module { source = "./modules/alarms" }
  variables { load_balancer = null }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.door_5xx) == 0 && length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 9
    error_message = "no alarms of a load balancer that is not there"
  }
}

run "own_thresholds" {
  command = apply
  module { source = "./modules/alarms" }
  variables { thresholds = { reader_late_seconds = 60 } }

  assert {
    condition     = aws_cloudwatch_metric_alarm.single["reader-late"].threshold == 60000 && aws_cloudwatch_metric_alarm.single["archive-delay"].threshold == 900
    error_message = "one changed, the others as they are"
  }
}

run "threshold_below_nothing" {
  command = plan
  module { source = "./modules/alarms" }
  variables { thresholds = { holes = -1 } }
  expect_failures = [var.thresholds]
}

run "no_address" {
  command = plan
  module { source = "./modules/alarms" }
  variables { emails = ["on call"] }
  expect_failures = [var.emails]
}
