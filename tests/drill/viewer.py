"""A viewer as light as possible: it keeps what it saw of each final, and goes on by positions."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from transcripts.protocol import DEAD_SECONDS

#: How long a handshake may take, seconds.
HANDSHAKE_SECONDS = 5.0
#: Between two attempts to connect, seconds.
PAUSE = 0.3


@dataclass
class DrillViewer:
    """One viewer of a conversation.

    Attributes:
        finals: by id the moment and the text that were shown.
        repeats: finals that came again.
        changed: finals that came again with other words.
        gaps: how often the service had to leave something out.
    """

    session: aiohttp.ClientSession
    url: str
    conversation_id: str
    finals: dict[str, tuple[str, str]] = field(default_factory=dict)
    repeats: int = 0
    changed: int = 0
    gaps: int = 0
    connections: int = 0
    position: str | None = None
    #: Cleared while the viewer reads nothing.
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reads.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError, TypeError):
                await self._watch()
            await asyncio.sleep(PAUSE)

    async def _watch(self) -> None:
        query = {"conversationId": self.conversation_id, "heartbeat": "1"}
        if self.position is not None:
            query["since"] = self.position
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            socket = await self.session.ws_connect(
                f"{self.url}/api/stt/connect",
                params=query,
                timeout=aiohttp.ClientWSTimeout(ws_close=1),
            )
        async with socket:
            self.connections += 1
            while True:
                await self.reads.wait()
                frame = await socket.receive(timeout=DEAD_SECONDS)
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return
                if '"type":"partial"' not in frame.data:
                    self._take(json.loads(frame.data))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.gaps += bool(message.get("gap"))
            for utterance in message["utterances"]:
                self._show(utterance)
        elif message["type"] == "final":
            self._show(message)
        self.position = message.get("position") or self.position

    def _show(self, final: dict[str, Any]) -> None:
        shown = (final["timestamp"], final["text"])
        known = self.finals.setdefault(final["utteranceId"], shown)
        if known is not shown:
            self.repeats += 1
            self.changed += known != shown

    @property
    def screen(self) -> list[tuple[str, str]]:
        """The ids and texts in the order in which a page shows them."""
        in_order = sorted(self.finals.items(), key=lambda one: (one[1][0], one[0]))
        return [(identity, text) for identity, (_, text) in in_order]
