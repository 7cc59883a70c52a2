mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "ledgerline"
  image              = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ledgerline@sha256:0000"
  settings           = { for role in ["ingest", "processor", "archiver", "replay"] : role => "# ${role}\n[aws]\nstream = \"ledgerline\"\n" }
  role_arns          = { for role in ["ingest", "processor", "archiver", "replay"] : role => "arn:aws:iam::123456789012:role/ledgerline-${role}" }
  shards             = 4
  vpc_id             = "vpc-1"
  public_subnet_ids  = ["subnet-1", "subnet-2"]
  private_subnet_ids = ["subnet-3", "subnet-4"]
  certificate_arn    = "arn:aws:acm:eu-central-1:123456789012:certificate/one"
  log_days           = 365
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/one"
}

run "tasks" {
  command = apply
  module { source = "./modules/service" }

  assert {
    condition = { for role, task in aws_ecs_task_definition.this : role => join(" ", jsondecode(task.container_definitions)[0].command) } == {
      ingest    = "serve --role ingest"
      processor = "serve --role processor"
      archiver  = "serve --role archiver"
      replay    = "replay verify"
    }
    error_message = "one task each"
  }
  assert {
    condition = alltrue([for task in aws_ecs_task_definition.this : (
      jsondecode(task.container_definitions)[0].readonlyRootFilesystem &&
      jsondecode(task.container_definitions)[0].user == "65532:65532" &&
      !jsondecode(task.container_definitions)[0].privileged &&
      jsondecode(task.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    )])
    error_message = "no root, nothing to write to"
  }
  assert {
    condition = alltrue([for role, task in aws_ecs_task_definition.this : (
      { for e in jsondecode(task.container_definitions)[0].environment : e.name => e.value }.LEDGERLINE_SETTINGS == var.settings[role] && task.task_role_arn == var.role_arns[role]
    )])
    error_message = "settings by environment, a role of its own"
  }
  assert {
    condition = alltrue([for task in aws_ecs_task_definition.this :
      { for e in jsondecode(task.container_definitions)[0].environment : e.name => e.value }.LEDGERLINE_EMF == "ledgerline"
    ])
    error_message = "metrics go to CloudWatch under the name that the alarms look for"
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == var.kms_key_arn])
    error_message = "logs end and are encrypted"
  }
  assert {
    condition = alltrue([for s in concat(values(aws_ecs_service.scaled), [aws_ecs_service.archiver]) :
      s.deployment_circuit_breaker[0].enable && s.deployment_circuit_breaker[0].rollback && s.deployment_minimum_healthy_percent == 100 && !s.network_configuration[0].assign_public_ip
    ])
    error_message = "a bad image is taken back, and nothing stops before the new one runs"
  }
  assert {
    condition     = length(aws_ecs_service.scaled["ingest"].load_balancer) == 1 && length(aws_ecs_service.scaled["processor"].load_balancer) == 0
    error_message = "only ingest is behind the load balancer"
  }
}

run "door" {
  command = apply
  module { source = "./modules/service" }

  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.https.certificate_arn == var.certificate_arn
    error_message = "TLS 1.2 or newer"
  }
  assert {
    condition     = aws_lb_listener.https.default_action[0].type == "fixed-response" && aws_lb_listener.https.default_action[0].fixed_response[0].status_code == "404"
    error_message = "nothing but webhooks is reached from outside"
  }
  assert {
    condition     = toset(one(aws_lb_listener_rule.webhooks.condition).path_pattern[0].values) == toset(["/webhooks/*"])
    error_message = "the way of the webhooks"
  }
  assert {
    condition     = aws_lb_target_group.ingest.health_check[0].path == "/readyz"
    error_message = "who is not ready gets nothing"
  }
  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection
    error_message = "strict and protected"
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.tasks.from_port == 443 && aws_vpc_security_group_egress_rule.tasks.to_port == 443 && keys(aws_vpc_security_group_ingress_rule.door) == ["0.0.0.0/0"]
    error_message = "tasks speak HTTPS out"
  }
}

run "scaling" {
  command = apply
  module { source = "./modules/service" }

  assert {
    condition     = aws_appautoscaling_target.this["processor"].max_capacity == 4
    error_message = "no more processors than shards"
  }
  assert {
    condition     = aws_appautoscaling_policy.ingest.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization"
    error_message = "ingest by its CPU"
  }
  assert {
    condition = alltrue([for alarm in aws_cloudwatch_metric_alarm.scale :
      alarm.metric_name == "ledgerline_processor_behind_records" && alarm.namespace == "Ledgerline" && alarm.dimensions == tomap({ service = "ledgerline" }) && length(alarm.alarm_actions) == 1
    ])
    error_message = "processors by their lag"
  }
}

run "health_of_the_container" {
  command = apply
  module { source = "./modules/service" }
  variables { health_command = ["/ledgerline", "probe"] }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["ingest"].container_definitions)[0].healthCheck.command == ["CMD", "/ledgerline", "probe"]
    error_message = "asked by ECS"
  }
  assert {
    condition     = !can(jsondecode(aws_ecs_task_definition.this["processor"].container_definitions)[0].healthCheck)
    error_message = "a processor listens to nobody"
  }
}

run "what_starts_tasks_reads_one_repository" {
  command = apply
  module { source = "./modules/service" }
  variables { image_repository_arn = "arn:aws:ecr:eu-central-1:123456789012:repository/ledgerline" }

  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.start.policy).Statement : s if s.Sid == "Pull"]).Resource == var.image_repository_arn
    error_message = "one repository"
  }
}

run "tasks_that_shrink" {
  command = plan
  module { source = "./modules/service" }
  variables { ingest = { tasks_min = 5, tasks_max = 2 } }
  expect_failures = [var.ingest]
}

run "no_archiver" {
  command = plan
  module { source = "./modules/service" }
  variables { archiver = { tasks = 0 } }
  expect_failures = [var.archiver]
}

run "lag_of_nothing" {
  command = plan
  module { source = "./modules/service" }
  variables { processor = { behind_records_out = 0 } }
  expect_failures = [var.processor]
}

run "little_room" {
  command = plan
  module { source = "./modules/service" }
  variables { replay = { spill_gib = 5 } }
  expect_failures = [var.replay]
}

run "unknown_architecture" {
  command = plan
  module { source = "./modules/service" }
  variables { architecture = "RISCV" }
  expect_failures = [var.architecture]
}

run "name_in_capitals" {
  command = plan
  module { source = "./modules/service" }
  variables { name = "Ledgerline" }
  expect_failures = [var.name]
}
