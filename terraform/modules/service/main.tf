# The program on ECS Fargate: `ingest` behind the load balancer, `processor` and `archiver` beside it, `replay` as a task
# that is started when it is wanted. All run the same image with the same settings.
#
# A Lambda processor is not offered: its event source mapping gives no control over where it begins to read again, and
# nothing that AWS documents says that a parent shard comes before its children.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  port = 8080
  # Of the user that the image runs as; it owns the folder for spill files.
  user = "65532:65532"

  roles = {
    ingest    = { command = ["serve", "--role", "ingest"], size = var.ingest, stop_seconds = 60 }
    processor = { command = ["serve", "--role", "processor"], size = var.processor, stop_seconds = 60 }
    archiver  = { command = ["serve", "--role", "archiver"], size = var.archiver, stop_seconds = 120 }
    replay    = { command = ["replay", "verify"], size = var.replay, stop_seconds = 120 }
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.roles

  name              = "/ledgerline/${var.name}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

# What ECS needs to start a task: the image and the log group. The program itself cannot use it.
resource "aws_iam_role" "start" {
  name                 = "${var.name}-start"
  description          = "Ledgerline ${var.name}: pulls the image, makes log streams"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.start.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [for group in aws_cloudwatch_log_group.this : "${group.arn}:*"]
      },
      ], [for statement in [
        {
          Sid      = "Pull"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = var.image_repository_arn
        },
        {
          # Takes no resource.
          Sid      = "SignIn"
          Effect   = "Allow"
          Action   = "ecr:GetAuthorizationToken"
          Resource = "*"
        },
    ] : statement if var.image_repository_arn != null])
  })
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.roles

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.size.cpu
  memory                   = each.value.size.memory_mib
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = var.role_arns[each.key]
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  dynamic "ephemeral_storage" {
    for_each = try(each.value.size.spill_gib, null) == null ? [] : [each.value.size.spill_gib]
    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  # The only place that can be written to: spill files of a replay.
  volume {
    name = "data"
  }

  container_definitions = jsonencode([merge(
    {
      name                   = each.key
      image                  = var.image
      essential              = true
      command                = each.value.command
      user                   = local.user
      readonlyRootFilesystem = true
      privileged             = false
      stopTimeout            = each.value.stop_seconds
      environment            = [for name, value in merge({ LEDGERLINE_EMF = var.name }, var.environment, { LEDGERLINE_SETTINGS = var.settings[each.key] }) : { name = name, value = value }]
      portMappings           = each.key != "ingest" ? [] : [{ name = "http", containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
      mountPoints            = [{ sourceVolume = "data", containerPath = "/data", readOnly = false }]
      volumesFrom            = []
      systemControls         = []
      ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this[each.key].name
          "awslogs-region"        = data.aws_region.current.name
          "awslogs-stream-prefix" = each.key
          # Where logs cannot be delivered, lines are lost; the program does not wait for them.
          "mode"            = "non-blocking"
          "max-buffer-size" = "25m"
        }
      }
    },
    { for name, check in { healthCheck = { command = concat(["CMD"], coalesce(var.health_command, [])), interval = 10, timeout = 5, retries = 3, startPeriod = 60 } } :
    name => check if var.health_command != null && each.key == "ingest" },
  )])
}

resource "aws_ecs_service" "scaled" {
  for_each = { ingest = var.ingest, processor = var.processor }

  name                               = each.key
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this[each.key].arn
  launch_type                        = "FARGATE"
  desired_count                      = each.value.tasks_min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = each.key == "ingest" ? 60 : null
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = var.wait_for_steady_state
  tags                               = var.tags

  # New tasks that do not come up are taken back; the old ones stay.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = each.key == "ingest" ? [aws_lb_target_group.ingest.arn] : []
    content {
      target_group_arn = load_balancer.value
      container_name   = each.key
      container_port   = local.port
    }
  }

  # The number is the autoscaling's.
  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_lb_listener_rule.webhooks, aws_iam_role_policy.start]
}

resource "aws_ecs_service" "archiver" {
  name                               = "archiver"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this["archiver"].arn
  launch_type                        = "FARGATE"
  desired_count                      = var.archiver.tasks
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = var.wait_for_steady_state
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  depends_on = [aws_iam_role_policy.start]
}
