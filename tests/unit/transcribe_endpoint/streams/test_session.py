"""One stream of the endpoint, without a transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from binascii import crc32
from typing import Any

import pytest
from amazon_transcribe.eventstream import EventStreamMessageSerializer
from hypothesis import given
from hypothesis import strategies as st

from transcribe_endpoint.errors import BadRequest, LimitExceeded, ServiceError
from transcribe_endpoint.faults import Fault, Faults
from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.requests import TranscribeRequest
from transcribe_endpoint.streams.events import (
    exception_frame,
    payload_of,
    read_audio_event,
    read_messages,
)
from transcribe_endpoint.streams.session import StreamQuota, StreamSession, TranscribeService
from transcribe_endpoint.vocabularies.store import Vocabularies

pytestmark = pytest.mark.unit

SCRIPT = Script.of_text("One two.\nThree four five.")
CHUNK = bytes(3_200)  # 100 ms
SESSION = "0b5a2a9c-9b3f-4c33-8a63-0fd6ab0a4d9e"


class Wire:
    """Stands for a transport; keeps what a session does with it."""

    def __init__(self, service: TranscribeService, **changes: str) -> None:
        asked = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": "16000"}
        asked |= {name.replace("_", "-"): value for name, value in changes.items()}
        self.sent: list[tuple[str, Any]] = []
        self.calls: list[str] = []
        self.over = asyncio.Event()
        self.session: StreamSession = service.open(TranscribeRequest.parse(asked), self)

    def send(self, frame: bytes) -> None:
        (message,) = read_messages(frame)
        kind = message.headers.get(":exception-type", message.headers.get(":event-type"))
        self.sent.append((str(kind), json.loads(payload_of(message))))

    def finish(self) -> None:
        self._called("finish")

    def abort(self) -> None:
        self._called("abort")

    def freeze(self) -> None:
        self._called("freeze")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.over.set()

    def feed(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.session.audio(CHUNK)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


def service(*faults: str, **changes: Any) -> TranscribeService:
    return TranscribeService(
        recogniser=SCRIPT,
        secrets={},
        faults=Faults(Fault.parse(fault) for fault in faults),
        **changes,
    )


async def test_a_stream_ends_in_good_order_after_its_last_final() -> None:
    serving = service()
    wire = Wire(serving)

    wire.feed(1.0)
    wire.session.audio(b"")

    assert wire.kinds == ["TranscriptEvent"] * 2
    assert not wire.sent[-1][1]["Transcript"]["Results"][0]["IsPartial"]
    assert wire.calls == ["finish"]
    assert serving.limits.open_streams == 0


async def test_a_stream_may_name_what_is_there_and_ready() -> None:
    clock = [0.0]
    known = Vocabularies(pending_seconds=5.0, clock=lambda: clock[0])
    serving = service(vocabularies=known)
    for name in ("vocabulary_name", "vocabulary_filter_name"):
        with pytest.raises(BadRequest, match="couldn't be found"):
            Wire(serving, **{name: "names"})
    known.vocabularies.create("names", "en-US", ["Ada"])
    with pytest.raises(BadRequest, match="is PENDING"):
        Wire(serving, vocabulary_name="names")

    clock[0] = 5.0
    Wire(serving, vocabulary_name="names")

    assert serving.limits.open_streams == 1


async def test_a_vocabulary_that_failed_is_refused() -> None:
    known = Vocabularies(pending_seconds=0.0)
    known.vocabularies.create("names", "en-US", ["Ada Lovelace"])

    with pytest.raises(BadRequest, match="is FAILED"):
        Wire(service(vocabularies=known), vocabulary_name="names")


@pytest.mark.parametrize(
    ("language", "method", "transcript"),
    [
        ("en-US", "mask", "*** two."),
        ("en-US", "remove", "two."),
        ("en-US", "tag", "One two."),
        ("fr-FR", "mask", "One two."),
    ],
)
async def test_a_filter_hides_its_words_in_streams_of_its_language(
    language: str, method: str, transcript: str
) -> None:
    known = Vocabularies()
    known.filters.create("oaths", language, ["ONE", "tw"])
    serving = service(vocabularies=known)
    wire = Wire(serving, vocabulary_filter_name="oaths", vocabulary_filter_method=method)

    wire.feed(1.0)

    (alternative,) = wire.sent[-1][1]["Transcript"]["Results"][0]["Alternatives"]
    assert alternative["Transcript"] == transcript
    tagged = [item["Content"] for item in alternative["Items"] if item["VocabularyFilterMatch"]]
    assert tagged == (["One"] if method == "tag" else [])


async def test_nothing_follows_the_end() -> None:
    wire = Wire(service())

    wire.session.audio(b"")
    wire.feed(3.0)
    wire.session.audio(b"")
    wire.session.cut_short()
    wire.session.lost()

    assert wire.sent == []
    assert wire.calls == ["finish"]


async def test_an_end_without_its_empty_event_is_a_bad_request() -> None:
    wire = Wire(service())

    wire.session.cut_short()

    assert wire.kinds == ["BadRequestException"]
    assert "without the preceding empty frame" in wire.sent[0][1]["Message"]


@pytest.mark.parametrize("payload", [bytes(3_201), bytes(32_002)])
async def test_audio_that_is_odd_or_too_much_is_a_bad_request(payload: bytes) -> None:
    wire = Wire(service())

    wire.session.audio(payload)

    assert wire.kinds == ["BadRequestException"]
    assert wire.calls == ["finish"]


async def test_a_stream_without_audio_is_ended() -> None:
    wire = Wire(service(idle_seconds=0.05))

    await asyncio.wait_for(wire.over.wait(), 5)

    assert wire.kinds == ["BadRequestException"]
    assert "no new audio was received for 0.05 seconds" in wire.sent[0][1]["Message"]


async def test_a_stream_that_is_too_long_is_ended() -> None:
    wire = Wire(service(max_seconds=0.3))

    wire.feed(0.3)
    assert wire.calls == []
    wire.feed(0.1)

    assert wire.kinds == ["LimitExceededException"]


async def test_an_exception_comes_when_it_was_asked_for_and_ends_the_stream() -> None:
    wire = Wire(service("exception:ServiceUnavailable@0.8"))

    wire.feed(0.7)
    assert wire.kinds == ["TranscriptEvent"]
    wire.feed(1.0)

    assert wire.kinds == ["TranscriptEvent", "TranscriptEvent", "ServiceUnavailableException"]
    assert wire.calls == ["finish"]


async def test_a_broken_connection_reports_no_error() -> None:
    wire = Wire(service("disconnect@0.5"))

    wire.feed(1.0)

    assert wire.kinds == ["TranscriptEvent"]
    assert wire.calls == ["abort"]


async def test_a_stalled_stream_neither_speaks_nor_ends() -> None:
    serving = service("stall@0")
    wire = Wire(serving)

    wire.feed(1.0)
    wire.session.audio(b"")
    wire.session.cut_short()

    assert wire.sent == []
    assert wire.calls == ["freeze"]
    assert serving.limits.open_streams == 0
    wire.session.lost()


async def test_only_so_many_streams_at_once() -> None:
    serving = service(limits=StreamQuota(streams=1))
    first = Wire(serving)

    with pytest.raises(LimitExceeded, match="concurrent"):
        Wire(serving)
    first.session.lost()

    Wire(serving).session.lost()


def test_only_so_many_streams_within_a_second() -> None:
    now = 0.0
    limits = StreamQuota(starts_per_second=2, clock=lambda: now)
    limits.begin()
    limits.begin()

    with pytest.raises(LimitExceeded, match="per second"):
        limits.begin()
    now = 1.0

    limits.begin()
    assert limits.open_streams == 3


@pytest.mark.parametrize(
    ("fault", "status", "at_handshake"), [("refuse:403", 403, True), ("limit", 429, False)]
)
async def test_a_start_is_refused(fault: str, status: int, *, at_handshake: bool) -> None:
    serving = service(fault)

    with pytest.raises(ServiceError) as caught:
        Wire(serving)

    assert (caught.value.status, caught.value.at_handshake) == (status, at_handshake)
    assert serving.limits.open_streams == 0


async def test_a_second_stream_of_the_same_id_ends_the_first() -> None:
    serving = service()
    first = Wire(serving, session_id=SESSION)
    second = Wire(serving, session_id=SESSION)

    assert first.kinds == ["ConflictException"]
    assert not second.session.over
    second.session.lost()
    assert serving.limits.open_streams == 0


# --- messages -----------------------------------------------------------------------------------

SERIALIZER = EventStreamMessageSerializer()
AUDIO = bytes(
    SERIALIZER.serialize({":event-type": "AudioEvent", ":message-type": "event"}, b"pcm!")
)


def test_an_audio_event_is_read() -> None:
    assert [read_audio_event(message) for message in read_messages(AUDIO + AUDIO)] == [b"pcm!"] * 2


@pytest.mark.parametrize("data", [AUDIO[:-1], AUDIO + b"x", AUDIO[:20] + b"x" + AUDIO[21:], b"x"])
def test_half_or_broken_messages_are_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read_messages(data)


def test_only_audio_is_expected() -> None:
    (message,) = read_messages(exception_frame("BadRequestException", "no"))

    with pytest.raises(BadRequest):
        read_audio_event(message)


@given(
    st.one_of(
        st.binary(),
        st.tuples(st.integers(0, len(AUDIO)), st.binary()).map(
            lambda cut: AUDIO[: cut[0]] + cut[1] + AUDIO[cut[0] + len(cut[1]) :]
        ),
    )
)
def test_any_bytes_are_messages_or_a_bad_request(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        read_messages(data)


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_any_headers_under_good_checksums_are_read_or_a_bad_request(
    headers: bytes, payload: bytes
) -> None:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    with contextlib.suppress(BadRequest):
        for message in read_messages(body + struct.pack("!I", crc32(body))):
            read_audio_event(message)
