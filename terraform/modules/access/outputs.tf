output "role_arns" {
  description = "ARNs of the roles, by role."
  value       = { for role, made in aws_iam_role.this : role => made.arn }
  depends_on  = [aws_iam_role_policy.this]
}

output "reader_policy_arn" {
  description = "ARN of the policy for people who look at state and quarantine."
  value       = aws_iam_policy.reader.arn
}

output "guard_policy_arn" {
  description = "ARN of the policy that denies what would break order or archive."
  value       = aws_iam_policy.guard.arn
}

output "permissions" {
  description = "What each role may do: lists of sid, actions, resources and condition (null for none)."
  value       = local.permissions
}

output "denies" {
  description = "What is denied to every role: list of sid, actions and resources."
  value       = local.denies
}
