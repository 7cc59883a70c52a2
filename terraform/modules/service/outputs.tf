output "address" {
  description = "DNS name of the load balancer."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Hosted zone of the load balancer, for an alias record."
  value       = aws_lb.this.zone_id
}

output "load_balancer" {
  description = "The load balancer and its target group as CloudWatch names them."
  value       = { load_balancer = aws_lb.this.arn_suffix, target_group = aws_lb_target_group.ingest.arn_suffix }
}

output "cluster" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "services" {
  description = "Names of the services."
  value       = concat([for service in aws_ecs_service.scaled : service.name], [aws_ecs_service.archiver.name])
}

output "task_definitions" {
  description = "Families of the task definitions, by role."
  value       = { for role, task in aws_ecs_task_definition.this : role => task.family }
}

output "log_groups" {
  description = "Log groups, by role."
  value       = { for role, group in aws_cloudwatch_log_group.this : role => group.name }
}

output "task_network" {
  description = "Subnets and security group that a task started by hand needs."
  value       = { subnets = var.private_subnet_ids, security_groups = [aws_security_group.tasks.id] }
}
