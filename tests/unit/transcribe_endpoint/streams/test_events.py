"""The body of an HTTP/2 stream: whatever comes is read as audio or refused, never a defect."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from amazon_transcribe.auth import Credentials
from amazon_transcribe.eventstream import EventSigner, EventStreamMessageSerializer
from hypothesis import given
from hypothesis import strategies as st

from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.signatures import ChunkVerifier, SignatureError, Signer
from transcribe_endpoint.streams.events import MAX_ENVELOPE_BYTES, SignedAudio

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNER = Signer(access_key="AKIDEXAMPLE", region="us-east-1", seed=bytes(32), secret="s")  # noqa: S106 - made up
ENCODE = EventStreamMessageSerializer().serialize


def _reader() -> SignedAudio:
    return SignedAudio(ChunkVerifier(SIGNER))


def _body(*payloads: bytes) -> bytes:
    """Return envelopes around so many payloads, as the SDK signs them."""
    signer = EventSigner("transcribe", "us-east-1", utc_now=lambda: NOW)
    body, prior = b"", SIGNER.seed
    for payload in payloads:
        headers = signer.sign(payload, prior, Credentials(SIGNER.access_key, SIGNER.secret))
        signature = headers[":chunk-signature"]
        assert isinstance(signature, bytes)
        prior = signature
        body += ENCODE(headers, payload)
    return body


def _event(audio: bytes) -> bytes:
    headers = {
        ":message-type": "event",
        ":event-type": "AudioEvent",
        ":content-type": "application/octet-stream",
    }
    return ENCODE({**headers}, audio)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 300))
def test_audio_is_read_however_the_body_is_cut(chunks: list[bytes], size: int) -> None:
    body = _body(*(_event(chunk) for chunk in chunks), b"")
    reader = _reader()
    received = [
        audio
        for at in range(0, len(body), size)
        for audio in reader.feed(body[at : at + size], now=NOW)
    ]
    assert received == [*chunks, b""]


@given(st.binary(max_size=300))
def test_nonsense_is_refused_or_awaits_more(data: bytes) -> None:
    received: list[bytes] = []
    with contextlib.suppress(BadRequest):
        received.extend(_reader().feed(data, now=NOW))
    assert received == []


@given(st.binary(min_size=1, max_size=100))
def test_nonsense_that_is_signed_is_refused(payload: bytes) -> None:
    with pytest.raises(BadRequest):
        list(_reader().feed(_body(payload), now=NOW))


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_byte_that_changed_is_noticed(at: int, byte: int) -> None:
    body = bytearray(_body(_event(b"audio"), b""))
    was, body[at % len(body)] = body[at % len(body)], byte
    try:
        received = list(_reader().feed(bytes(body), now=NOW))
    except (BadRequest, SignatureError):
        assert was != byte
    else:
        # A length that has grown makes the reader wait for the rest.
        assert received == [b"audio", b""] or (was != byte and received in ([], [b"audio"]))


def test_an_envelope_that_does_not_end_is_refused_in_time() -> None:
    reader = _reader()
    body = _body(_event(bytes(2 * MAX_ENVELOPE_BYTES)))
    fed = 0
    with pytest.raises(BadRequest, match="stream is too big"):
        for at in range(0, len(body), 16_384):
            fed = at
            assert list(reader.feed(body[at : at + 16_384], now=NOW)) == []
    assert fed <= MAX_ENVELOPE_BYTES
