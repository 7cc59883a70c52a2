# Deploys from GitHub Actions without keys that lie around: GitHub vouches for the workflow, AWS gives it a role for an
# hour. Two roles: `plan` for every pull request, which reads and can see no secret and no event; `apply` for the
# protected environment only.
#
# The workflow needs `permissions: { id-token: write, contents: read }` and the action aws-actions/configure-aws-credentials
# with the role's ARN.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  issuer    = "token.actions.githubusercontent.com"
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # Whom GitHub vouches for.
  roles = {
    plan  = "repo:${var.repository}:pull_request"
    apply = "repo:${var.repository}:environment:${var.environment}"
  }
  state = "arn:${local.partition}:s3:::${var.state_bucket}"
  ours  = "arn:${local.partition}:%s:${var.region}:${local.account}:%s"
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-ci-${each.key}"
  description          = "Ledgerline ${var.name}: ${each.key} from ${var.repository}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OneWorkflow"
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value
        }
      }
    }]
  })
}

# To plan is to read everything that Terraform manages.
resource "aws_iam_role_policy_attachment" "read" {
  for_each = local.roles

  role       = aws_iam_role.this[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/ReadOnlyAccess"
}

# What no deployment needs: events, state, secrets.
resource "aws_iam_role_policy" "blind" {
  for_each = local.roles

  name = "blind"
  role = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "NoSecretsAndNoState"
        Effect   = "Deny"
        Action   = ["secretsmanager:GetSecretValue", "kinesis:GetRecords", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"]
        Resource = "*"
      },
      {
        Sid         = "NoEvents"
        Effect      = "Deny"
        Action      = ["s3:GetObject", "s3:GetObjectVersion"]
        NotResource = ["${local.state}/*"]
      },
      {
        Sid      = "KeepTheOrder"
        Effect   = "Deny"
        Action   = ["kinesis:UpdateStreamMode", "kinesis:UpdateStreamRecordDistributionStrategy"]
        Resource = "*"
      },
    ]
  })
}

# The lock of Terraform's state is an object beside it.
resource "aws_iam_role_policy" "state" {
  for_each = local.roles

  name = "state"
  role = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Find"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.state
      },
      {
        Sid      = "Lock"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = each.key == "apply" ? ["${local.state}/ledgerline/*"] : ["${local.state}/ledgerline/*.tflock"]
      },
    ]
  })
}

# An upgrade: a new image and new settings for tasks that are there. Everything else (tables, bucket, roles) changes
# seldom and is applied by a person.
resource "aws_iam_role_policy" "upgrade" {
  name = "upgrade"
  role = aws_iam_role.this["apply"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Services"
        Effect = "Allow"
        Action = ["ecs:UpdateService", "ecs:TagResource"]
        Resource = [
          format(local.ours, "ecs", "service/${var.name}/*"),
          format(local.ours, "ecs", "task-definition/${var.name}-*"),
        ]
      },
      {
        # Take no resource.
        Sid      = "Tasks"
        Effect   = "Allow"
        Action   = ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"]
        Resource = "*"
      },
      {
        Sid       = "RolesOfTheTasks"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [for role in ["start", "ingest", "processor", "archiver", "replay"] : "arn:${local.partition}:iam::${local.account}:role/${var.name}-${role}"]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "Images"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
        Resource = format(local.ours, "ecr", "repository/${var.name}")
      },
      {
        Sid      = "SignIn"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
    ]
  })
}
