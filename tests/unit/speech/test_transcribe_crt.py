from __future__ import annotations

import inspect

import pytest
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.model import StartStreamTranscriptionRequest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.transcribe.crt import Body
from speech.engines.transcribe.http2 import _Serializer, sdk_arguments
from speech.engines.transcribe.options import TranscribeOptions

pytestmark = pytest.mark.unit


def read(body: Body, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: body.readinto1(buffer)])


@given(chunks=st.lists(st.binary(max_size=40), max_size=10), size=st.integers(1, 50))
def test_what_is_written_is_read_in_order_and_waits_until_then(
    chunks: list[bytes], size: int
) -> None:
    emptied: list[int] = []
    body = Body(lambda: emptied.append(body.waiting))
    for chunk in chunks:
        body.write(chunk)
    whole = b"".join(chunks)
    got = b""
    while len(got) < len(whole):
        assert body.waiting == len(whole) - len(got)
        got += read(body, size)
    assert got == whole
    assert emptied == ([0] if whole else [])

    with pytest.raises(BlockingIOError):
        read(body, size)
    body.end_stream()
    assert read(body, size) == b""


def test_a_body_that_is_closed_holds_and_takes_nothing() -> None:
    asked = Body._open
    body = Body(lambda: None)
    assert Body._open == asked + 1
    body.write(b"audio")
    body.close()
    body.write(b"more")
    body.close()

    assert body.waiting == 0
    assert read(body, 10) == b""
    assert Body._open == asked


@pytest.mark.parametrize(
    "options",
    [
        TranscribeOptions(
            language="en-US",
            vocabularies=("words",),
            vocabulary_filters=("filter",),
            filter_method="mask",
            language_model="model",
            speaker_labels=True,
            stability="high",
            pii="redact",
            pii_types=("NAME", "EMAIL"),
        ),
        TranscribeOptions(
            language="en-US",
            identify="several",
            languages=("en-US", "fr-FR"),
            vocabularies=("one", "two"),
            vocabulary_filters=("three", "four"),
            channels=2,
            pii="identify",
        ),
        TranscribeOptions(language="en-US", transcript_format="spoken", resume_window=30),
        TranscribeOptions(language="fr-FR", identify="one", languages=("en-US", "fr-FR")),
    ],
)
def test_the_sdk_knows_every_option(options: TranscribeOptions) -> None:
    arguments = sdk_arguments(options.parameters())

    inspect.signature(TranscribeStreamingClient.start_stream_transcription).bind(None, **arguments)
    assert arguments["media_sample_rate_hz"] == "16000"
    shape = StartStreamTranscriptionRequest(**arguments)  # type: ignore[no-untyped-call]  # the SDK leaves it so
    request = _Serializer(Body(lambda: None), options.parameters())
    headers = request.serialize_start_stream_transcription_request("https://x", shape).headers
    assert headers.items() >= {
        (f"x-amzn-transcribe-{name}", value) for name, value in options.parameters().items()
    }
    if options.identify:
        assert arguments["language_code"] is None
        assert arguments["language_options"] == list(options.languages)
