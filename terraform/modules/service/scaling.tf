# How many tasks: ingest by its CPU; processors by how far they are behind, never more than there are shards, since each
# shard is read by one. Archivers are a fixed number.

locals {
  processors_max = max(var.processor.tasks_min, min(var.processor.tasks_max, var.shards))
}

resource "aws_appautoscaling_target" "this" {
  for_each = {
    ingest    = { min = var.ingest.tasks_min, max = max(var.ingest.tasks_min, var.ingest.tasks_max) }
    processor = { min = var.processor.tasks_min, max = local.processors_max }
  }

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.scaled[each.key].name}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "ingest" {
  name               = "cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this["ingest"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.ingest.cpu_target
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

# Lag grows until there are enough processors and falls to nothing then, so steps fit and a target does not.
resource "aws_appautoscaling_policy" "processor" {
  for_each = { out = 1, in = -1 }

  name               = "lag-${each.key}"
  policy_type        = "StepScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this["processor"].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = each.value > 0 ? 120 : 600

    step_adjustment {
      scaling_adjustment          = each.value
      metric_interval_lower_bound = each.value > 0 ? "0" : null
      metric_interval_upper_bound = each.value > 0 ? null : "0"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "scale" {
  for_each = {
    out = { operator = "GreaterThanOrEqualToThreshold", threshold = var.processor.behind_records_out, minutes = 3 }
    in  = { operator = "LessThanThreshold", threshold = var.processor.behind_records_out / 10, minutes = 15 }
  }

  alarm_name          = "${var.name}-processor-scale-${each.key}"
  alarm_description   = "Not for people: tells the autoscaling to take one processor ${each.key == "out" ? "more" : "less"}."
  namespace           = "Ledgerline"
  metric_name         = "ledgerline_processor_behind_records"
  dimensions          = { service = var.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_appautoscaling_policy.processor[each.key].arn]
  tags                = var.tags
}
