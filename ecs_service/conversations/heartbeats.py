"""Sends heartbeats to all viewers by one timer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Final

from ecs_service.conversations.hub import Conversation, Hub, Subscriber
from transcripts.protocol import HEARTBEAT_SECONDS, LIVE_SECONDS

#: How often the timer looks, in seconds.
TICK_SECONDS: Final = 0.25
#: Viewers who get a heartbeat before other work of the loop comes in between.
AT_ONCE: Final = 500


class Heartbeats:
    """Sends each viewer a message every ten seconds, or at least every second if he asks for it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        tick = min(TICK_SECONDS, HEARTBEAT_SECONDS / 4, LIVE_SECONDS / 4)
        everybody_at = time.monotonic() + HEARTBEAT_SECONDS
        while True:
            await asyncio.sleep(tick)
            now = time.monotonic()
            if now + tick > everybody_at:
                everybody_at = now + HEARTBEAT_SECONDS
                for conversation in self._hub.subscribed:
                    await send(conversation, conversation.patient)
            for conversation in self._hub.subscribed:
                if conversation.prompt and now + tick - conversation.sent_at > LIVE_SECONDS:
                    conversation.sent_at = now
                    await send(conversation, conversation.prompt)


async def send(conversation: Conversation, viewers: Collection[Subscriber]) -> None:
    """Send a heartbeat to viewers, unless they get another message meanwhile."""
    seq = conversation.seq
    frame = conversation.heartbeat(position=conversation.position())
    without_position = conversation.heartbeat(position=None)
    for count, viewer in enumerate(tuple(viewers), 1):
        if viewer in conversation.subscribers:
            viewer.deliver(frame)
        elif viewer in conversation.lagging:
            viewer.deliver(without_position)
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)
            if conversation.seq != seq:
                return
