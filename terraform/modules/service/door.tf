# The way in: HTTPS to /webhooks/… and nothing else. Probes and metrics of the program cannot be reached from outside.

resource "aws_security_group" "door" {
  name        = "${var.name}-door"
  description = "Load balancer: HTTPS in, to the tasks out"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-door" })
}

resource "aws_vpc_security_group_ingress_rule" "door" {
  for_each = toset(var.allowed_cidrs)

  security_group_id = aws_security_group.door.id
  description       = "Webhooks"
  cidr_ipv4         = each.key
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "door" {
  security_group_id            = aws_security_group.door.id
  description                  = "To the tasks"
  referenced_security_group_id = aws_security_group.tasks.id
  from_port                    = local.port
  to_port                      = local.port
  ip_protocol                  = "tcp"
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "Tasks: from the load balancer in, HTTPS out"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-tasks" })
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  security_group_id            = aws_security_group.tasks.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.door.id
  from_port                    = local.port
  to_port                      = local.port
  ip_protocol                  = "tcp"
}

# To AWS, and to providers where the network lets it out.
resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id = aws_security_group.tasks.id
  description       = "HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_150:It is on by default, which tests/service.tftest.hcl holds; the check does not see the default of an optional attribute
  # checkov:skip=CKV2_AWS_76:The rules of a firewall are those of web_acl_arn, which is given; no Java reads a request here
  name                             = var.name
  load_balancer_type               = "application"
  internal                         = var.internal
  subnets                          = var.public_subnet_ids
  security_groups                  = [aws_security_group.door.id]
  drop_invalid_header_fields       = true
  desync_mitigation_mode           = "strictest"
  enable_deletion_protection       = var.deletion_protection
  enable_cross_zone_load_balancing = true
  idle_timeout                     = 60
  tags                             = var.tags

  dynamic "access_logs" {
    for_each = var.access_log_bucket == null ? [] : [var.access_log_bucket]
    content {
      bucket  = access_logs.value
      prefix  = var.name
      enabled = true
    }
  }
}

resource "aws_lb_target_group" "ingest" {
  # checkov:skip=CKV_AWS_378:TLS ends at the load balancer; behind it the traffic stays in the private network of the VPC
  name                          = "${var.name}-ingest"
  vpc_id                        = var.vpc_id
  port                          = local.port
  protocol                      = "HTTP"
  target_type                   = "ip"
  deregistration_delay          = 30
  load_balancing_algorithm_type = "least_outstanding_requests"
  tags                          = var.tags

  # Says no while the log cannot be reached and from the first moment of a shutdown on.
  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  tags              = var.tags

  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      message_body = "not found"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "webhooks" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 1
  tags         = var.tags

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.ingest.arn
  }

  condition {
    path_pattern {
      values = ["/webhooks/*"]
    }
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = var.web_acl_arn == null ? 0 : 1

  resource_arn = aws_lb.this.arn
  web_acl_arn  = var.web_acl_arn
}
