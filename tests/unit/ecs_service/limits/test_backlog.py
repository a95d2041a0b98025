from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_service.conversations.remembered import KnownFinal
from ecs_service.limits.backlog import MOST_FINAL_BYTES, Backlog
from tests.support.utterances import utterance
from transcripts.models import Model
from transcripts.protocol import Heartbeat, Partial, Snapshot, Translation, encode

pytestmark = pytest.mark.unit


def partial(utterance_id: str, text: str) -> Partial:
    return Partial(
        conversation_id="talk",
        utterance_id=utterance_id,
        speaker="Ada",
        language="en-US",
        start_time=0.0,
        end_time=1.0,
        text=text,
        seq=1,
    )


def final(utterance_id: str, text: str = "done") -> bytes:
    return KnownFinal.of(utterance(utterance_id=utterance_id, text=text)).frame(1, "AA")


def translation(utterance_id: str, text: str, *, is_final: bool) -> Translation:
    return Translation(
        conversation_id="talk",
        utterance_id=utterance_id,
        source_language="en-US",
        language="fr",
        text=text,
        is_final=is_final,
        seq=1,
    )


def sent(*messages: Model | bytes) -> list[dict[str, Any]]:
    """Return what is sent at last of messages that had to wait."""
    backlog = Backlog()
    for message in messages:
        backlog.add(message if isinstance(message, bytes) else encode(message))
    frames = [json.loads(backlog.take()) for _ in range(len(backlog))]
    assert backlog.bytes == 0
    assert not backlog.is_full
    return frames


def texts(*messages: Model | bytes) -> list[str]:
    return [message["text"] for message in sent(*messages)]


def test_of_each_open_utterance_the_newest_partial_waits() -> None:
    waiting = texts(partial("a", "one"), partial("b", "two"), partial("a", "one more"))

    assert waiting == ["two", "one more"]


def test_a_final_replaces_the_partial_and_is_never_left_out() -> None:
    waiting = texts(partial("a", "one"), final("a"), partial("b", "two"), final("c"), final("d"))

    assert waiting == ["done", "two", "done", "done"]


def test_a_retraction_reaches_who_may_have_the_partial() -> None:
    assert texts(partial("a", "one"), partial("a", "")) == [""]


def test_translations_wait_like_what_they_translate() -> None:
    waiting = texts(
        translation("a", "un", is_final=False),
        translation("a", '"isFinal":true', is_final=False),
        partial("a", "one"),
        translation("a", "fini", is_final=True),
        translation("b", "deux", is_final=False),
    )

    assert waiting == ["one", "fini", "deux"]


def test_what_looks_like_a_field_in_a_text_is_a_text() -> None:
    text = '"utteranceId":"b"'
    waiting = texts(partial("a", text), partial("b", "two"), partial("a", "one"))

    assert waiting == ["two", "one"]


def test_the_newest_heartbeat_waits_and_snapshots_all_do() -> None:
    snapshot = Snapshot(conversation_id="talk", utterances=(), seq=1, more=True)
    heartbeats = [Heartbeat(conversation_id="talk", seq=seq) for seq in (1, 2)]

    kinds = [message["type"] for message in sent(heartbeats[0], snapshot, snapshot, heartbeats[1])]
    assert kinds == ["snapshot", "snapshot", "heartbeat"]


def test_only_finals_fill_the_backlog() -> None:
    backlog, count = Backlog(), 0
    for _ in range(1000):
        backlog.add(encode(partial("a", "x" * 1000)))
    assert not backlog.is_full
    while not backlog.is_full:
        backlog.add(final(f"f-{count}", "x" * 1000))
        count += 1

    assert MOST_FINAL_BYTES // 2000 < count <= MOST_FINAL_BYTES // 1000 + 1
