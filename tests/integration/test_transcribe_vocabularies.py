"""Vocabularies and filters at the local endpoint: boto3 makes them, and streams name them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from botocore.config import Config
from botocore.exceptions import ClientError

from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.transports import http1
from transcribe_endpoint.transports.certificates import Certificates, certificates_in
from transcribe_endpoint.transports.http1 import serve_http1
from transcribe_endpoint.transports.http2 import serve_http2
from transcribe_endpoint.vocabularies.operations import VocabularyOperations
from transcribe_endpoint.vocabularies.store import Vocabularies

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIDEXAMPLE", "a-secret"


def service() -> TranscribeService:
    return TranscribeService(
        recogniser=Script.of_text("One two."),
        secrets={KEY: SECRET},
        vocabularies=Vocabularies(pending_seconds=0.0),
    )


async def fetch(address: str) -> bytes:
    if address != "s3://files/table.txt":
        raise BadRequest("The S3 URI cannot be accessed.")
    return b"Phrase\tDisplayAs\nLos-Angeles\tLos Angeles\n"


def client(port: int, *, secret: str = SECRET, tls: Certificates | None = None) -> Any:
    return boto3.session.Session().client(
        "transcribe",
        region_name="eu-central-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=secret,
        endpoint_url=f"{'https' if tls else 'http'}://localhost:{port}",
        verify=str(tls.bundle) if tls else None,
        config=Config(retries={"total_max_attempts": 1}),
    )


Call = Callable[..., Any]


def caller(made: Any) -> Call:
    async def call(operation: str, /, **parameters: Any) -> Any:
        return await asyncio.to_thread(getattr(made, operation), **parameters)

    return call


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    serving = service()
    async with serve_http1(serving, VocabularyOperations(serving.vocabularies, fetch)) as port:
        yield port


@pytest.fixture
def call(port: int) -> Call:
    return caller(client(port))


async def refusal(call: Call, operation: str, **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        await call(operation, **parameters)
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Message"],
    )


async def test_a_vocabulary_is_made_changed_listed_and_deleted(call: Call) -> None:
    made = await call(
        "create_vocabulary", VocabularyName="names", LanguageCode="en-US", Phrases=["Ada-Lovelace"]
    )
    assert made["VocabularyState"] == "READY"

    await call(
        "update_vocabulary",
        VocabularyName="names",
        LanguageCode="en-GB",
        VocabularyFileUri="s3://files/table.txt",
    )
    found = await call("get_vocabulary", VocabularyName="names")
    assert (found["LanguageCode"], found["VocabularyState"]) == ("en-GB", "READY")
    assert found["LastModifiedTime"] >= made["LastModifiedTime"]
    listed = await call("list_vocabularies", StateEquals="READY", NameContains="NAM")
    assert [each["VocabularyName"] for each in listed["Vocabularies"]] == ["names"]

    await call("delete_vocabulary", VocabularyName="names")
    assert (await call("list_vocabularies"))["Vocabularies"] == []


async def test_a_filter_is_made_changed_listed_and_deleted(call: Call) -> None:
    name = {"VocabularyFilterName": "oaths"}
    await call("create_vocabulary_filter", **name, LanguageCode="en-US", Words=["damn"])

    await call("update_vocabulary_filter", **name, Words=["darn"])
    found = await call("get_vocabulary_filter", **name)
    assert found["LanguageCode"] == "en-US"
    listed = await call("list_vocabulary_filters")
    assert [each["VocabularyFilterName"] for each in listed["VocabularyFilters"]] == ["oaths"]

    await call("delete_vocabulary_filter", **name)
    code, status, message = await refusal(call, "get_vocabulary_filter", **name)
    assert (code, status) == ("BadRequestException", 400)
    assert "couldn't be found" in message


async def test_lists_come_in_pages_newest_first(call: Call) -> None:
    for number in range(7):
        await call(
            "create_vocabulary", VocabularyName=f"v{number}", LanguageCode="fr-FR", Phrases=["mot"]
        )

    first = await call("list_vocabularies")
    await call("delete_vocabulary", VocabularyName="v6")
    second = await call("list_vocabularies", NextToken=first["NextToken"])

    names = [each["VocabularyName"] for page in (first, second) for each in page["Vocabularies"]]
    assert names == ["v6", "v5", "v4", "v3", "v2", "v1", "v0"]
    assert "NextToken" not in second
    wrong = await refusal(call, "list_vocabularies", NextToken="x")
    assert wrong[:2] == ("BadRequestException", 400)


NAMED = {"VocabularyName": "names", "LanguageCode": "en-US"}


@pytest.mark.parametrize(
    ("operation", "parameters", "words"),
    [
        ("create_vocabulary", {**NAMED, "VocabularyName": "a b"}, "vocabularyName"),
        ("create_vocabulary", {**NAMED, "LanguageCode": "xx-XX"}, "enum value set"),
        ("create_vocabulary", {**NAMED, "Phrases": ["a" * 257]}, "phrases.1"),
        ("create_vocabulary", NAMED, "either Phrases or"),
        (
            "create_vocabulary",
            {**NAMED, "Phrases": ["a" * 200] * 300},
            "larger than",
        ),
        (
            "create_vocabulary",
            {**NAMED, "VocabularyFileUri": "s3://files/other.txt"},
            "cannot be accessed",
        ),
        ("update_vocabulary", {**NAMED, "Phrases": ["a"]}, "couldn't be found"),
        ("get_vocabulary", {"VocabularyName": "names"}, "couldn't be found"),
        ("delete_vocabulary", {"VocabularyName": "names"}, "couldn't be found"),
        ("list_vocabularies", {"MaxResults": 101}, "maxResults"),
        (
            "create_vocabulary_filter",
            {"VocabularyFilterName": "f", "LanguageCode": "en-US", "Words": ["two words"]},
            "single word",
        ),
    ],
)
async def test_wrong_calls_are_refused(
    call: Call, operation: str, parameters: dict[str, Any], words: str
) -> None:
    found, status, message = await refusal(call, operation, **parameters)

    assert (found, status) == ("BadRequestException", 400)
    assert words in message


async def test_a_name_is_used_once(call: Call) -> None:
    await call("create_vocabulary", **NAMED, Phrases=["a"])

    again = await refusal(call, "create_vocabulary", **NAMED, Phrases=["a"])

    assert again[:2] == ("ConflictException", 409)


async def test_an_account_has_100_vocabularies(call: Call) -> None:
    for number in range(100):
        await call(
            "create_vocabulary", VocabularyName=f"v{number}", LanguageCode="en-US", Phrases=["a"]
        )

    over = await refusal(call, "create_vocabulary", **NAMED, Phrases=["a"])

    assert over[:2] == ("LimitExceededException", 429)


@pytest.mark.parametrize("phrase", ["Los Angeles", "VX02", "C++"])
async def test_phrases_that_amazon_cannot_use_make_a_vocabulary_fail(
    call: Call, phrase: str
) -> None:
    await call("create_vocabulary", **NAMED, Phrases=["fine", phrase])

    found = await call("get_vocabulary", VocabularyName="names")

    assert found["VocabularyState"] == "FAILED"
    assert "Entry 2" in found["FailureReason"]


async def test_the_secret_counts(port: int) -> None:
    wrong = caller(client(port, secret="another"))  # noqa: S106 - made up

    assert (await refusal(wrong, "list_vocabularies"))[:2] == ("InvalidSignatureException", 403)


async def test_the_body_is_signed(port: int) -> None:
    made = client(port)

    def tamper(request: Any, **_: Any) -> None:
        request.body = request.body.replace(b"en-US", b"fr-FR")

    made.meta.events.register("before-send.transcribe", tamper)

    found = await refusal(caller(made), "create_vocabulary", **NAMED, Phrases=["a"])

    assert found[:2] == ("InvalidSignatureException", 403)


async def test_boto3_reads_that_an_operation_is_not_here(call: Call) -> None:
    code, status, message = await refusal(call, "list_transcription_jobs")

    assert (code, status) == ("UnknownOperationException", 404)
    assert "ListTranscriptionJobs" in message


async def test_the_address_of_streams_takes_calls_as_well(tmp_path: Path) -> None:
    certificates = certificates_in(tmp_path)
    async with serve_http2(service(), context=certificates.server_context()) as port:
        call = caller(client(port, tls=certificates))
        await call("create_vocabulary", **NAMED, Phrases=["Ada"])
        found = await call("get_vocabulary", VocabularyName="names")
    assert found["VocabularyState"] == "READY"


async def test_what_is_no_call_gets_amazons_form_of_an_error(port: int) -> None:
    async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/anything") as answer:
        body = json.loads(await answer.read())
    assert answer.status == 403
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert body == {
        "__type": "MissingAuthenticationTokenException",
        "Message": "Missing Authentication Token",
    }


async def test_a_body_is_bounded(port: int) -> None:
    too_long = b"x" * (http1.MAX_BODY_BYTES + 1)
    async with ClientSession() as http, http.post(f"http://127.0.0.1:{port}/", data=too_long) as it:
        assert it.status == 413


async def test_what_is_no_http_is_refused_and_not_quoted(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: a-secret\x00\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()

    assert answer.split(b" ")[1] == b"400"
    assert "a-secret" not in caplog.text


async def test_a_silent_connection_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "CONNECTION_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
