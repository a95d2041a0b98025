"""Writes cdk.context.json where a pipeline synthesises: `python -m scripts.own_values NAME...`.

`OWN_VALUES` holds the values of your own account, in the shape of cdk.context.json; nothing is
written without it. `IMAGE`, as `REPOSITORY@sha256:...`, becomes the service's image in each of
the environments NAME: one image for all of them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CONTEXT = Path(__file__).resolve().parent.parent / "cdk.context.json"
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


class WrongValues(ValueError):
    """What the pipeline was given cannot be used."""


def context(own: str, image: str, environments: Iterable[str]) -> dict[str, Any]:
    """Return the content of cdk.context.json.

    Raises:
        WrongValues: the values are no JSON object, or the image has no digest.
    """
    try:
        values = json.loads(own or "{}")
    except ValueError as error:  # the text itself is not quoted: a log is read by many
        raise WrongValues("OWN_VALUES is not JSON") from error
    if not isinstance(values, dict):
        raise WrongValues("OWN_VALUES is not a JSON object")
    if not image:
        return values
    if not _DIGEST.fullmatch(image):
        raise WrongValues("IMAGE is not of the form REPOSITORY@sha256:DIGEST")
    for name in environments:
        values[name] = _merged(values.get(name, {}), {"live": {"service": {"image": image}}})
    return values


def _merged(ours: object, more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours) if isinstance(ours, Mapping) else {}
    for name, value in more.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(value, Mapping) else value
    return merged


def main(environments: list[str]) -> int:
    """Write the file; return the exit status."""
    try:
        values = context(
            os.environ.get("OWN_VALUES", ""), os.environ.get("IMAGE", ""), environments
        )
    except WrongValues as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if values:
        CONTEXT.write_text(json.dumps(values, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
