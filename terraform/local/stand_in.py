#!/usr/bin/env python3
"""Stand-in for AWS on this machine: moto's server, with the calls mended that the AWS provider for Terraform makes
and moto does not answer, or answers otherwise than AWS.

    stand_in.py -H 127.0.0.1 -p PORT

Nothing is kept beyond the process. IAM is not enforced, and tasks, load balancers and networks are names only.

moto's streams never end a closed shard, and its tables and buckets are not as strict as AWS's. So the program may use
other stand-ins for its data: with MIRROR_KINESIS, MIRROR_DYNAMODB and MIRROR_S3 (addresses) in the environment each
stream, table and bucket that is made or deleted here is made or deleted there as well, with the same name, shards, keys
and indexes. A failure there fails the call.
"""

import json
import os
import urllib.error
import urllib.request

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.kinesis.responses import KinesisResponse
from moto.s3.models import S3Backend
from moto.utilities.tagging_service import TaggingService

# What a local stand-in takes for a signature: it looks at the service and the region in it, if at all.
CREDENTIAL = "AWS4-HMAC-SHA256 Credential=local/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
# Longest time of a call to another stand-in, seconds.
MIRROR_SECONDS = 30


class Refused(Exception):
    """What another stand-in answered instead of doing it."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def after(owner, name):
    """Decorator: `function(self, answer, *args)` runs after the method `name` of `owner`, whose answer is given back."""

    def decorate(function):
        original = getattr(owner, name)

        def wrapped(self, *args, **kwargs):
            answer = original(self, *args, **kwargs)
            function(self, answer, *args, **kwargs)
            return answer

        setattr(owner, name, wrapped)
        return function

    return decorate


def mend_scaling():
    """Application Auto Scaling: moto forgets the tags of a scalable target and has no calls for them."""
    kept, owner = TaggingService(), ApplicationAutoScalingResponse

    def as_list(tags):
        return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]

    @after(owner, "register_scalable_target")
    def remember(self, answer):
        kept.tag_resource(json.loads(answer)["ScalableTargetARN"], as_list(self._get_param("Tags")))

    def list_tags(self):
        return json.dumps({"Tags": kept.get_tag_dict_for_resource(self._get_param("ResourceARN"))})

    def tag(self):
        kept.tag_resource(self._get_param("ResourceARN"), as_list(self._get_param("Tags")))
        return "{}"

    def untag(self):
        kept.untag_resource_using_names(self._get_param("ResourceARN"), self._get_param("TagKeys") or [])
        return "{}"

    owner.list_tags_for_resource, owner.tag_resource, owner.untag_resource = list_tags, tag, untag


def mend_services():
    """ECS: moto forgets what it does not use of a new service."""

    @after(EC2ContainerServiceResponse, "create_service")
    def remember(self, answer):
        service = answer.result["service"]
        service.enable_ecs_managed_tags = bool(self._get_param("enableECSManagedTags"))
        service.health_check_grace_period_seconds = self._get_param("healthCheckGracePeriodSeconds") or 0
        service.availability_zone_rebalancing = self._get_param("availabilityZoneRebalancing") or "DISABLED"


def mend_rules():
    """EC2: a rule's description is kept with what the rule refers to, be it addresses or a group."""

    def description(self):
        return self.ip_range.get("Description") or (self.source_group or {}).get("Description")

    SecurityGroupRule.description = property(description)


def mend_streams():
    """Kinesis: moto forgets tags that are given with a new stream."""

    @after(KinesisResponse, "create_stream")
    def remember(self, _answer):
        tags = self._get_param("Tags")
        if tags:
            self.kinesis_backend.add_tags_to_stream(stream_arn=None, stream_name=self._get_param("StreamName"), tags=tags)


def send(address, service, method="POST", path="/", target=None, body=b""):
    """One call to another stand-in. An error of it ends this call with its text."""
    region = os.environ.get("AWS_REGION", "eu-central-1")
    headers = {"Authorization": CREDENTIAL.format(region=region, service=service)}
    if target:
        version = "1.0" if service == "dynamodb" else "1.1"
        headers.update({"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{version}", "X-Amz-Date": "20260101T000000Z"})
    request = urllib.request.Request(address.rstrip("/") + path, data=body, method=method, headers=headers)
    try:
        urllib.request.urlopen(request, timeout=MIRROR_SECONDS).read()
    except urllib.error.HTTPError as error:
        raise Refused(error.code, f"{target or method} at {address}: {error.code} {error.read()[:500]!r}") from error


def mirror_kinesis(address):
    """Streams are made and deleted at `address` too."""

    def call(name, **body):
        send(address, "kinesis", target=f"Kinesis_20131202.{name}", body=json.dumps(body).encode())

    @after(KinesisResponse, "create_stream")
    def create(self, _answer):
        call("CreateStream", StreamName=self._get_param("StreamName"), ShardCount=self._get_param("ShardCount"))

    @after(KinesisResponse, "delete_stream")
    def delete(self, _answer):
        call("DeleteStream", StreamName=self._get_param("StreamName") or self._get_param("StreamARN").split("/")[-1])


def mirror_dynamodb(address):
    """Tables are made and deleted at `address` too, with keys and indexes; what is about their operation stays here."""
    kept = ("TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes")

    def call(name, body):
        send(address, "dynamodb", target=f"DynamoDB_20120810.{name}", body=json.dumps(body).encode())

    @after(DynamoHandler, "create_table")
    def create(self, _answer):
        call("CreateTable", {key: self.body[key] for key in kept if self.body.get(key)})

    @after(DynamoHandler, "delete_table")
    def delete(self, _answer):
        call("DeleteTable", {"TableName": self.body["TableName"].split("/")[-1]})


def mirror_s3(address):
    """Buckets are made and deleted at `address` too, as far as it can do that: a server of one bucket answers 501, and must
    have it. What lies in a deleted one is left to that server."""

    @after(S3Backend, "create_bucket")
    def create(_self, _answer, bucket_name, *_args, **_kwargs):
        try:
            send(address, "s3", method="PUT", path=f"/{bucket_name}")
        except Refused as error:
            if error.status not in (409, 501):
                raise
            send(address, "s3", method="GET", path=f"/{bucket_name}?list-type=2&max-keys=1")

    @after(S3Backend, "delete_bucket")
    def delete(_self, _answer, bucket_name, *_args, **_kwargs):
        try:
            send(address, "s3", method="DELETE", path=f"/{bucket_name}")
        except Refused as error:
            print(f"left at the mirror: {error}", flush=True)


def mend():
    """Puts the mended calls in place, and the mirrors that the environment names."""
    for one in (mend_scaling, mend_services, mend_rules, mend_streams):
        one()
    for name, mirror in (("KINESIS", mirror_kinesis), ("DYNAMODB", mirror_dynamodb), ("S3", mirror_s3)):
        address = os.environ.get(f"MIRROR_{name}")
        if address:
            mirror(address)


if __name__ == "__main__":
    from moto.server import main

    mend()
    main()
