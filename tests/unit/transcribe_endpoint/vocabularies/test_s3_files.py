"""Vocabulary files in S3, without one."""

from __future__ import annotations

import io
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from speech.vocabularies import MAX_BYTES
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.vocabularies.s3_files import s3_at

pytestmark = pytest.mark.unit


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    client = boto3.session.Session().client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 - made up
    )

    def made(_: str, **options: Any) -> Any:
        assert options["endpoint_url"] == "http://s3.test"
        return client

    monkeypatch.setattr(boto3, "client", made)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


def body(content: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(content), len(content))}


async def test_a_file_is_read_from_its_bucket(stub: Stubber) -> None:
    stub.add_response("get_object", body(b"Ada"), {"Bucket": "files", "Key": "a/names.txt"})

    assert await s3_at("http://s3.test")("s3://files/a/names.txt") == b"Ada"


async def test_of_a_large_file_no_more_is_read_than_shows_that_it_is_too_large(
    stub: Stubber,
) -> None:
    content = io.BytesIO(bytes(10 * MAX_BYTES))
    stub.add_response("get_object", {"Body": StreamingBody(content, 10 * MAX_BYTES)})

    found = await s3_at("http://s3.test")("s3://files/names.txt")

    assert len(found) == content.tell() == MAX_BYTES + 1


async def test_a_file_that_is_not_there_is_refused(stub: Stubber) -> None:
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)

    with pytest.raises(BadRequest, match="can't be accessed"):
        await s3_at("http://s3.test")("s3://files/names.txt")


@pytest.mark.parametrize("address", ["s3://files/\ud800", "s3://\ud800/names.txt"])
async def test_a_name_that_nothing_can_have_is_refused(stub: Stubber, address: str) -> None:
    stub.add_response("get_object", body(b"Ada"))

    with pytest.raises(BadRequest, match="can't be accessed"):
        await s3_at("http://s3.test")(address)


@pytest.mark.parametrize(
    "address",
    ["https://files.s3.amazonaws.com/names.txt", "s3://files", "s3:///names.txt", "s3://files/"],
)
async def test_other_addresses_are_refused(stub: Stubber, address: str) -> None:
    with pytest.raises(BadRequest, match="s3://BUCKET/KEY"):
        await s3_at("http://s3.test")(address)
    stub.assert_no_pending_responses()
