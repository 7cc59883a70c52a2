# Who may do what. A role of the program is an IAM role; what it may do is a list in `permissions.tf`, from which its
# policy is made and which is given out as it is, so that a test can hold it against the calls that the program makes.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  # IAM's own words for a list of `permissions.tf`.
  statements = {
    for role, list in local.permissions : role => [
      for one in list : merge(
        { Sid = one.sid, Effect = "Allow", Action = one.actions, Resource = one.resources },
        { for name, condition in { Condition = one.condition } : name => condition if condition != null },
      )
    ]
  }
  denied = [for one in local.denies : { Sid = one.sid, Effect = "Deny", Action = one.actions, Resource = one.resources }]
  roles  = toset(["ingest", "processor", "archiver", "replay"])
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-${each.key}"
  description          = "Ledgerline ${var.name}: the role ${each.key}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TasksOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.statements[each.key], local.denied) })
}

# For people: looks at state and quarantine, changes nothing.
resource "aws_iam_policy" "reader" {
  name        = "${var.name}-reader"
  description = "Ledgerline ${var.name}: show, list, shards, quarantine list"
  policy      = jsonencode({ Version = "2012-10-17", Statement = concat(local.statements["reader"], local.denied) })
  tags        = var.tags
}

# For everybody else with broad rights in the account, or as a service control policy: what would break the order or the
# archive is denied whatever else is allowed.
resource "aws_iam_policy" "guard" {
  name        = "${var.name}-guard"
  description = "Ledgerline ${var.name}: denies what would break the order of events or the archive"
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.denied })
  tags        = var.tags
}
