from __future__ import annotations

import json

import pytest
from amazon_transcribe.eventstream import EventStreamBuffer, EventStreamMessageSerializer
from amazon_transcribe.model import AudioEvent
from amazon_transcribe.serialize import AudioEventSerializer
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.errors import EngineError
from speech.engines.transcribe.errors import RequestRefused, ServiceFailed, UnreadableEvent
from speech.engines.transcribe.wire import decode, encode_audio

pytestmark = pytest.mark.unit


def message(body: object, **headers: str) -> bytes:
    headed = {f":{name.replace('_', '-')}": value for name, value in headers.items()}
    encoded: bytes = EventStreamMessageSerializer().serialize(
        {":message-type": "event", ":event-type": "TranscriptEvent", **headed},
        json.dumps(body).encode(),
    )
    return encoded


TRANSCRIPT = {
    "Transcript": {
        "Results": [
            {
                "ResultId": "one",
                "StartTime": 0.5,
                "EndTime": 1.5,
                "IsPartial": False,
                "Alternatives": [{"Transcript": "Hello.", "Items": []}],
            }
        ]
    }
}


@given(pcm=st.binary(max_size=20_000))
def test_audio_is_encoded_as_the_sdk_does_it(pcm: bytes) -> None:
    headers, payload = AudioEventSerializer().serialize(AudioEvent(pcm))

    assert encode_audio(pcm) == EventStreamMessageSerializer().serialize(headers, payload)


def test_a_result_is_decoded() -> None:
    (result,) = decode(message(TRANSCRIPT))

    assert (result.result_id, result.is_partial) == ("one", False)
    assert result.alternatives is not None
    assert result.alternatives[0].transcript == "Hello."


def test_all_events_of_one_message_are_decoded() -> None:
    assert len(decode(message(TRANSCRIPT) * 3)) == 3


def test_an_event_of_another_kind_has_no_results() -> None:
    assert decode(message({"Some": "thing"}, event_type="UtteranceEvent")) == []


def test_an_exception_is_raised_by_its_name() -> None:
    exception = message(
        {"Message": "No such vocabulary."},
        message_type="exception",
        exception_type="BadRequestException",
    )

    with pytest.raises(RequestRefused, match="No such vocabulary"):
        decode(exception)


def test_an_exception_of_an_unknown_name_is_a_failure_of_the_service() -> None:
    for name in ("SDKError", "UnknownServiceException", "Optional", "", "os"):
        with pytest.raises(ServiceFailed):
            decode(message({}, message_type="exception", exception_type=name))


@pytest.mark.parametrize(
    "body",
    [{}, {"Transcript": None}, {"Transcript": {"Results": None}}, [], 7, "text", None,
     {"Transcript": {"Results": [{"Alternatives": [{"Transcript": "x", "Items": [3]}]}]}}],
)  # fmt: skip
def test_what_is_not_in_the_form_of_the_service_is_unreadable(body: object) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(message(body))

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.data())
def test_a_damaged_message_is_unreadable_wherever_it_is_damaged(data: st.DataObject) -> None:
    whole = message(TRANSCRIPT)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]

    with pytest.raises(UnreadableEvent):
        decode(flipped)


@given(st.data())
def test_a_piece_of_a_message_is_unreadable(data: st.DataObject) -> None:
    whole = message(TRANSCRIPT)
    cut = data.draw(st.integers(1, len(whole) - 1))

    with pytest.raises(UnreadableEvent):
        decode(whole[:cut])


@given(noise=st.binary(min_size=1, max_size=400))
def test_noise_is_never_taken_for_a_result(noise: bytes) -> None:
    with pytest.raises(EngineError):
        decode(noise)


def test_audio_is_decoded_by_the_sdk() -> None:
    buffer = EventStreamBuffer()  # type: ignore[no-untyped-call] # the SDK's
    buffer.add_data(encode_audio(b"\x01\x02" * 1_600))

    event = next(buffer)

    assert event.headers[":event-type"] == "AudioEvent"
    assert bytes(event.payload) == b"\x01\x02" * 1_600
