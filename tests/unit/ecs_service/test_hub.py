from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_service.conversations.hub import REMEMBER_SECONDS, Hub
from ecs_service.conversations.table_updates import Updates
from tests.support.utterances import utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.unit


class Ear:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def offer(self, frame: bytes) -> None:
        self.heard.append(json.loads(frame))


def said(seconds_ago: float = 1.0) -> Utterance:
    return utterance(timestamp=datetime.now(UTC) - timedelta(seconds=seconds_ago))


def test_a_final_is_told_once_however_often_it_comes() -> None:
    hub, ear, final = Hub(), Ear(), said()
    with hub.listening("talk", ear) as conversation:
        frames = [conversation.tell_final(final) for _ in range(3)]

    assert [message["seq"] for message in ear.heard] == [1]
    assert frames[1:] == [None, None]


def test_conversations_do_not_hear_each_other() -> None:
    hub, ear = Hub(), Ear()
    with hub.listening("mine", ear):
        hub.conversation("yours").tell_final(said())

    assert ear.heard == []


def test_a_snapshot_holds_two_minutes_in_the_order_of_time() -> None:
    conversation = Hub().conversation("talk")
    old, first, second = said(121), said(100), said(3)
    for final in (second, old, first):
        conversation.tell_final(final)

    snapshot = conversation.snapshot(complete=True)

    assert snapshot.utterances == (first, second)
    assert snapshot.seq == 3


def test_a_conversation_is_kept_as_long_as_somebody_may_ask_for_it() -> None:
    hub = Hub()
    hub.conversation("recent").tell_final(said())
    hub.conversation("past").tell_final(said(REMEMBER_SECONDS + 1))
    with hub.speaking("spoken"), hub.listening("watched", Ear()):
        hub.sweep()
        kept = set(hub._conversations)
    hub.sweep()

    assert kept == {"recent", "spoken", "watched"}
    assert set(hub._conversations) == {"recent"}


class Table:
    def __init__(self, *stored: Utterance) -> None:
        self.stored = list(stored)

    def since(self, conversation_id: str, moment: datetime) -> list[Utterance]:
        return [
            u for u in self.stored if u.conversation_id == conversation_id and u.timestamp >= moment
        ]


async def test_what_another_server_stored_is_told_to_everybody_once() -> None:
    hub, ear, ours, theirs = Hub(), Ear(), said(2), said(1)
    updates = Updates(hub, Table(ours, theirs))
    with hub.listening("talk", ear) as conversation:
        conversation.tell_final(ours)
        complete = [await updates.refresh("talk") for _ in range(2)]

    assert complete == [True, True]
    assert [m["utteranceId"] for m in ear.heard] == [ours.utterance_id, theirs.utterance_id]


async def test_forgetting_does_not_make_the_table_repeat_itself() -> None:
    """What leaves the memory has left the reach of a refresh before."""
    hub, ear = Hub(), Ear()
    table = Table(*(said(age) for age in range(0, 200, 10)))
    updates = Updates(hub, table)
    with hub.listening("talk", ear):
        for _ in range(3):
            await updates.refresh("talk")
            hub.sweep()

    ids = [message["utteranceId"] for message in ear.heard]
    assert len(ids) == len(set(ids)) == 12
