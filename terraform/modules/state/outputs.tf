output "tables" {
  description = "What the names of all tables begin with, once the tables are there."
  value       = var.tables
  depends_on  = [aws_dynamodb_table.this]
}

output "names" {
  description = "Names of the tables, by what they hold (\"control\", \"records-0001\")."
  value       = { for key, table in aws_dynamodb_table.this : key => table.name }
}
