"""The network between clients and tasks: a TCP proxy whose lines can be cut and silenced."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tests.support.flaky_link import pump

Direction = Literal["up", "down"]


@dataclass(eq=False)
class Line:
    """One connection through the proxy."""

    target: str
    task: asyncio.Task[None]
    flowing: dict[Direction, asyncio.Event] = field(
        default_factory=lambda: {"up": asyncio.Event(), "down": asyncio.Event()}
    )

    def __post_init__(self) -> None:
        for event in self.flowing.values():
            event.set()

    def cut(self) -> None:
        """Abort the connection in both directions."""
        self.task.cancel()

    def silence(self, direction: Direction) -> None:
        """Forward nothing more in a direction, and leave the connection open."""
        self.flowing[direction].clear()


class Balancer:
    """Spreads connections over the targets that take them, as a load balancer does."""

    def __init__(self, draw: random.Random) -> None:
        self.targets: list[str] = []
        self.lines: set[Line] = set()
        self.url = ""
        self._draw = draw

    def to(self, target: str) -> Sequence[Line]:
        """Return the lines to a target."""
        return [line for line in self.lines if line.target == target]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection to a target, or to another one if it does not listen."""
        task = asyncio.current_task()
        assert task is not None
        for target in self._draw.sample(self.targets, len(self.targets)):
            address = urlsplit(target)
            try:
                there, back = await asyncio.open_connection(address.hostname, address.port)
            except OSError:
                continue
            line = Line(target, task)
            self.lines.add(line)
            try:
                await asyncio.gather(
                    pump(reader, back, line.flowing["up"]),
                    pump(there, writer, line.flowing["down"]),
                )
            except (asyncio.CancelledError, OSError):
                pass
            finally:
                self.lines.discard(line)
                back.transport.abort()
            break
        writer.transport.abort()


@contextlib.asynccontextmanager
async def balancer(draw: random.Random) -> AsyncIterator[Balancer]:
    """Open a balancer on a free port of this machine."""
    made = Balancer(draw)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        for line in tuple(made.lines):
            line.cut()
        server.close()
