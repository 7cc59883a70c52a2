output "aws" {
  description = "The table [aws] of the settings."
  value       = module.ledgerline.aws
}

output "source" {
  description = "The sources."
  value       = module.ledgerline.source
}

output "limits" {
  description = "The limits."
  value       = module.ledgerline.limits
}

output "listen" {
  description = "The address that the program listens on."
  value       = module.ledgerline.listen
}

output "deployment" {
  description = "Everything else."
  value       = module.ledgerline.deployment
}
