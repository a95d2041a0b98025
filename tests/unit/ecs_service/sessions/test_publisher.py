from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_service.conversations.hub import Conversation
from ecs_service.sessions.publisher import PublishedFrame, Publisher
from speech.engines.base import Result
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Sink:
    def __init__(self, *, broken: bool = False) -> None:
        self.added: list[Utterance] = []
        self.broken = broken

    def add(self, utterance: Utterance) -> None:
        if self.broken:
            raise OSError("disk full")
        self.added.append(utterance)


def publisher(conversation: Conversation, sink: Sink) -> Publisher:
    return Publisher(conversation, sink, stream_id="stream", speaker="Ada", language="en-US")


def partial(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=False, text=text, start=1.0, end=2.0)


def final(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=True, text=text, start=1.5, end=2.0)


def decoded(published: PublishedFrame | None) -> dict[str, Any]:
    assert published is not None
    message: dict[str, Any] = json.loads(published.frame)
    assert published.is_final == (message["type"] == "final")
    return message


def test_partial_and_final_share_the_id_of_their_utterance() -> None:
    publish = publisher(Conversation("talk"), Sink()).publish

    messages = [
        decoded(publish(r, BEGAN)) for r in (partial("he"), final("hello"), partial("a", 1))
    ]

    assert [m["utteranceId"] for m in messages] == ["stream-0", "stream-0", "stream-1"]
    assert [m["type"] for m in messages] == ["partial", "final", "partial"]
    assert messages[1]["timestamp"] == "2026-11-20T12:00:01.500Z"


def test_a_final_is_durable_before_it_is_broadcast() -> None:
    conversation, sink = Conversation("talk"), Sink(broken=True)

    with pytest.raises(OSError, match="disk full"):
        publisher(conversation, sink).publish(final("hello"), BEGAN)

    assert conversation.seq == 0


def test_a_partial_without_a_final_is_retracted() -> None:
    sink = Sink()
    publish = publisher(Conversation("talk"), sink).publish
    publish(partial("he"), BEGAN)

    retraction = decoded(publish(final(""), BEGAN))

    assert (retraction["type"], retraction["text"]) == ("partial", "")
    assert sink.added == []


def test_a_segment_without_words_is_not_published() -> None:
    assert publisher(Conversation("talk"), Sink()).publish(final(""), BEGAN) is None


def test_channels_have_separate_utterances_at_the_same_time() -> None:
    sink = Sink()
    publisher = Publisher(
        Conversation("talk"),
        sink,
        stream_id="stream",
        speaker="Ada",
        language="en-US",
        channels=2,
    )
    left = Result(0, is_final=False, text="he", start=1.0, end=2.0)
    right = Result(0, is_final=False, text="yes", start=1.2, end=2.0, channel=1)
    ended = Result(0, is_final=True, text="yes.", start=1.2, end=2.0, channel=1)

    messages = [decoded(publisher.publish(r, BEGAN)) for r in (left, right, ended)]
    (retraction,) = map(decoded, publisher.retract_open())

    assert [m["channel"] for m in messages] == [0, 1, 1]
    assert [m["utteranceId"] for m in messages] == ["stream-0-0", "stream-1-0", "stream-1-0"]
    assert [utterance.channel for utterance in sink.added] == [1]
    assert (retraction["utteranceId"], retraction["channel"]) == ("stream-0-0", 0)
    assert retraction["text"] == ""


def test_simultaneous_finals_of_two_channels_keep_their_own_times() -> None:
    """A channel's utterances are in order; those of the other may well be earlier."""
    sink = Sink()
    publisher = Publisher(
        Conversation("talk"),
        sink,
        stream_id="stream",
        speaker="Ada",
        language="en-US",
        channels=2,
    )
    for channel, start in ((0, 5.0), (1, 2.0), (0, 5.0)):
        publisher.publish(
            Result(channel, is_final=True, text="hi", start=start, end=9.0, channel=channel), BEGAN
        )

    after = [(utterance.timestamp - BEGAN).total_seconds() for utterance in sink.added]
    assert after == [5.0, 2.0, 5.001]


def test_a_single_channel_is_not_named() -> None:
    message = decoded(publisher(Conversation("talk"), Sink()).publish(final("hello"), BEGAN))

    assert message.get("channel") is None


def test_labels_and_stable_words_are_published_beside_the_speakers_name() -> None:
    sink = Sink()
    publish = publisher(Conversation("talk"), sink).publish
    partial = Result(
        0, is_final=False, text="a b", start=1.0, end=2.0, speaker_number=1, stable_words=1
    )
    ended = Result(0, is_final=True, text="a b", start=1.0, end=2.0, speaker_number=1)

    messages = [decoded(publish(r, BEGAN)) for r in (partial, ended)]

    assert [m["speakerLabel"] for m in messages] == ["spk_1", "spk_1"]
    assert [m["speaker"] for m in messages] == ["Ada", "Ada"]
    assert messages[0]["stableWords"] == 1
    assert "stableWords" not in messages[1]
    assert sink.added[0].speaker_label == "spk_1"
