#!/usr/bin/env python3
"""Stand-in for AWS on this machine: moto's server, with the calls mended that the AWS provider for Terraform makes
and moto does not answer, or answers otherwise than AWS.

    stand_in.py -H 127.0.0.1 -p PORT

Nothing is kept beyond the process. IAM is not enforced, and tasks, load balancers and networks are names only.
"""

import json

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.utilities.tagging_service import TaggingService

# Application Auto Scaling: moto forgets the tags of a scalable target and has no calls for them.
SCALING_TAGS = TaggingService()


def as_list(tags):
    """Tags by key, as lists of pairs."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def register_and_tag(original):
    """RegisterScalableTarget that remembers its tags."""

    def register(self):
        answer = original(self)
        SCALING_TAGS.tag_resource(json.loads(answer)["ScalableTargetARN"], as_list(self._get_param("Tags")))
        return answer

    return register


def list_tags(self):
    """ListTagsForResource."""
    return json.dumps({"Tags": SCALING_TAGS.get_tag_dict_for_resource(self._get_param("ResourceARN"))})


def tag(self):
    """TagResource."""
    SCALING_TAGS.tag_resource(self._get_param("ResourceARN"), as_list(self._get_param("Tags")))
    return "{}"


def untag(self):
    """UntagResource."""
    SCALING_TAGS.untag_resource_using_names(self._get_param("ResourceARN"), self._get_param("TagKeys") or [])
    return "{}"


def mend():
    """Puts the mended calls in place."""
    scaling = ApplicationAutoScalingResponse
    scaling.register_scalable_target = register_and_tag(scaling.register_scalable_target)
    scaling.list_tags_for_resource = list_tags
    scaling.tag_resource = tag
    scaling.untag_resource = untag


if __name__ == "__main__":
    from moto.server import main

    mend()
    main()
