# Key, secrets and network.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name        = "ledgerline"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/one"
  log_days    = 365
}

run "key" {
  command = apply
  module { source = "./modules/key" }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "rotates, and cannot be deleted within a month"
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_kms_key.this.policy).Statement : s.Principal != "*" && (s.Sid == "AccountManages" || can(s.Condition))])
    error_message = "services use it for this deployment only"
  }
}

run "key_gone_tomorrow" {
  command = plan
  module { source = "./modules/key" }
  variables { deletion_window_days = 1 }
  expect_failures = [var.deletion_window_days]
}

run "secrets" {
  command = apply
  module { source = "./modules/secrets" }
  variables { secrets = { "ledgerline/stripe-eu" = "Signing secret of stripe-eu (stripe)" } }

  assert {
    condition     = aws_secretsmanager_secret.this["ledgerline/stripe-eu"].name == "ledgerline/stripe-eu" && aws_secretsmanager_secret.this["ledgerline/stripe-eu"].kms_key_id == var.kms_key_arn
    error_message = "named as the program looks for it, encrypted with the deployment's key"
  }
  assert {
    condition     = aws_secretsmanager_secret.this["ledgerline/stripe-eu"].recovery_window_in_days == 30
    error_message = "can be brought back"
  }
}

run "secrets_gone_tomorrow" {
  command = plan
  module { source = "./modules/secrets" }
  variables {
    secrets       = {}
    recovery_days = 1
  }
  expect_failures = [var.recovery_days]
}

run "network_without_a_way_out" {
  command = apply
  module { source = "./modules/network" }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { "eu-central-1a" = "10.70.128.0/20", "eu-central-1b" = "10.70.144.0/20" }
    error_message = "two zones"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.out) == 0
    error_message = "no way out"
  }
  assert {
    condition     = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([for s in ["ecr.api", "ecr.dkr", "kinesis-streams", "kms", "logs", "secretsmanager"] : "com.amazonaws.eu-central-1.${s}"])
    error_message = "what the tasks reach"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.gateway)) == toset(["s3", "dynamodb"])
    error_message = "the two that cost nothing"
  }
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : !subnet.map_public_ip_on_launch])
    error_message = "nothing gets a public address by itself"
  }
}

run "network_with_one_way_out" {
  command = apply
  module { source = "./modules/network" }
  variables { nat = "one" }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && length(aws_route.out) == 2
    error_message = "all zones go out by one"
  }
}

run "network_of_nothing" {
  command = plan
  module { source = "./modules/network" }
  variables { endpoints = false }
  expect_failures = [var.endpoints]
}

run "network_too_small" {
  command = plan
  module { source = "./modules/network" }
  variables { cidr = "10.0.0.0/28" }
  expect_failures = [var.cidr]
}

run "one_zone" {
  command = plan
  module { source = "./modules/network" }
  variables { zones = ["a"] }
  expect_failures = [var.zones]
}

run "many_ways_out" {
  command = plan
  module { source = "./modules/network" }
  variables { nat = "many" }
  expect_failures = [var.nat]
}
