from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_service.conversations.hub import Conversation
from ecs_service.sessions.publisher import SHOW_SECONDS, Publisher
from speech.engines.base import Result
from tests.support.virtual_time import run_in_virtual_time
from transcripts.models import Utterance, Word

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Sink:
    def __init__(self, *, broken: bool = False, slow: bool = False) -> None:
        self.added: list[Utterance] = []
        self.broken = broken
        self.slow = slow
        self.waiting: list[Callable[[], None]] = []

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        if self.broken:
            raise OSError("disk full")
        self.added.append(utterance)
        if self.slow:
            self.waiting.append(publish)
        else:
            publish()


class Shown:
    """A publisher, and what it has published."""

    def __init__(
        self, conversation: Conversation, sink: Sink, *, channels: int = 1, count: int = 0
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.publisher = Publisher(
            conversation,
            sink,
            self._take,
            stream_id="stream",
            speaker="Ada",
            language="en-US",
            channels=channels,
            count=count,
        )

    def _take(self, frame: bytes, *, is_final: bool) -> None:
        message = json.loads(frame)
        assert is_final == (message["type"] == "final")
        self.messages.append(message)

    def publish(self, *results: Result) -> list[dict[str, Any]]:
        """Publish results of a stream that began at `BEGAN`; return all messages so far."""
        for result in results:
            self.publisher.publish(result, BEGAN + timedelta(seconds=result.start))
        return self.messages


def partial(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=False, text=text, start=1.0, end=2.0)


def final(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=True, text=text, start=1.5, end=2.0)


def test_partial_and_final_share_the_id_of_their_utterance() -> None:
    messages = Shown(Conversation("talk"), Sink()).publish(
        partial("he"), final("hello"), partial("a", 1)
    )

    assert [m["utteranceId"] for m in messages] == ["stream-0", "stream-0", "stream-1"]
    assert [m["type"] for m in messages] == ["partial", "final", "partial"]
    assert messages[1]["timestamp"] == "2026-11-20T12:00:01.500Z"


def test_finals_are_numbered_on_from_those_that_the_stream_had() -> None:
    messages = Shown(Conversation("talk"), Sink(), count=7).publish(
        final("one"), final(""), final("two", 1)
    )

    assert [m["number"] for m in messages] == [8, 9]


def test_a_final_is_durable_before_it_is_broadcast() -> None:
    conversation, sink = Conversation("talk"), Sink(broken=True)

    with pytest.raises(OSError, match="disk full"):
        Shown(conversation, sink).publish(final("hello"))

    assert conversation.seq == 0


def test_a_final_that_waits_is_shown_as_words_that_stay() -> None:
    sink = Sink(slow=True)
    said = Word(word="hello", start_time=1.5, end_time=2.0, confidence=1.0)
    ended = Result(0, is_final=True, text="hello", start=1.5, end=2.0, words=(said,))

    async def publish() -> list[dict[str, Any]]:
        shown = Shown(Conversation("talk"), sink)
        shown.publish(ended)
        await asyncio.sleep(SHOW_SECONDS)
        await asyncio.sleep(0)
        sink.waiting[0]()
        return shown.messages

    waiting, published = run_in_virtual_time(publish())

    assert (waiting["type"], waiting["text"], waiting["stableWords"]) == ("partial", "hello", 1)
    assert (published["type"], published["utteranceId"]) == ("final", waiting["utteranceId"])


async def test_a_final_that_never_becomes_durable_is_retracted() -> None:
    shown = Shown(Conversation("talk"), Sink(slow=True))
    shown.publish(partial("he"), final("hello"))

    shown.publisher.retract_waiting()

    assert [m["text"] for m in shown.messages] == ["he", ""]


def test_a_partial_without_a_final_is_retracted() -> None:
    sink = Sink()

    _, retraction = Shown(Conversation("talk"), sink).publish(partial("he"), final(""))

    assert (retraction["type"], retraction["text"]) == ("partial", "")
    assert sink.added == []


def test_a_segment_without_words_is_not_published() -> None:
    assert Shown(Conversation("talk"), Sink()).publish(final("")) == []


def test_channels_have_separate_utterances_at_the_same_time() -> None:
    sink = Sink()
    shown = Shown(Conversation("talk"), sink, channels=2)
    left = Result(0, is_final=False, text="he", start=1.0, end=2.0)
    right = Result(0, is_final=False, text="yes", start=1.2, end=2.0, channel=1)
    ended = Result(0, is_final=True, text="yes.", start=1.2, end=2.0, channel=1)

    shown.publish(left, right, ended)
    shown.publisher.retract_open()

    *messages, retraction = shown.messages
    assert [m["channel"] for m in messages] == [0, 1, 1]
    assert [m["utteranceId"] for m in messages] == ["stream-0-0", "stream-1-0", "stream-1-0"]
    assert [utterance.channel for utterance in sink.added] == [1]
    assert (retraction["utteranceId"], retraction["channel"]) == ("stream-0-0", 0)
    assert retraction["text"] == ""


def test_simultaneous_finals_of_two_channels_keep_their_own_times() -> None:
    """A channel's utterances are in order; those of the other may well be earlier."""
    sink = Sink()
    shown = Shown(Conversation("talk"), sink, channels=2)
    for channel, start in ((0, 5.0), (1, 2.0), (0, 5.0)):
        shown.publish(
            Result(channel, is_final=True, text="hi", start=start, end=9.0, channel=channel)
        )

    after = [(utterance.timestamp - BEGAN).total_seconds() for utterance in sink.added]
    assert after == [5.0, 2.0, 5.001]


def test_a_single_channel_is_not_named() -> None:
    (message,) = Shown(Conversation("talk"), Sink()).publish(final("hello"))

    assert message.get("channel") is None


def test_labels_and_stable_words_are_published_beside_the_speakers_name() -> None:
    sink = Sink()
    partial = Result(
        0, is_final=False, text="a b", start=1.0, end=2.0, speaker_number=1, stable_words=1
    )
    ended = Result(0, is_final=True, text="a b", start=1.0, end=2.0, speaker_number=1)

    messages = Shown(Conversation("talk"), sink).publish(partial, ended)

    assert [m["speakerLabel"] for m in messages] == ["spk_1", "spk_1"]
    assert [m["speaker"] for m in messages] == ["Ada", "Ada"]
    assert messages[0]["stableWords"] == 1
    assert "stableWords" not in messages[1]
    assert sink.added[0].speaker_label == "spk_1"
