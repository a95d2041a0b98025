"""Whatever expires stands in docs/delivery.md, with who still uses it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import own_values
from speech.engines.transcribe.presign import EXPIRES_SECONDS
from tests.support.assembly import Assembly

pytestmark = pytest.mark.unit

ROOT = Path(own_values.__file__).parents[1]
PAGE = (ROOT / "docs" / "delivery.md").read_text()
TABLE = PAGE[PAGE.index("## What expires") : PAGE.index("## What was not verified")]
DAY = 24 * 60 * 60


def rows(name: str) -> list[str]:
    """The rows about a thing, by its logical id."""
    return [
        row
        for row in TABLE.splitlines()
        for pattern in re.findall(r"`([\w/*]+)`", row.split("|")[1] if "|" in row else "")
        if fnmatch.fnmatchcase(name, pattern.replace("/", ""))
    ]


def days(resource: dict[str, Any]) -> Iterator[int]:
    """After how many days something of a resource goes."""
    properties = resource["Properties"]
    for rule in properties.get("LifecycleConfiguration", {}).get("Rules", []):
        yield from (
            found
            for found in (
                rule.get("ExpirationInDays"),
                rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
                rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
            )
            if found
        )
    if "RetentionInDays" in properties:
        yield properties["RetentionInDays"]
    recovery = properties.get("PointInTimeRecoverySpecification", {})
    if "RecoveryPeriodInDays" in recovery:
        yield recovery["RecoveryPeriodInDays"]


def times(resource: dict[str, Any]) -> Iterator[str]:
    """The same as the table has it, and what goes within a day."""
    yield from (f"{each} day" if each == 1 else f"{each} days" for each in days(resource))
    seconds = resource["Properties"].get("MessageRetentionPeriod", 0)
    if seconds >= DAY:
        yield f"{seconds // DAY} days"
    elif seconds:
        yield f"{seconds // 60} minutes"


def expiring(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, mark in (
        ("AWS::S3::Bucket", "LifecycleConfiguration"),
        ("AWS::Logs::LogGroup", "RetentionInDays"),
        ("AWS::SQS::Queue", "MessageRetentionPeriod"),
        ("AWS::DynamoDB::Table", "TimeToLiveSpecification"),
        ("AWS::ECR::Repository", "LifecyclePolicy"),
    ):
        for where, resource in assembly.resources(kind):
            if mark in resource["Properties"]:
                yield where.rpartition("/")[2][:-8], resource


def test_whatever_expires_is_in_the_table_with_its_time(assembly: Assembly) -> None:
    found = list(expiring(assembly))

    assert {resource["Type"] for _, resource in found} >= {
        "AWS::ECR::Repository",
        "AWS::S3::Bucket",
    }
    for name, resource in found:
        (row,) = rows(name)
        for each in times(resource):
            assert re.search(rf"\b{each}\b", row), (name, each)


def test_every_log_has_an_end(assembly: Assembly) -> None:
    for where, group in assembly.resources("AWS::Logs::LogGroup"):
        assert group["Properties"].get("RetentionInDays"), where


def test_the_table_names_nothing_that_is_gone(assembly: Assembly) -> None:
    names = {name for name, _ in expiring(assembly)}

    for row in TABLE.splitlines():
        if row.startswith("| `"):
            for pattern in re.findall(r"`([\w/*]+)`", row.split("|")[1]):
                assert fnmatch.filter(names, pattern.replace("/", "")), pattern


def test_utterances_expire_as_documented(assembly: Assembly) -> None:
    (row,) = rows("ConversationsTable")
    kept = {
        int(function["Properties"]["Environment"]["Variables"]["RETENTION_DAYS"])
        for _, function in assembly.resources("AWS::Lambda::Function")
        if "RETENTION_DAYS" in str(function["Properties"].get("Environment"))
    }

    assert kept == {7, 30, 365}
    assert all(re.search(rf"\b{each}\b", row) for each in kept)


def test_artifacts_of_pipelines_expire_as_documented() -> None:
    assembly = (ROOT / ".github/workflows/assembly.yml").read_text()

    assert "retention-days: 90" in assembly
    assert "artifacts of GitHub | 90 days" in TABLE
    assert f"| {EXPIRES_SECONDS // 60} minutes |" in TABLE
