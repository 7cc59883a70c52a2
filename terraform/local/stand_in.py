#!/usr/bin/env python3
"""Stand-in for AWS on this machine: moto's server, with the calls mended that the AWS provider for Terraform makes
and moto does not answer, or answers otherwise than AWS.

    stand_in.py -H 127.0.0.1 -p PORT

Nothing is kept beyond the process. IAM is not enforced, and tasks, load balancers and networks are names only. The denies of a
bucket's policy hold, conditions included.

moto's streams never end a closed shard, and its tables and buckets are not as strict as AWS's. So the program may use
other stand-ins for its data: with MIRROR_KINESIS, MIRROR_DYNAMODB and MIRROR_S3 (addresses) in the environment each
stream, table and bucket that is made or deleted here is made or deleted there as well, with the same name, shards, keys
and indexes. A failure there fails the call.
"""

import fnmatch
import json
import os

import boto3
import flask
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.access_control import PermissionResult
from moto.kinesis.responses import KinesisResponse
from moto.s3.models import FakeBucket, S3Backend
from moto.utilities.tagging_service import TaggingService


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


def texts(value):
    """One or several, as policies write both."""
    return value if isinstance(value, list) else [value]


def creates(request):
    """Whether a request makes an object: a put, or the end of an upload; not a part of one, nor its beginning."""
    parted = "uploadId" in request.args
    return request.method == "PUT" and not parted or request.method == "POST" and parted


def holds(operator, key, value, request):
    """One condition of a statement, of those that bucket policies here have; an unknown one ends the call."""
    known = {
        # The wire on this machine is plain and stands for TLS 1.3.
        ("Bool", "aws:SecureTransport"): lambda: value == "true",
        ("NumericLessThan", "s3:TlsVersion"): lambda: 1.3 < float(value),
        ("Null", "s3:if-none-match"): lambda: ("If-None-Match" not in request.headers) == (value == "true"),
        ("Bool", "s3:ObjectCreationOperation"): lambda: creates(request) == (value == "true"),
    }
    return known[operator, key]()


def mend_policies():
    """S3: moto takes a statement without its conditions, so that a deny under conditions denies everything."""
    names = {"s3:HeadObject": "s3:GetObject", "s3:PostObject": "s3:PutObject"}

    def get_permission(self, action, resource):
        request, action = flask.request, names.get(action, action)
        for statement in json.loads(self.policy)["Statement"] if self.policy else []:
            if (
                statement["Effect"] == "Deny"
                and any(fnmatch.fnmatchcase(action, one) for one in texts(statement["Action"]))
                and any(fnmatch.fnmatchcase(resource, one) for one in texts(statement["Resource"]))
                and all(
                    holds(operator, key, value, request)
                    for operator, keys in statement.get("Condition", {}).items()
                    for key, value in keys.items()
                )
            ):
                return PermissionResult.DENIED
        return PermissionResult.NEUTRAL

    FakeBucket.get_permission = get_permission


def client(service, address):
    """A client of another stand-in, with the credentials that the program makes up for `local = true`."""
    region = os.environ.get("AWS_REGION", "eu-central-1")
    settings = Config(retries={"total_max_attempts": 1}, read_timeout=30, s3={"addressing_style": "path"})
    return boto3.client(
        service, endpoint_url=address, region_name=region, aws_access_key_id="local", aws_secret_access_key="local", config=settings
    )


def mirror_kinesis(address):
    """Streams are made and deleted at `address` too."""
    there = client("kinesis", address)

    @after(KinesisResponse, "create_stream")
    def create(self, _answer):
        there.create_stream(StreamName=self._get_param("StreamName"), ShardCount=self._get_param("ShardCount"))

    @after(KinesisResponse, "delete_stream")
    def delete(self, _answer):
        there.delete_stream(StreamName=self._get_param("StreamName") or self._get_param("StreamARN").split("/")[-1])


def mirror_dynamodb(address):
    """Tables are made and deleted at `address` too, with keys and indexes; what is about their operation stays here."""
    there, kept = client("dynamodb", address), ("TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes")

    @after(DynamoHandler, "create_table")
    def create(self, _answer):
        there.create_table(**{key: self.body[key] for key in kept if self.body.get(key)})

    @after(DynamoHandler, "delete_table")
    def delete(self, _answer):
        there.delete_table(TableName=self.body["TableName"].split("/")[-1])


def mirror_s3(address):
    """Buckets are made and deleted at `address` too, as far as it can do that: a server of one bucket must have it. What lies in a
    deleted one is left to that server."""
    there = client("s3", address)

    @after(S3Backend, "create_bucket")
    def create(_self, _answer, bucket_name, *_args, **_kwargs):
        try:
            there.create_bucket(Bucket=bucket_name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NotImplemented", "BucketAlreadyOwnedByYou"):
                raise
            there.list_objects_v2(Bucket=bucket_name, MaxKeys=1)

    @after(S3Backend, "delete_bucket")
    def delete(_self, _answer, bucket_name, *_args, **_kwargs):
        try:
            there.delete_bucket(Bucket=bucket_name)
        except ClientError as error:
            print(f"left at the mirror: {error}", flush=True)


def mend():
    """Puts the mended calls in place, and the mirrors that the environment names."""
    for one in (mend_scaling, mend_services, mend_rules, mend_streams, mend_policies):
        one()
    for name, mirror in (("KINESIS", mirror_kinesis), ("DYNAMODB", mirror_dynamodb), ("S3", mirror_s3)):
        address = os.environ.get(f"MIRROR_{name}")
        if address:
            mirror(address)


if __name__ == "__main__":
    from moto.server import main

    mend()
    main()
