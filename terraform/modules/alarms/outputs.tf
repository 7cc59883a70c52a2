output "topic_arn" {
  description = "ARN of the topic that all alarms go to."
  value       = aws_sns_topic.this.arn
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "names" {
  description = "Names of the alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.single : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.throttles : alarm.alarm_name],
    aws_cloudwatch_metric_alarm.door_5xx[*].alarm_name,
    aws_cloudwatch_metric_alarm.door_unready[*].alarm_name,
  ))
}
