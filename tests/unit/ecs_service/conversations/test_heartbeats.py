from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack

import pytest

from ecs_service.conversations import heartbeats
from ecs_service.conversations.heartbeats import AT_ONCE, Heartbeats
from ecs_service.conversations.hub import Hub
from tests.support.utterances import utterance

pytestmark = pytest.mark.unit


class Viewer:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.reached = asyncio.Event()

    def deliver(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.reached.set()


async def test_a_heartbeat_is_encoded_once_and_reaches_all_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeats, "LIVE_SECONDS", 0.04)
    hub, viewers, patient = Hub(), [Viewer() for _ in range(2 * AT_ONCE + 1)], Viewer()
    lagging = Viewer()
    with ExitStack() as stack:
        for each in viewers:
            stack.enter_context(hub.add_subscriber("talk", each, is_prompt=True))
        stack.enter_context(hub.add_subscriber("talk", patient))
        stack.enter_context(hub.add_subscriber("talk", lagging, is_lagging=True, is_prompt=True))
        timer = asyncio.create_task(Heartbeats(hub).run())
        await asyncio.gather(*[each.reached.wait() for each in (*viewers, lagging)])
        timer.cancel()

    first = viewers[0].frames[0]
    assert all(each.frames[0] is first for each in viewers)
    assert "position" in json.loads(first)
    assert "position" not in json.loads(lagging.frames[0]), "it lacks something"
    assert patient.frames == []


async def test_who_got_another_message_needs_no_heartbeat() -> None:
    hub, viewer = Hub(), Viewer()
    with hub.add_subscriber("talk", viewer, is_prompt=True) as conversation:
        timer = asyncio.create_task(Heartbeats(hub).run())
        for _ in range(8):
            conversation.publish_final(utterance())
            await asyncio.sleep(heartbeats.TICK_SECONDS / 2)  # the time is what is tested
        timer.cancel()

    assert {json.loads(frame)["type"] for frame in viewer.frames} == {"final"}


async def test_ten_thousand_heartbeats_leave_room_for_other_work() -> None:
    hub, viewers = Hub(), [Viewer() for _ in range(10_000)]
    with ExitStack() as stack:
        for each in viewers:
            stack.enter_context(hub.add_subscriber("talk", each, is_prompt=True))
        began = time.thread_time()
        sending = asyncio.create_task(
            heartbeats.send(hub.conversation("talk"), hub.conversation("talk").prompt)
        )
        turns = 0
        while not sending.done():
            await asyncio.sleep(0)
            turns += 1
        spent = time.thread_time() - began

    assert turns >= len(viewers) // AT_ONCE
    assert all(len(each.frames) == 1 for each in viewers)
    assert spent < 1.0
