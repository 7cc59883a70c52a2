output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets for the load balancer."
  value       = [for subnet in aws_subnet.public : subnet.id]
  depends_on  = [aws_route.internet]
}

output "private_subnet_ids" {
  description = "Subnets for the tasks, once AWS can be reached from them."
  value       = [for subnet in aws_subnet.private : subnet.id]
  depends_on  = [aws_route.out, aws_vpc_endpoint.gateway, aws_vpc_endpoint.interface]
}
