#!/usr/bin/env python3
"""Holds the outputs of a deployment against each other: `check_outputs.py FILE`, where FILE is what `terraform output -json`
wrote. The text of settings that the containers get must say the same as the outputs that are named as settings.
"""

import json
import sys


def without_nulls(value):
    """The value as the program reads it: what Terraform leaves out it writes as null."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def main():
    """See the module."""
    with open(sys.argv[1], encoding="utf-8") as file:
        outputs = without_nulls({name: output["value"] for name, output in json.load(file).items()})
    deployment = outputs.pop("deployment")
    try:
        import tomllib
    except ImportError:
        print("skipped: the text of settings, because this Python is older than 3.11")
        return
    text = tomllib.loads(deployment["settings"]["ingest"])
    text.pop("data")
    text.setdefault("source", [])
    if text != outputs:
        sys.exit(f"the containers' settings differ from the outputs:\n{json.dumps(text)}\n{json.dumps(outputs)}")
    print(f"outputs: {', '.join(sorted(outputs))} say the same as the containers' settings")


if __name__ == "__main__":
    main()
