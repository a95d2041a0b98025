from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError

from speech.engines.transcribe.credentials import CredentialSource
from speech.engines.transcribe.endpoints import websocket_url
from speech.engines.transcribe.errors import CredentialsExpired, CredentialsMissing
from speech.engines.transcribe.presign import presign
from speech.transcribe_api import Operation
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
)

pytestmark = pytest.mark.unit

OLD = Credentials("AKIDOLD", "secret", "token/+=")
NEW = Credentials("AKIDNEW", "secret")


class FakeSession:
    """A botocore session whose chain finds one thing."""

    def __init__(self, found: Credentials | Exception | Callable[[], object] | None) -> None:
        self.found = found

    def get_credentials(self) -> Credentials | None:
        assert threading.current_thread() is not threading.main_thread()
        if isinstance(self.found, Exception):
            raise self.found
        if callable(self.found):
            self.found()
            return None
        return self.found


def source_of(*chain: Credentials | Exception | Callable[[], object] | None) -> CredentialSource:
    """Return a source whose chain finds one after the other when asked anew."""
    sessions = iter([FakeSession(found) for found in chain])
    return CredentialSource(lambda: next(sessions))  # type: ignore[arg-type,return-value] # a stand-in


async def test_credentials_are_looked_up_in_a_thread_and_the_chain_is_kept() -> None:
    source = source_of(OLD)

    first = await source.current(seconds=2)

    assert first == await source.current(seconds=2)
    assert first.access_key == "AKIDOLD"


async def test_what_has_expired_is_looked_up_anew() -> None:
    source = source_of(OLD, NEW)
    source.expired(await source.current(seconds=2))

    assert (await source.current(seconds=2)).access_key == "AKIDNEW"


async def test_what_has_expired_and_is_found_again_is_an_error_that_no_retry_helps() -> None:
    source = source_of(OLD, OLD, NEW)
    source.expired(await source.current(seconds=2))

    with pytest.raises(CredentialsExpired) as caught:
        await source.current(seconds=2)

    assert not caught.value.retryable
    assert (
        await source.current(seconds=2)
    ).access_key == "AKIDNEW"  # a later stream may be luckier


@pytest.mark.parametrize(
    "found", [None, CredentialRetrievalError(provider="p", error_msg="token=secret")]
)
async def test_no_credentials_are_a_named_error(found: Exception | None) -> None:
    with pytest.raises(CredentialsMissing) as caught:
        await source_of(found).current(seconds=2)

    assert not caught.value.retryable
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


async def test_a_provider_that_hangs_is_not_waited_for() -> None:
    hangs = threading.Event()
    source = source_of(lambda: hangs.wait(5))

    with pytest.raises(CredentialsMissing) as caught:
        await source.current(seconds=0.05)
    hangs.set()

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (START_STREAM_TRANSCRIPTION, "/stream-transcription-websocket"),
        (START_MEDICAL_STREAM_TRANSCRIPTION, "/medical-stream-transcription-websocket"),
    ],
)
def test_a_url_is_signed_with_all_that_the_service_needs(operation: Operation, path: str) -> None:
    credentials = ReadOnlyCredentials("AKIDOLD", "secret", "token/+=")

    url = presign(
        websocket_url("eu-west-1", None) + operation.websocket_path,
        {"language-code": "en-US", "language-options": "en-US,fr-FR"},
        region="eu-west-1",
        credentials=credentials,
    )

    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert parts.netloc == "transcribestreaming.eu-west-1.amazonaws.com:8443"
    assert parts.path == path
    assert query["language-options"] == "en-US,fr-FR"
    assert query["X-Amz-Security-Token"] == "token/+="
    assert query["X-Amz-Expires"] == "300"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Credential"].endswith("/eu-west-1/transcribe/aws4_request")
    assert len(query["X-Amz-Signature"]) == 64


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        (None, "wss://transcribestreaming.cn-north-1.amazonaws.com.cn:8443"),
        ("https://localhost:8443/", "wss://localhost:8443"),
        ("wss://vpce.example:8443", "wss://vpce.example:8443"),
        ("http://127.0.0.1:1", "ws://127.0.0.1:1"),
    ],
)
def test_the_address_is_the_regions_or_the_operators(endpoint: str | None, base: str) -> None:
    assert websocket_url("cn-north-1", endpoint) == base


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-northwest-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("ap-southeast-99", "amazonaws.com"),  # not there yet
    ],
)
def test_each_partition_has_its_domain(region: str, domain: str) -> None:
    assert websocket_url(region, None) == f"wss://transcribestreaming.{region}.{domain}:8443"


def test_what_is_no_region_has_no_address() -> None:
    with pytest.raises(ValueError, match="region 'frankfurt'"):
        websocket_url("frankfurt", None)
    assert websocket_url("frankfurt", "wss://vpce.example") == "wss://vpce.example"


@pytest.mark.parametrize("endpoint", ["localhost:8443", "ftp://x", "https://", "https://x?a=b"])
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        websocket_url("us-east-1", endpoint)
