#!/usr/bin/env python3
"""Holds the calls of a run against what each role may do: `prove_permissions.py CALLS OUTPUTS`.

CALLS is what recorder.py wrote, OUTPUTS what `terraform output -json` wrote. Nothing may be missing: each call is allowed by its
role's list, conditions included, and hits no deny. Nothing may be unused: each action of each role was called on each resource
it is allowed on, or stands in UNUSED with the reason. Prints a table per role; ends with code 1 on anything missing or unused.
"""

import itertools
import json
import re
import sys

# What the run cannot call, and why: role, action and resource, each with IAM's wildcards.
UNUSED = [
    ("*", "kms:*", "*", "the services ask KMS for the role, which the stand-in does not do"),
    ("*", "s3:AbortMultipartUpload", "*", "only after an upload in parts failed, of an object above 16 MiB"),
    ("replay", "s3:PutObject", "*/compacted/*", "only hours that are over are compacted, and the run is within one"),
    ("processor", "kinesis:PutRecords", "*", "appends what was fetched, by HTTPS from the provider's own host"),
    ("processor", "s3:PutObject", "*/claims/*", "large bodies of what was fetched, as above"),
]


def fits(pattern, text):
    """IAM's wildcards: `*` for any text, `?` for one character, nothing else."""
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None


def texts(value):
    """One or several, as policies write both."""
    return value if isinstance(value, list) else [value]


def holds(condition, keys):
    """Whether a condition holds; an operator that is unknown here ends the proof."""
    for operator, wanted in (condition or {}).items():
        name, if_exists = re.fullmatch("(.*?)(IfExists)?", operator).groups()
        matches = {"StringLike": fits, "StringEquals": lambda pattern, text: pattern == text}[name]
        for key, patterns in wanted.items():
            if key not in keys and if_exists:
                continue
            if key not in keys or not any(matches(pattern, keys[key]) for pattern in texts(patterns)):
                return False
    return True


def allows(statement, call):
    """Whether a statement is about a call. Action names know no case."""
    return (
        any(fits(action.lower(), call["action"].lower()) for action in statement["actions"])
        and any(fits(resource, call["resource"]) for resource in statement["resources"])
        and holds(statement.get("condition"), call["keys"])
    )


def exception(role, action, resource):
    """The line of UNUSED that is about a permission; None when there is none."""
    return next((one for one in UNUSED if all(fits(pattern, text) for pattern, text in zip(one, (role, action, resource)))), None)


def missing(permissions, denies, calls):
    """What was called and is not allowed, or is denied."""
    found = set()
    for call in calls:
        said = f"{call['role']}: {call['action']} on {call['resource']} {call['keys'] or ''}".rstrip()
        if not any(allows(statement, call) for statement in permissions.get(call["role"], [])):
            found.add("not allowed: " + said)
        if any(allows(statement, call) for statement in denies):
            found.add("denied: " + said)
    return sorted(found)


def used(statement, action, resource, calls):
    """How many calls one action on one resource of a statement allowed."""
    one = {**statement, "actions": [action], "resources": [resource]}
    return sum(allows(one, call) for call in calls)


def main():
    """See the module."""
    with open(sys.argv[1], encoding="utf-8") as file:
        calls = [json.loads(line) for line in file]
    with open(sys.argv[2], encoding="utf-8") as file:
        deployment = json.load(file)["deployment"]["value"]
    permissions, unused, excused = deployment["permissions"], [], {one: set() for one in UNUSED}
    for role, statements in permissions.items():
        own = [call for call in calls if call["role"] == role]
        print(f"\n{role}: {len(own)} calls")
        for statement in statements:
            for action, resource in itertools.product(statement["actions"], statement["resources"]):
                count, excuse = used(statement, action, resource, own), exception(role, action, resource)
                print(f"  {count or ('–' if excuse else 'none'):>6}  {statement['sid']:<22} {action:<36} {resource}")
                if not count and excuse:
                    excused[excuse].add(role)
                elif not count:
                    unused.append(f"unused: {role}: {action} on {resource} ({statement['sid']})")
    print("\nnot called in the run, and why:")
    for one, roles in excused.items():
        print(f"  {one[1]} ({', '.join(sorted(roles))}): {one[3]}")
    # An excuse that nothing needs would hide what comes later.
    stale = [f"excused for nothing: {' '.join(one[:3])}" for one, roles in excused.items() if not roles]
    faults = missing(permissions, deployment["denies"], calls) + unused + stale
    print("\n" + "\n".join(faults or [f"permissions: {len(calls)} calls, nothing missing, nothing unused"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
