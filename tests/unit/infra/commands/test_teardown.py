"""Tear-down: recordings go only where they are not protected, and only when asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.commands import teardown
from infra.commands.teardown import Leftovers, find_leftovers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

pytestmark = pytest.mark.unit

SMOKE_KEY = "/cloudscribe/demo/smoke-key"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def assembly(tmp_path: Path) -> str:
    """What a synth of `demo` for us-east-1 leaves."""
    place = {"environment": "aws://unknown-account/us-east-1"}
    manifest = {"artifacts": {"cloudscribe-demo-data": place}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return f"--assembly={tmp_path}"


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with mock_aws():
        yield boto3.client("s3")


@pytest.fixture
def bucket(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with a recording of two versions, and one that was deleted."""
    s3.create_bucket(Bucket="recordings")
    s3.put_bucket_versioning(Bucket="recordings", VersioningConfiguration={"Status": "Enabled"})
    for key in ("uploads/a.wav", "uploads/a.wav", "uploads/b.wav"):
        s3.put_object(Bucket="recordings", Key=key, Body=b"sound")
    s3.delete_object(Bucket="recordings", Key="uploads/b.wav")
    found = Leftovers("recordings", "/cloudscribe/demo/ticket-keys", SMOKE_KEY)
    monkeypatch.setattr(teardown, "find_leftovers", lambda _client, _name: found)
    return "recordings"


def left(s3: S3Client, bucket: str) -> int:
    answer = s3.list_object_versions(Bucket=bucket)
    return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))


def names(ssm: SSMClient) -> set[str]:
    pages = ssm.get_paginator("describe_parameters").paginate()
    return {each["Name"] for page in pages for each in page["Parameters"]}


def found_for(*, outputs: dict[str, str] | None) -> Leftovers | None:
    """Return what would be deleted of a data stack with these outputs."""
    client = boto3.client("cloudformation", region_name="us-east-1")
    with Stubber(client) as stubber:
        if outputs is None:
            stubber.add_client_error(
                "describe_stacks", "ValidationError", "Stack with id x does not exist"
            )
        else:
            described = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
            stack = {"StackName": "s", "CreationTime": NOON, "StackStatus": "CREATE_COMPLETE"}
            stubber.add_response("describe_stacks", {"Stacks": [{**stack, "Outputs": described}]})
        return find_leftovers(client, "demo")


def test_a_yes_empties_the_bucket_so_that_it_can_be_deleted(
    s3: S3Client, bucket: str, assembly: str
) -> None:
    assert teardown.main(["demo", assembly], ask=lambda _: "y") == 0
    assert left(s3, bucket) == 0


def test_a_no_keeps_the_recordings(s3: S3Client, bucket: str, assembly: str) -> None:
    assert teardown.main(["demo", assembly], ask=lambda _: "") == 1
    assert left(s3, bucket) == 4


def test_an_environment_that_was_never_synthesised_is_an_error(assembly: str) -> None:
    assert teardown.main(["prod", assembly]) == 2


def test_protected_recordings_are_not_touched() -> None:
    outputs = {"RecordingsBucketName": "recordings", "DataProtected": "true"}

    assert found_for(outputs=outputs) is None
    assert found_for(outputs={**outputs, "DataProtected": "false"}) == Leftovers("recordings", None)


@pytest.mark.usefixtures("bucket", "s3")
def test_the_keys_of_tickets_go_and_no_others(assembly: str) -> None:
    ssm = boto3.client("ssm")
    keys = [f"/cloudscribe/demo/ticket-keys/{number}" for number in range(12)]
    others = ["/cloudscribe/demo2/ticket-keys/1", "/cloudscribe/demo/edge"]
    for name in [*keys, SMOKE_KEY, *others]:
        ssm.put_parameter(Name=name, Value="private", Type="SecureString")

    assert teardown.main(["demo", assembly], ask=lambda _: "") == 1
    assert names(ssm) == {*keys, SMOKE_KEY, *others}
    assert teardown.main(["demo", assembly], ask=lambda _: "y") == 0

    assert names(ssm) == set(others)


def test_an_environment_with_accounts_names_its_keys() -> None:
    outputs = {
        "RecordingsBucketName": "recordings",
        "DataProtected": "false",
        "TicketKeysPrefix": "/cloudscribe/demo/ticket-keys",
        "SmokeKeyName": SMOKE_KEY,
    }

    assert found_for(outputs=outputs) == Leftovers(
        "recordings", "/cloudscribe/demo/ticket-keys", SMOKE_KEY
    )


def test_an_environment_that_is_gone_needs_nothing() -> None:
    assert found_for(outputs=None) is None
