"""Reduces botocore's data in the layer to what functions use, because a cold start reads them.

botocore describes more than 400 services, which make nine tenths of the layer. Most of a
description is documentation. One more file holds the endpoints of all services in all regions, and
every client reads all of it. With the reduced data the layer is small, and creating two clients
takes a third less time.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The AWS services that functions call.
SERVICES = frozenset({"cloudwatch", "cognito-idp", "dynamodb", "ecs", "s3", "sqs", "ssm"})


def slim(data: Path) -> None:
    """Remove what functions do not use from a copy of botocore's `data` folder."""
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    endpoints = set[str]()
    for path in sorted(data.glob("*/*/*.json.gz")):
        description = json.loads(gzip.decompress(path.read_bytes()))
        if path.name == "service-2.json.gz":
            endpoints.add(description["metadata"]["endpointPrefix"])
        _write(path.with_suffix(""), _undocumented(description))
        path.unlink()
    for path in data.glob("*/*/examples-1.json"):
        path.unlink()
    _keep_endpoints(data / "endpoints.json", endpoints)


def _undocumented(value: Any) -> Any:
    """Return a description without its documentation."""
    if isinstance(value, Mapping):
        return {
            name: _undocumented(part)
            for name, part in value.items()
            # Documentation is a text; an API's field may have this name, too.
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_undocumented(part) for part in value] if isinstance(value, list) else value


def _keep_endpoints(path: Path, endpoints: set[str]) -> None:
    """Remove the endpoints of other services; partitions and regions stay."""
    everything = json.loads(path.read_bytes())
    for partition in everything["partitions"]:
        partition["services"] = {
            name: known for name, known in partition["services"].items() if name in endpoints
        }
    _write(path, everything)


def _write(path: Path, value: Any) -> None:
    # A new file: the one that is there may be a hard link into an installer's cache.
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
