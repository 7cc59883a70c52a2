output "bucket" {
  description = "Name of the bucket, once it refuses deletes and plain HTTP."
  value       = aws_s3_bucket.this.id
  depends_on  = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this]
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "prefix" {
  description = "Below which all objects lie."
  value       = var.prefix
}
