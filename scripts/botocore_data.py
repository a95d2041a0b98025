"""Leaves of botocore's data what functions need, for a cold start reads it.

botocore describes more than 400 services, which are nine tenths of the layer; most of each
description is its documentation; and one file has the addresses of all services in all regions,
of which every client reads the whole. Without the rest the layer is small, and making two clients
takes a third less time.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: AWS's services that functions use.
SERVICES = frozenset({"cloudwatch", "dynamodb", "ecs", "s3", "sqs"})


def slim(data: Path) -> None:
    """Remove from a copy of botocore's `data` folder what functions do not use."""
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
    """Return a description without the texts about its parts."""
    if isinstance(value, Mapping):
        return {
            name: _undocumented(part)
            for name, part in value.items()
            # A text: there may be a field of this name as well.
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_undocumented(part) for part in value] if isinstance(value, list) else value


def _keep_endpoints(path: Path, endpoints: set[str]) -> None:
    """Remove the addresses of other services; partitions and regions stay."""
    everything = json.loads(path.read_bytes())
    for partition in everything["partitions"]:
        partition["services"] = {
            name: known for name, known in partition["services"].items() if name in endpoints
        }
    _write(path, everything)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
