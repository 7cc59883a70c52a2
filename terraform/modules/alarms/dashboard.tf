# One page: what came in, what was refused, how late everything is.

locals {
  region = data.aws_region.current.name

  # Rows of widgets: title, statistic, metrics as [namespace, name, dimension, value…].
  rows = [
    [
      { title = "Requests and events", stat = "Sum", metrics = [for m in ["ingest_requests_total", "ingest_events_total"] : ["Ledgerline", "ledgerline_${m}", "service", var.name]] },
      { title = "Refused signatures", stat = "Sum", metrics = [["Ledgerline", "ledgerline_ingest_rejected_total", "service", var.name]] },
      { title = "Quarantined", stat = "Sum", metrics = [["Ledgerline", "ledgerline_processor_quarantined_total", "service", var.name]] },
    ],
    [
      { title = "Records behind", stat = "Maximum", metrics = [for m in ["processor_behind_records", "archiver_behind_records"] : ["Ledgerline", "ledgerline_${m}", "service", var.name]] },
      { title = "Archive delay, seconds", stat = "Maximum", metrics = [["Ledgerline", "ledgerline_archiver_delay_seconds", "service", var.name]] },
      { title = "Shards unowned, holes", stat = "Maximum", metrics = [for m in ["leases_unheld", "leases_holes"] : ["Ledgerline", "ledgerline_${m}", "service", var.name]] },
    ],
    [
      { title = "Stream: records and refusals", stat = "Sum", metrics = [for m in ["IncomingRecords", "WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"] : ["AWS/Kinesis", m, "StreamName", var.stream]] },
      { title = "Stream: oldest read, milliseconds", stat = "Maximum", metrics = [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", var.stream]] },
      { title = "Tables: write units", stat = "Sum", metrics = [for key in sort(keys(var.tables)) : ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", var.tables[key]]] },
    ],
    [for widget in [
      { title = "Answers", stat = "Sum", metrics = [for m in ["HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] : ["AWS/ApplicationELB", m, "LoadBalancer", try(var.load_balancer.load_balancer, "-")]] },
      { title = "Answer time, seconds", stat = "p99", metrics = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", try(var.load_balancer.load_balancer, "-")]] },
    ] : widget if var.load_balancer != null],
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = flatten([
      for y, row in local.rows : [
        for x, widget in row : {
          type       = "metric", x = x * 8, y = y * 6, width = 8, height = 6
          properties = { title = widget.title, region = local.region, view = "timeSeries", stat = widget.stat, period = 60, metrics = widget.metrics }
        }
      ]
    ])
  })
}
