output "role_arns" {
  description = "ARNs of the roles, for the workflows."
  value       = { for key, role in aws_iam_role.this : key => role.arn }
}
