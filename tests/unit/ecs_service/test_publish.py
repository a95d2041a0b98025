from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_service.conversations.hub import Conversation
from ecs_service.sessions.publish import Publisher
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


def told(frame: bytes | None) -> dict[str, Any]:
    assert frame is not None
    message: dict[str, Any] = json.loads(frame)
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
