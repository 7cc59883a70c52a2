mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  sources = [
    { name = "stripe-eu", provider = "stripe", hydrate = true, hydrate_per_second = 5, rate_limit_per_second = 500 },
    { name = "square", provider = "square", secrets = ["prod/square#key"], url = "https://pay.example.com/webhooks/square?a=1&b=<2>" },
  ]
  limits  = { segment_age_seconds_max = 30 }
  network = { nat = "one" }
  service = {
    image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ledgerline@sha256:0000"
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/one"
  }
}

run "outputs_are_settings" {
  command = apply

  assert {
    condition = jsonencode(output.aws) == jsonencode({
      region    = "eu-central-1"
      stream    = "ledgerline"
      tables    = "ledgerline"
      bucket    = "the-archive"
      prefix    = "ledgerline"
      local     = null
      endpoints = null
      log       = { reads_per_second = 2 }
    })
    error_message = "the table [aws]: ${jsonencode(output.aws)}"
  }
  assert {
    condition = jsonencode([for source in output.source : { for key, value in source : key => value if value != null }]) == jsonencode([
      { name = "stripe-eu", provider = "stripe", secrets = ["aws-secretsmanager:ledgerline/stripe-eu"], hydrate = "aws-secretsmanager:ledgerline/stripe-eu/api-key", hydrate_per_second = 5, rate_limit_per_second = 500 },
      { name = "square", provider = "square", secrets = ["aws-secretsmanager:prod/square#key"], url = "https://pay.example.com/webhooks/square?a=1&b=<2>" },
    ])
    error_message = "the sources: ${jsonencode(output.source)}"
  }
  assert {
    condition     = output.limits.segment_age_seconds_max == 30 && output.listen == "0.0.0.0:8080"
    error_message = "limits and address"
  }
  assert {
    condition     = toset(keys(output.deployment.secret_arns)) == toset(["ledgerline/stripe-eu", "ledgerline/stripe-eu/api-key"])
    error_message = "no secret is made for a source that names its own"
  }
}

run "enhanced_fan_out" {
  command = apply
  variables { log = { enhanced_fan_out = true } }

  assert {
    condition     = jsonencode(output.aws.log) == jsonencode({ fan_out = { archiver = "ledgerline-archiver", processor = "ledgerline-processor" }, reads_per_second = 2 })
    error_message = "the table [aws.log]: ${jsonencode(output.aws.log)}"
  }
  assert {
    condition     = alltrue([for role in ["processor", "archiver"] : strcontains(output.deployment.settings[role], "\n[aws.log]\nreads_per_second = 2\nfan_out = { archiver = \"ledgerline-archiver\", processor = \"ledgerline-processor\" }\n")])
    error_message = output.deployment.settings.archiver
  }
  assert {
    condition     = alltrue([for role in ["processor", "archiver"] : contains([for one in output.deployment.permissions[role] : one.sid], "Subscribe")])
    error_message = "who reads may subscribe"
  }
}

run "settings_of_the_containers" {
  command = apply

  assert {
    condition     = output.deployment.settings.ingest == <<-TOML
      data = "/data"
      listen = "0.0.0.0:8080"

      [aws]
      region = "eu-central-1"
      stream = "ledgerline"
      tables = "ledgerline"
      bucket = "the-archive"
      prefix = "ledgerline"

      [aws.log]
      reads_per_second = 2

      [limits]
      segment_age_seconds_max = 30

      [[source]]
      name = "stripe-eu"
      provider = "stripe"
      secrets = ["aws-secretsmanager:ledgerline/stripe-eu"]
      hydrate = "aws-secretsmanager:ledgerline/stripe-eu/api-key"
      hydrate_per_second = 5
      rate_limit_per_second = 500

      [[source]]
      name = "square"
      provider = "square"
      secrets = ["aws-secretsmanager:prod/square#key"]
      url = "https://pay.example.com/webhooks/square?a=1\u0026b=\u003c2\u003e"
    TOML
    error_message = "the text:\n${output.deployment.settings.ingest}"
  }
  assert {
    condition     = output.deployment.settings.ingest == output.deployment.settings.processor && !strcontains(output.deployment.settings.archiver, "source") && startswith(output.deployment.settings.ingest, trimsuffix(output.deployment.settings.archiver, "\n"))
    error_message = "the archiver needs no sources, so it gets no secrets"
  }
}

run "who_may_do_what" {
  command = apply

  assert {
    condition     = toset(keys(output.deployment.permissions)) == toset(["ingest", "processor", "archiver", "replay", "reader"])
    error_message = "a list for each role"
  }
  assert {
    condition = one([for one in output.deployment.permissions.ingest : one.resources if one.sid == "Secrets"]) == tolist([
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up-AbCdEf",
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/square-??????",
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up-AbCdEf",
    ])
    error_message = "secrets that are made, and those that exist: ${jsonencode(one([for one in output.deployment.permissions.ingest : one.resources if one.sid == "Secrets"]))}"
  }
}

run "everything_is_there" {
  command = apply

  assert {
    condition     = length(output.deployment.alarms) == 17
    error_message = "alarms: ${jsonencode(output.deployment.alarms)}"
  }
  assert {
    condition     = length(output.deployment.private_subnet_ids) == 2 && output.deployment.address == "made-up.eu-central-1.elb.amazonaws.com"
    error_message = "network and address"
  }
}

run "without_the_service" {
  command = apply
  variables {
    service = null
    sources = [{ name = "adyen", provider = "adyen" }]
    network = {}
  }

  assert {
    condition     = output.deployment.cluster == null && output.deployment.vpc_id == null && output.aws.stream == "ledgerline" && length(output.deployment.alarms) == 15
    error_message = "stream, tables, archive, secrets, roles and alarms only"
  }
}

run "own_network_and_key" {
  command = apply
  variables {
    network     = { vpc_id = "vpc-1", public_subnet_ids = ["subnet-1", "subnet-2"], private_subnet_ids = ["subnet-3"] }
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/mine"
  }

  assert {
    condition     = output.deployment.vpc_id == "vpc-1" && output.deployment.private_subnet_ids == null && tolist(output.deployment.task_network.subnets) == tolist(["subnet-3"])
    error_message = "no network is made"
  }
  assert {
    condition     = output.deployment.kms_key_arn == "arn:aws:kms:eu-central-1:123456789012:key/mine"
    error_message = "nor a key"
  }
}

run "name_too_long" {
  command = plan
  variables { name = "the-payments-of-everybody" }
  expect_failures = [var.name]
}

run "two_sources_of_one_name" {
  command = plan
  variables { sources = [{ name = "a", provider = "stripe" }, { name = "a", provider = "adyen" }] }
  expect_failures = [var.sources]
}

run "source_with_a_slash" {
  command = plan
  variables { sources = [{ name = "a/b", provider = "stripe" }] }
  expect_failures = [var.sources]
}

run "fetching_without_hydrate" {
  command = plan
  variables { sources = [{ name = "a", provider = "stripe", hydrate_per_second = 3 }] }
  expect_failures = [var.sources]
}

run "fetching_without_a_way_out" {
  command = plan
  variables { network = { nat = "none" } }
  expect_failures = [var.network]
}

run "one_subnet" {
  command = plan
  variables { network = { vpc_id = "vpc-1", public_subnet_ids = ["subnet-1"], private_subnet_ids = ["subnet-3"] } }
  expect_failures = [var.network]
}

run "drains_longer_than_it_lives" {
  command = plan
  variables { limits = { drain_seconds_max = 120 } }
  expect_failures = [var.limits]
}

run "logs_for_a_hundred_days" {
  command = plan
  variables { log_days = 100 }
  expect_failures = [var.log_days]
}

run "key_by_its_alias" {
  command = plan
  variables { kms_key_arn = "alias/mine" }
  expect_failures = [var.kms_key_arn]
}

run "unknown_endpoint" {
  command = plan
  variables { endpoints = { sqs = "http://127.0.0.1:1" } }
  expect_failures = [var.endpoints]
}
