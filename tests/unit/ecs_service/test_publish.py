from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_service.conversations.hub import Conversation
from ecs_service.sessions.publish import Published, Publisher
from speech.engines.base import Result
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Promises:
    def __init__(self, *, broken: bool = False) -> None:
        self.kept: list[Utterance] = []
        self.broken = broken

    def add(self, utterance: Utterance) -> None:
        if self.broken:
            raise OSError("disk full")
        self.kept.append(utterance)


def publisher(conversation: Conversation, promises: Promises) -> Publisher:
    return Publisher(conversation, promises, stream_id="stream", speaker="Ada", language="en-US")


def guess(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=False, text=text, start=1.0, end=2.0)


def final(text: str, segment: int = 0) -> Result:
    return Result(segment, is_final=True, text=text, start=1.5, end=2.0)


def told(published: Published | None) -> dict[str, Any]:
    assert published is not None
    message: dict[str, Any] = json.loads(published.frame)
    assert published.is_final == (message["type"] == "final")
    return message


def test_guess_and_final_share_the_id_of_their_utterance() -> None:
    publish = publisher(Conversation("talk"), Promises()).publish

    messages = [told(publish(r, BEGAN)) for r in (guess("he"), final("hello"), guess("a", 1))]

    assert [m["utteranceId"] for m in messages] == ["stream-0", "stream-0", "stream-1"]
    assert [m["type"] for m in messages] == ["partial", "final", "partial"]
    assert messages[1]["timestamp"] == "2026-11-20T12:00:01.500Z"


def test_a_final_is_promised_before_anybody_sees_it() -> None:
    conversation, promises = Conversation("talk"), Promises(broken=True)

    with pytest.raises(OSError, match="disk full"):
        publisher(conversation, promises).publish(final("hello"), BEGAN)

    assert conversation.seq == 0


def test_a_guess_that_comes_to_nothing_is_taken_back() -> None:
    promises = Promises()
    publish = publisher(Conversation("talk"), promises).publish
    publish(guess("he"), BEGAN)

    taken_back = told(publish(final(""), BEGAN))

    assert (taken_back["type"], taken_back["text"]) == ("partial", "")
    assert promises.kept == []


def test_nothing_is_told_of_a_segment_without_words() -> None:
    assert publisher(Conversation("talk"), Promises()).publish(final(""), BEGAN) is None


def test_channels_are_told_apart_and_open_side_by_side() -> None:
    promises = Promises()
    publisher = Publisher(
        Conversation("talk"),
        promises,
        stream_id="stream",
        speaker="Ada",
        language="en-US",
        channels=2,
    )
    left = Result(0, is_final=False, text="he", start=1.0, end=2.0)
    right = Result(0, is_final=False, text="yes", start=1.2, end=2.0, channel=1)
    ended = Result(0, is_final=True, text="yes.", start=1.2, end=2.0, channel=1)

    messages = [told(publisher.publish(r, BEGAN)) for r in (left, right, ended)]
    (taken_back,) = map(told, publisher.retract())

    assert [m["channel"] for m in messages] == [0, 1, 1]
    assert [m["utteranceId"] for m in messages] == ["stream-0-0", "stream-1-0", "stream-1-0"]
    assert [utterance.channel for utterance in promises.kept] == [1]
    assert (taken_back["utteranceId"], taken_back["channel"]) == ("stream-0-0", 0)
    assert taken_back["text"] == ""


def test_what_both_channels_say_at_once_is_each_at_its_own_time() -> None:
    """A channel's utterances are in order; those of the other may well be earlier."""
    promises = Promises()
    publisher = Publisher(
        Conversation("talk"),
        promises,
        stream_id="stream",
        speaker="Ada",
        language="en-US",
        channels=2,
    )
    for channel, start in ((0, 5.0), (1, 2.0), (0, 5.0)):
        publisher.publish(
            Result(channel, is_final=True, text="hi", start=start, end=9.0, channel=channel), BEGAN
        )

    after = [(utterance.timestamp - BEGAN).total_seconds() for utterance in promises.kept]
    assert after == [5.0, 2.0, 5.001]


def test_one_channel_is_not_told() -> None:
    message = told(publisher(Conversation("talk"), Promises()).publish(final("hello"), BEGAN))

    assert message.get("channel") is None


def test_labels_and_stable_words_are_passed_on_beside_the_speakers_name() -> None:
    promises = Promises()
    publish = publisher(Conversation("talk"), promises).publish
    partial = Result(
        0, is_final=False, text="a b", start=1.0, end=2.0, speaker_number=1, stable_words=1
    )
    ended = Result(0, is_final=True, text="a b", start=1.0, end=2.0, speaker_number=1)

    messages = [told(publish(r, BEGAN)) for r in (partial, ended)]

    assert [m["speakerLabel"] for m in messages] == ["spk_1", "spk_1"]
    assert [m["speaker"] for m in messages] == ["Ada", "Ada"]
    assert messages[0]["stableWords"] == 1
    assert "stableWords" not in messages[1]
    assert promises.kept[0].speaker_label == "spk_1"
