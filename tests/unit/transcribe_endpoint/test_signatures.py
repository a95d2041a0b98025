"""The endpoint believes what AWS's own signers sign, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import pytest
from amazon_transcribe.auth import Credentials as SdkCredentials
from amazon_transcribe.eventstream import (
    EventSigner,
    EventStreamBuffer,
    EventStreamMessageSerializer,
)
from amazon_transcribe.request import HeadersDict, PreparedRequest
from amazon_transcribe.signer import SigV4RequestSigner
from amazon_transcribe.structures import BufferableByteStream
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, example, given
from hypothesis import strategies as st

from transcribe_endpoint.signatures import (
    ChunkVerifier,
    Expired,
    IncompleteSignature,
    MissingSignature,
    SignatureError,
    Signer,
    UnknownKey,
    WrongSignature,
    verify_headers,
    verify_presigned,
)

pytestmark = pytest.mark.unit

KEY, TOKEN = "AKIDEXAMPLE", "to/ken+=="
SECRET, OTHER_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "another"
TEMPORARY = "ASIAEXAMPLE"
SECRETS = {KEY: SECRET, TEMPORARY: SECRET}
NOW = datetime(2026, 11, 21, 23, 58, 30, tzinfo=UTC)
HOST = "localhost:8443"
PATH = "/stream-transcription-websocket"

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@contextmanager
def _botocore_at(now: datetime) -> Iterator[None]:
    with patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        yield


def _presigned(
    parameters: dict[str, str] | None = None,
    *,
    key: str = KEY,
    secret: str = SECRET,
    token: str | None = None,
    expires: int = 300,
    service: str = "transcribe",
    region: str = "eu-central-1",
) -> str:
    """Return the query of an address that botocore presigned at `NOW`."""
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in (parameters or {"language-code": "en-US"}).items()
    )
    request = AWSRequest("GET", f"wss://{HOST}{PATH}?{query}")
    with _botocore_at(NOW):
        credentials = Credentials(key, secret, token)
        SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return urlsplit(str(request.url)).query


def _verify_presigned(
    query: str, *, path: str = PATH, host: str = HOST, now: datetime = NOW
) -> Signer:
    return verify_presigned("GET", path, query, {"host": host}, secrets=SECRETS, now=now)


def _signed_headers(
    headers: dict[str, str],
    *,
    key: str = KEY,
    secret: str = SECRET,
    token: str | None = None,
    url: str = "https://localhost/stream-transcription",
) -> dict[str, str]:
    """Return the headers of a request that botocore signed at `NOW`, as a server reads them."""
    request = AWSRequest("POST", url, headers=headers)
    with _botocore_at(NOW):
        SigV4Auth(Credentials(key, secret, token), "transcribe", "us-east-1").add_auth(request)
    found = {name.lower(): value for name, value in request.headers.items()}
    return {"host": urlsplit(url).netloc} | found


def _verify_headers(headers: dict[str, str], *, query: str = "", now: datetime = NOW) -> Signer:
    return verify_headers("POST", "/stream-transcription", query, headers, secrets=SECRETS, now=now)


# --- presigned addresses ------------------------------------------------------------------


@given(st.dictionaries(texts, texts, min_size=1, max_size=5))
@example({"session-id": "a b+c/d=e&f%20~"})
def test_what_botocore_presigns_is_believed(parameters: dict[str, str]) -> None:
    assume(not any(name.lower().startswith("x-amz-") for name in parameters))
    signer = _verify_presigned(_presigned(parameters))
    assert (signer.access_key, signer.region) == (KEY, "eu-central-1")


def test_a_session_token_is_part_of_what_is_signed() -> None:
    query = _presigned(key=TEMPORARY, token=TOKEN)
    assert _verify_presigned(query).access_key == TEMPORARY
    with pytest.raises(WrongSignature):
        _verify_presigned(query.replace("to%2Fken", "to%2Fkem"))


def test_temporary_credentials_need_their_token() -> None:
    with pytest.raises(UnknownKey, match="security token included in the request is invalid"):
        _verify_presigned(_presigned(key=TEMPORARY))


@pytest.mark.parametrize(
    ("of", "instead"),
    [
        ("language-code=en-US", "language-code=en-GB"),
        ("language-code=en-US", "language-code=en-US&sample-rate=8000"),
        ("language-code=en-US&", ""),
        ("X-Amz-Expires=60", "X-Amz-Expires=61"),
        ("eu-central-1", "eu-central-2"),
    ],
)
def test_a_changed_address_is_refused(of: str, instead: str) -> None:
    query = _presigned(expires=60)
    assert of in query
    with pytest.raises(WrongSignature):
        _verify_presigned(query.replace(of, instead))


def test_path_host_and_secret_are_part_of_what_is_signed() -> None:
    query = _presigned()
    for path, host in ((PATH + "/", HOST), (PATH, "localhost:8444")):
        with pytest.raises(WrongSignature):
            _verify_presigned(query, path=path, host=host)
    with pytest.raises(WrongSignature, match="Check your AWS Secret Access Key"):
        _verify_presigned(_presigned(secret=OTHER_SECRET))


def test_an_address_holds_until_it_expires() -> None:
    query = _presigned(expires=60)
    _verify_presigned(query, now=NOW + timedelta(seconds=60))
    with pytest.raises(Expired) as refused:
        _verify_presigned(query, now=NOW + timedelta(seconds=61))
    assert str(refused.value) == (
        "Signature expired: 20261121T235830Z is now earlier than 20261121T235831Z "
        "(20261121T235931Z - 1 min.)"
    )


def test_an_address_from_the_future_is_refused() -> None:
    _verify_presigned(_presigned(), now=NOW - timedelta(minutes=5))
    with pytest.raises(Expired, match=r"not yet current: 20261121T235830Z is still later than"):
        _verify_presigned(_presigned(), now=NOW - timedelta(minutes=5, seconds=1))


def test_no_address_holds_longer_than_five_minutes() -> None:
    with pytest.raises(IncompleteSignature, match="between 1 and 300"):
        _verify_presigned(_presigned(expires=301))


def test_a_key_nobody_has_is_refused() -> None:
    with pytest.raises(UnknownKey) as refused:
        _verify_presigned(_presigned(key="AKIDOTHER"))
    assert (refused.value.error_type, refused.value.status) == ("UnrecognizedClientException", 403)


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(IncompleteSignature, match="correct service: 'transcribe'"):
        _verify_presigned(_presigned(service="translate"))


def test_an_address_without_signature_is_refused() -> None:
    with pytest.raises(MissingSignature, match="Missing Authentication Token"):
        _verify_presigned("language-code=en-US")


@pytest.mark.parametrize("part", ["Algorithm", "Credential", "Date", "SignedHeaders", "Signature"])
def test_each_part_of_a_presigned_address_is_needed_once(part: str) -> None:
    query = _presigned()
    (pair,) = (pair for pair in query.split("&") if pair.startswith(f"X-Amz-{part}="))
    without = "&".join(other for other in query.split("&") if other != pair)
    for wrong in (without, f"{query}&{pair}", f"{without}&X-Amz-{part}=nonsense"):
        with pytest.raises(SignatureError):
            _verify_presigned(wrong)


@given(st.text(max_size=200), st.text(max_size=30))
@example("X-Amz-Expires=\u0663\u0660", "\ud800")
def test_nonsense_in_a_query_is_refused_and_never_fails(query: str, host: str) -> None:
    with pytest.raises(SignatureError):
        _verify_presigned(query, host=host)
    with pytest.raises(SignatureError):
        _verify_presigned(f"{_presigned()}&{query}\ud800", host=host)


# --- signed headers -----------------------------------------------------------------------

header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(header_values, st.booleans())
@example("  two   spaces ", True)
def test_what_botocore_signs_in_headers_is_believed(value: str, temporary: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    headers = _signed_headers(
        {"x-amzn-transcribe-vocabulary-name": value},
        key=TEMPORARY if temporary else KEY,
        token=TOKEN if temporary else None,
    )
    signer = _verify_headers(headers)
    assert (signer.access_key, signer.region) == (TEMPORARY if temporary else KEY, "us-east-1")


def test_a_changed_header_is_refused() -> None:
    headers = _signed_headers({"x-amzn-transcribe-sample-rate": "16000"})
    for changed in (
        headers | {"x-amzn-transcribe-sample-rate": "8000"},
        headers | {"host": "elsewhere"},
        headers | {"x-amz-content-sha256": "0" * 64},
    ):
        with pytest.raises(WrongSignature):
            _verify_headers(changed)
    with pytest.raises(WrongSignature):
        _verify_headers(headers, query="a=b")


def test_headers_hold_for_five_minutes() -> None:
    headers = _signed_headers({})
    _verify_headers(headers, now=NOW + timedelta(minutes=5))
    with pytest.raises(Expired, match=r"\(20261122T000331Z - 5 min\.\)"):
        _verify_headers(headers, now=NOW + timedelta(minutes=5, seconds=1))


def test_http2_has_the_host_under_another_name() -> None:
    headers = _signed_headers({})
    headers[":authority"] = headers.pop("host")
    _verify_headers(headers)


def test_node_signs_the_authority() -> None:
    headers = _signed_headers({":authority": "localhost"})
    headers[":authority"] = headers.pop("host")
    assert ":authority;host" in headers["authorization"]
    _verify_headers(headers)


def test_the_host_has_to_be_signed() -> None:
    headers = _signed_headers({})
    headers["authorization"] = headers["authorization"].replace("=host;", "=")
    with pytest.raises(IncompleteSignature, match="'Host' or ':authority' must be"):
        _verify_headers(headers)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer abc", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a, Signature=b"],
)
def test_other_authorizations_are_refused(authorization: str) -> None:
    with pytest.raises((MissingSignature, IncompleteSignature)):
        _verify_headers({"host": "localhost", "authorization": authorization})


@given(st.text(max_size=100), st.text(max_size=20))
def test_nonsense_in_headers_is_refused_and_never_fails(authorization: str, date: str) -> None:
    scope = "AKIDEXAMPLE/20261121/us-east-1/transcribe/aws4_request"
    for value in (
        authorization,
        f"AWS4-HMAC-SHA256 {authorization}",
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={authorization}",
    ):
        with pytest.raises(SignatureError):
            _verify_headers({"host": "localhost", "authorization": value, "x-amz-date": date})


def test_what_the_sdk_signs_is_believed() -> None:
    # Its signer asks the clock of the machine, so the verifier does as well.
    headers = HeadersDict(  # type: ignore[no-untyped-call]  # the SDK has no annotation here
        {"host": "localhost", "x-amzn-transcribe-sample-rate": "16000"}
    )
    request = PreparedRequest(  # type: ignore[no-untyped-call]  # the SDK has no annotation here
        "https://localhost:1234",
        "/stream-transcription",
        "POST",
        headers,
        BufferableByteStream(),  # type: ignore[no-untyped-call]  # the SDK has no annotation here
        "",
    )
    credentials = SdkCredentials(TEMPORARY, SECRET, "token")
    sdk = SigV4RequestSigner("transcribe", "us-east-1")  # type: ignore[no-untyped-call]  # the SDK has no annotation here
    signed = sdk.sign(request, credentials)
    found = {name.lower(): value for name, value in signed.headers.as_list()}
    found[":authority"] = found.pop("host")
    signer = _verify_headers(found, now=datetime.now(UTC))
    assert signer.seed.hex() == found["authorization"].rpartition("Signature=")[2]


# --- frames -------------------------------------------------------------------------------


class _Sender:
    """Signs frames as the SDK does, at the given times."""

    def __init__(self, seed: bytes, *, secret: str = SECRET) -> None:
        self.now = NOW
        self.prior = seed
        self._signer = EventSigner("transcribe", "us-east-1", utc_now=lambda: self.now)
        self._credentials = SdkCredentials(KEY, secret)

    def frame(self, payload: bytes) -> tuple[dict[str, object], bytes]:
        """Return headers and payload as they come out of the decoder at the other end."""
        headers = self._signer.sign(payload, self.prior, self._credentials)
        signature = headers[":chunk-signature"]
        assert isinstance(signature, bytes)
        self.prior = signature
        buffer = EventStreamBuffer()  # type: ignore[no-untyped-call]  # the SDK has no annotation here
        buffer.add_data(EventStreamMessageSerializer().serialize(headers, payload))
        message = next(iter(buffer))
        return message.headers, message.payload


@pytest.fixture
def signer() -> Signer:
    return _verify_headers(_signed_headers({}))


def _seed() -> Signer:
    return Signer(access_key=KEY, region="us-east-1", seed=b"\x01" * 32, secret=SECRET)


@given(st.lists(st.tuples(st.binary(max_size=64), st.integers(0, 200_000)), max_size=8))
def test_a_chain_of_frames_is_believed(frames: list[tuple[bytes, int]]) -> None:
    """The clock of the sender moves by so many milliseconds, also past midnight."""
    sender, verifier = _Sender(_seed().seed), ChunkVerifier(_seed())
    for payload, milliseconds in frames:
        sender.now += timedelta(milliseconds=milliseconds)
        verifier.verify(*sender.frame(payload), now=sender.now)


def test_no_frame_can_be_left_out_repeated_or_exchanged(signer: Signer) -> None:
    sender = _Sender(signer.seed)
    first, second, third = (sender.frame(payload) for payload in (b"one", b"two", b""))

    verifier = ChunkVerifier(signer)
    verifier.verify(*first, now=NOW)
    for wrong in (first, third):
        with pytest.raises(WrongSignature):
            verifier.verify(*wrong, now=NOW)
    verifier.verify(*second, now=NOW)
    verifier.verify(*third, now=NOW)


def test_a_changed_frame_is_refused(signer: Signer) -> None:
    headers, payload = _Sender(signer.seed).frame(b"audio")
    date = headers[":date"]
    assert isinstance(date, int)
    for changed in (headers | {":date": date + 1}, headers | {":chunk-signature": b""}):
        with pytest.raises(WrongSignature):
            ChunkVerifier(signer).verify(changed, payload, now=NOW)
    with pytest.raises(WrongSignature):
        ChunkVerifier(signer).verify(headers, b"other", now=NOW)


def test_a_frame_signed_with_another_secret_is_refused(signer: Signer) -> None:
    headers, payload = _Sender(signer.seed, secret=OTHER_SECRET).frame(b"audio")
    with pytest.raises(WrongSignature):
        ChunkVerifier(signer).verify(headers, payload, now=NOW)


def test_a_frame_holds_for_five_minutes(signer: Signer) -> None:
    """Who sends a recording faster than it plays back may sign long before it is read."""
    frame = _Sender(signer.seed).frame(b"audio")
    with pytest.raises(Expired) as refused:
        ChunkVerifier(signer).verify(*frame, now=NOW + timedelta(minutes=5, seconds=1))
    assert str(refused.value) == (
        "Signature expired: 20261121T235830Z is now earlier than 20261121T235831Z "
        "(20261122T000331Z - 5 min.)"
    )
    with pytest.raises(Expired):
        ChunkVerifier(signer).verify(*frame, now=NOW - timedelta(minutes=5, seconds=1))


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, MissingSignature),
        ({":date": 0}, MissingSignature),
        ({":chunk-signature": b"1" * 32}, IncompleteSignature),
        ({":chunk-signature": "1" * 64, ":date": 0}, IncompleteSignature),
        ({":chunk-signature": b"1" * 32, ":date": "today"}, IncompleteSignature),
        ({":chunk-signature": b"1" * 32, ":date": True}, IncompleteSignature),
        ({":chunk-signature": b"1" * 32, ":date": 2**63 - 1}, IncompleteSignature),
        ({":chunk-signature": b"1" * 32, ":date": -(2**63)}, IncompleteSignature),
        ({":chunk-signature": b"1" * 32, ":date": 0}, Expired),
    ],
)
def test_frames_that_are_not_signed_are_refused(
    signer: Signer, headers: dict[str, object], error: type[SignatureError]
) -> None:
    with pytest.raises(error):
        ChunkVerifier(signer).verify(headers, b"", now=NOW)


def test_the_date_is_signed_as_it_is_encoded(signer: Signer) -> None:
    """Milliseconds count although the string to sign shows seconds."""
    sender = _Sender(signer.seed)
    sender.now = NOW + timedelta(milliseconds=999)
    headers, payload = sender.frame(b"audio")
    assert struct.pack("!q", round(sender.now.timestamp() * 1000))[-2:] != b"\x00\x00"
    ChunkVerifier(signer).verify(headers, payload, now=NOW)


def test_secrets_do_not_show(signer: Signer) -> None:
    assert SECRET not in repr(signer)
    assert signer.seed.hex() not in repr(signer)
