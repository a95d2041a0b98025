"""The service with Amazon Transcribe as its engine, in front of the local endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from client.errors import Refused
from client.live.connection import Message, Speaker
from client.live.endpoints import live_url
from client.live.languages import ask_for_languages
from speech.transcribe_values import START_MEDICAL_STREAM_TRANSCRIPTION
from tests.support.service import RunningService, running_service
from transcribe_endpoint.faults import Fault, Faults
from transcribe_endpoint.recognition.dictation import Dictation, dictate
from transcribe_endpoint.recognition.recogniser import Recogniser, ResultHandler, StreamRecognition
from transcribe_endpoint.requests import TranscribeRequest
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.transports.websocket import serve_websocket
from transcripts.protocol import ERRORS, ErrorCode, Final, Partial, TranscribeParameters

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIDLOCAL", "local-secret-key"
#: Two utterances, a second apart, and the silence that ends the second one.
SPOKEN = dictate(
    [(1, 0.2, 0.5), (2, 0.6, 0.9), (3, 2.0, 2.3), (4, 2.4, 2.7)],
    seconds=4.0,
)
CHUNK = 3_200  # bytes, 100 ms
#: On two channels: while one speaks, the other ends an utterance.
LEFT = dictate([(1, 0.2, 0.5), (2, 0.6, 0.9), (3, 2.0, 2.3), (4, 2.4, 2.7)], seconds=4.0)
RIGHT = dictate([(11, 0.7, 1.0), (12, 1.1, 1.6), (13, 2.5, 2.8)], seconds=4.0)
BOTH = np.stack([np.frombuffer(LEFT, "<i2"), np.frombuffer(RIGHT, "<i2")], axis=1).tobytes()
MEDICAL = {"specialty": "CARDIOLOGY", "type": "DICTATION"}
ALLOWED = json.dumps({"two_channels": True, "speaker_labels": True, "stability": ["high"]})


class Remembering(Dictation):
    """Dictation that remembers what the streams asked for."""

    def __init__(self) -> None:
        self.requests: list[TranscribeRequest] = []

    def recognise(self, request: TranscribeRequest, handler: ResultHandler) -> StreamRecognition:
        self.requests.append(request)
        return super().recognise(request, handler)


@asynccontextmanager
async def captions(
    *faults: str, recogniser: Recogniser | None = None, **settings: object
) -> AsyncIterator[RunningService]:
    """Start the endpoint and the service, which knows nothing of it but the address."""
    transcribe = TranscribeService(
        recogniser=recogniser or Dictation(),
        secrets={KEY: SECRET},
        faults=Faults(Fault.parse(fault) for fault in faults),
    )
    async with (
        serve_websocket(transcribe) as port,
        running_service(
            engine="transcribe",
            transcribe_endpoint=f"ws://127.0.0.1:{port}",
            transcribe_region="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            **settings,
        ) as service,
    ):
        yield service


async def finals(service: RunningService) -> list[tuple[str, list[float]]]:
    """Speak and return each final with the times of its words."""
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id="talk")
    async with Speaker(service.url, parameters) as talk:
        for offset in range(0, len(SPOKEN), CHUNK):
            await talk.send(SPOKEN[offset : offset + CHUNK])
        await talk.stop()
        return [
            (message.text, [word.start_time for word in message.words])
            async for message in talk
            if isinstance(message, Final)
        ]


async def test_results_of_transcribe_become_finals_with_their_times() -> None:
    async with captions() as service:
        found = await finals(service)

    assert [text for text, _ in found] == ["word1 word2", "word3 word4"]
    assert [times for _, times in found] == [
        pytest.approx([0.2, 0.6], abs=0.05),
        pytest.approx([2.0, 2.4], abs=0.05),
    ]


@pytest.mark.parametrize(
    "fault", ["disconnect@2.2x1", "exception:InternalFailure@2.2x1", "refuse:429x1"]
)
async def test_a_session_that_dies_costs_no_word_and_doubles_none(fault: str) -> None:
    async with captions() as undisturbed:
        expected = await finals(undisturbed)

    async with captions(fault) as service:
        found = await finals(service)

    assert [text for text, _ in found] == [text for text, _ in expected]
    for (_, times), (_, undisturbed_times) in zip(found, expected, strict=True):
        assert times == pytest.approx(undisturbed_times, abs=0.05)


async def received_messages(
    service: RunningService, audio: bytes, **parameters: object
) -> list[Message]:
    """Speak and return the messages of the service."""
    wanted = TranscribeParameters.model_validate(
        {"sample_rate": 16_000, "conversation_id": "talk", "speaker": "Ada"} | parameters
    )
    chunk = CHUNK * wanted.channels
    async with Speaker(service.url, wanted) as talk:
        for offset in range(0, len(audio), chunk):
            await talk.send(audio[offset : offset + chunk])
        await talk.stop()
        return [message async for message in talk]


def by_channel(messages: list[Message]) -> dict[int | None, list[tuple[str, list[float]]]]:
    """Return text and times of words of the finals of each channel."""
    texts: dict[int | None, list[tuple[str, list[float]]]] = {}
    for final in messages:
        if isinstance(final, Final):
            times = [word.start_time for word in final.words]
            texts.setdefault(final.channel, []).append((final.text, times))
    return texts


@pytest.mark.parametrize("fault", [None, "disconnect@2.6x1", "disconnect@0.8x2"])
async def test_two_channels_are_two_transcripts(fault: str | None) -> None:
    async with captions(*filter(None, [fault]), transcribe_allowed=ALLOWED) as service:
        messages = await received_messages(service, BOTH, channels=2, channel_mode="separate")

    found = by_channel(messages)
    assert [text for text, _ in found[0]] == ["word1 word2", "word3 word4"]
    assert [text for text, _ in found[1]] == ["word11 word12", "word13"]
    assert [times for _, times in found[0]] == [
        pytest.approx([0.2, 0.6], abs=0.05),
        pytest.approx([2.0, 2.4], abs=0.05),
    ]
    assert [times for _, times in found[1]] == [
        pytest.approx([0.7, 1.1], abs=0.05),
        pytest.approx([2.5], abs=0.05),
    ]
    finals = [message for message in messages if isinstance(message, Final)]
    partials = [message for message in messages if isinstance(message, Partial)]
    assert len({final.utterance_id for final in finals}) == 4
    assert {partial.channel for partial in partials} == {0, 1}
    channels = {final.utterance_id: final.channel for final in finals}
    assert all(channels[partial.utterance_id] == partial.channel for partial in partials)


async def test_two_channels_are_mixed_unless_they_are_asked_for() -> None:
    async with captions(transcribe_allowed=ALLOWED) as service:
        both_ears = np.repeat(np.frombuffer(SPOKEN, "<i2"), 2).tobytes()
        messages = await received_messages(service, both_ears, channels=2)

    found = by_channel(messages)
    assert [text for text, _ in found[None]] == ["word1 word2", "word3 word4"]
    assert list(found) == [None]


async def test_speaker_labels_leave_the_name_of_the_speaker() -> None:
    options = '{"show-speaker-label":"true","partial-results-stability":"high"}'
    async with captions(transcribe_allowed=ALLOWED) as service:
        messages = await received_messages(service, SPOKEN, options=options)

    finals = [message for message in messages if isinstance(message, Final)]
    partials = [message for message in messages if isinstance(message, Partial)]
    assert [final.text for final in finals] == ["word1 word2", "word3 word4"]
    assert all(final.speaker == "Ada" and final.speaker_label for final in finals)
    assert all(partial.stable_words is not None for partial in partials)
    assert any(partial.stable_words for partial in partials)


async def test_without_being_asked_for_there_is_neither() -> None:
    async with captions(transcribe_allowed=ALLOWED) as service:
        messages = await received_messages(service, SPOKEN)

    assert all(message.speaker_label is None for message in messages if isinstance(message, Final))
    assert all(m.stable_words is None for m in messages if isinstance(m, Partial))


@pytest.mark.parametrize(
    "wanted",
    [
        {"options": '{"show-speaker-label":"true"}'},
        {"options": '{"no-such-option":"true"}'},
        {"options": json.dumps(MEDICAL)},
        {"channels": 2, "channel_mode": "separate"},
    ],
)
async def test_what_the_operator_does_not_allow_is_refused(wanted: dict[str, object]) -> None:
    async with captions() as service:
        with pytest.raises(Refused) as caught:
            await received_messages(service, SPOKEN, **wanted)

    assert caught.value.code is ErrorCode.INVALID_OPTION
    assert ERRORS[caught.value.code].close_code == 4407


@pytest.mark.parametrize(
    ("allowed", "recognised"),
    [({}, 99), ({"languages": ["en-US", "fr-FR"]}, 2)],
    ids=["all of the service's", "the operator's"],
)
async def test_a_language_that_is_not_listed_is_refused_before_anything_is_ready(
    allowed: dict[str, object], recognised: int
) -> None:
    async with captions(transcribe_allowed=json.dumps(allowed)) as service:
        offer = await ask_for_languages(service.url)
        parameters = TranscribeParameters(sample_rate=16_000, language="fr-XX")
        with pytest.raises(Refused) as caught:
            async with Speaker(service.url, parameters):
                pytest.fail("it was ready")

    assert (offer.engine, len(offer.recognition)) == ("transcribe", recognised)
    assert caught.value.code is ErrorCode.UNSUPPORTED_LANGUAGE
    assert not caught.value.retryable


async def test_a_stream_that_transcribe_refuses_is_not_tried_again() -> None:
    async with captions("exception:BadRequest@0") as service:
        with pytest.raises(Refused) as caught:
            await finals(service)
        failures = service.logged("engine_session_failed")

    assert caught.value.code is ErrorCode.ENGINE_REFUSED
    assert not caught.value.retryable
    assert len(failures) == 1


async def test_an_operators_options_are_those_of_every_stream() -> None:
    newest = {"transcript-format": "spoken", "session-resume-window": "30"}
    recogniser = Remembering()
    async with captions(recogniser=recogniser, transcribe_options=json.dumps(newest)) as service:
        await finals(service)

    assert recogniser.requests[0].given.items() >= newest.items()


async def test_options_that_the_service_would_not_take_end_the_start() -> None:
    with pytest.raises(AssertionError, match=r"TRANSCRIBE_OPTIONS: .*'speakers'"):
        async with captions(transcribe_options='{"speakers":"true"}'):
            pass


@pytest.mark.parametrize("fault", [None, "disconnect@2.2x1"])
async def test_a_speaker_who_may_gets_a_medical_transcript(fault: str | None) -> None:
    allowed = json.dumps({"medical": True, "speaker_labels": True, "pii": ["identify"]})
    wanted = MEDICAL | {"show-speaker-label": "true", "content-identification-type": "PHI"}
    recogniser = Remembering()
    faults = filter(None, [fault])
    async with captions(*faults, recogniser=recogniser, transcribe_allowed=allowed) as service:
        messages = await received_messages(service, SPOKEN, options=json.dumps(wanted))

    found = [message for message in messages if isinstance(message, Final)]
    assert [final.text for final in found] == ["word1 word2", "word3 word4"]
    assert all(final.speaker_label for final in found)
    assert len(recogniser.requests) == (2 if fault else 1)
    for request in recogniser.requests:
        assert request.operation is START_MEDICAL_STREAM_TRANSCRIPTION
        assert wanted.items() <= request.given.items()


async def test_where_every_stream_is_medical_a_speaker_asks_for_nothing() -> None:
    recogniser = Remembering()
    async with captions(recogniser=recogniser, transcribe_options=json.dumps(MEDICAL)) as service:
        offer = await ask_for_languages(service.url)
        found = await finals(service)

    assert [text for text, _ in found] == ["word1 word2", "word3 word4"]
    assert list(offer.recognition) == ["en-US"]
    assert recogniser.requests[0].operation is START_MEDICAL_STREAM_TRANSCRIPTION


async def test_a_medical_stream_in_another_language_is_refused() -> None:
    async with captions(transcribe_allowed='{"medical":true}') as service:
        with pytest.raises(Refused, match="Medical") as caught:
            await received_messages(service, SPOKEN, options=json.dumps(MEDICAL), language="de-DE")

    assert caught.value.code is ErrorCode.UNSUPPORTED_LANGUAGE


async def test_strangers_do_not_learn_whose_account_it_is() -> None:
    async with captions("refuse:403") as service:
        with pytest.raises(Refused) as caught:
            await received_messages(service, SPOKEN)
        (logged,) = service.logged("stream_failed")

    assert str(caught.value).count("The recognition engine is not available.") == 1
    assert "403" in logged["error"]


async def test_an_engine_with_one_channel_refuses_two() -> None:
    async with running_service() as service:  # the stand-in
        with pytest.raises(Refused) as caught:
            await received_messages(service, BOTH, channels=2, channel_mode="separate")

    assert caught.value.code is ErrorCode.INVALID_OPTION


async def test_options_that_are_no_json_are_an_invalid_parameter() -> None:
    async with running_service() as service, aiohttp.ClientSession() as http:
        url = live_url(service.url, TranscribeParameters(sample_rate=16_000))
        async with http.ws_connect(url.update_query(options="{not json")) as connection:
            error = json.loads((await connection.receive()).data)
            await connection.receive()

    assert error["code"] == "invalid_parameter"
    assert connection.close_code == ERRORS[ErrorCode.INVALID_PARAMETER].close_code


async def test_the_announced_channels_cannot_change_any_more() -> None:
    async with captions(transcribe_allowed=ALLOWED) as service, aiohttp.ClientSession() as http:
        wanted = TranscribeParameters(sample_rate=16_000, channels=2, channel_mode="separate")
        async with http.ws_connect(live_url(service.url, wanted)) as connection:
            assert json.loads((await connection.receive()).data)["type"] == "ready"
            await connection.send_json({"type": "start", "format": {"sampleRate": 16_000}})
            error = json.loads((await connection.receive()).data)

    assert error["code"] == "invalid_message"
