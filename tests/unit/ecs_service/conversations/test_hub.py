from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_service.conversations.hub import Hub
from ecs_service.conversations.remembered import REMEMBER_SECONDS
from ecs_service.conversations.table_updates import TableUpdates
from tests.support.utterances import utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.unit


class Viewer:
    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    def deliver(self, frame: bytes) -> None:
        self.received.append(json.loads(frame))


def final_from(seconds_ago: float = 1.0) -> Utterance:
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds_ago)
    return utterance(timestamp=moment)


def test_a_final_is_published_once_however_often_it_comes() -> None:
    hub, viewer, final = Hub(), Viewer(), final_from()
    with hub.add_subscriber("talk", viewer) as conversation:
        frames = [conversation.publish_final(final) for _ in range(3)]

    assert [message["seq"] for message in viewer.received] == [1]
    assert frames[1:] == [None, None]


def test_a_subscriber_gets_only_its_own_conversation() -> None:
    hub, viewer = Hub(), Viewer()
    with hub.add_subscriber("mine", viewer):
        hub.conversation("yours").publish_final(final_from())

    assert viewer.received == []


def test_a_snapshot_holds_two_minutes_in_the_order_of_time() -> None:
    conversation = Hub().conversation("talk")
    old, first, second = final_from(121), final_from(100), final_from(3)
    for final in (second, old, first):
        conversation.publish_final(final)

    snapshot = conversation.snapshot(complete=True)

    assert snapshot.utterances == (first, second)
    assert snapshot.seq == 3


def test_a_conversation_is_kept_as_long_as_somebody_may_ask_for_it() -> None:
    clock = [datetime.now(UTC)]
    hub = Hub(now=lambda: clock[0])
    hub.conversation("past").publish_final(final_from())
    clock[0] += timedelta(seconds=REMEMBER_SECONDS + 1)
    hub.conversation("recent").publish_final(final_from(3000))  # it was late
    with hub.add_speaker("spoken"), hub.add_subscriber("watched", Viewer()):
        hub.sweep()
        kept = set(hub._conversations)
    hub.sweep()

    assert kept == {"recent", "spoken", "watched"}
    assert set(hub._conversations) == {"recent"}


class Table:
    def __init__(self, *stored: Utterance) -> None:
        self.stored = list(stored)

    def read(self, conversation_id: str, moment: datetime) -> Iterator[Utterance]:
        return iter(
            [
                u
                for u in sorted(self.stored, key=lambda u: u.sort_key)
                if u.conversation_id == conversation_id and u.timestamp >= moment
            ]
        )


async def test_what_another_server_stored_is_published_once() -> None:
    hub, viewer, ours, theirs = Hub(), Viewer(), final_from(2), final_from(1)
    updates = TableUpdates(hub, Table(ours, theirs))
    with hub.add_subscriber("talk", viewer) as conversation:
        conversation.publish_final(ours)
        complete = [await updates.refresh("talk") for _ in range(2)]

    assert complete == [True, True]
    assert [m["utteranceId"] for m in viewer.received] == [
        ours.utterance_id,
        theirs.utterance_id,
    ]


async def test_forgetting_does_not_make_the_table_repeat_itself() -> None:
    """What leaves the memory has left the reach of a refresh before."""
    hub, viewer = Hub(), Viewer()
    table = Table(*(final_from(age) for age in range(0, 200, 10)))
    updates = TableUpdates(hub, table)
    with hub.add_subscriber("talk", viewer):
        for _ in range(3):
            await updates.refresh("talk")
            hub.sweep()

    ids = [message["utteranceId"] for message in viewer.received]
    assert len(ids) == len(set(ids)) == 12
