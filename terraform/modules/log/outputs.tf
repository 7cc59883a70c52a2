output "name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.this.name
}

output "arn" {
  description = "ARN of the stream."
  value       = aws_kinesis_stream.this.arn
}

output "consumer_arns" {
  description = "ARNs of the consumers, by role."
  value       = { for role, consumer in aws_kinesis_stream_consumer.this : role => consumer.arn }
}

output "shards" {
  description = "Number of shards; as many processors can work at a time."
  value       = aws_kinesis_stream.this.shard_count
}

output "retention_hours" {
  description = "Hours that the stream keeps a record."
  value       = aws_kinesis_stream.this.retention_period
}
