"""Following a conversation for as long as it takes, over any number of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from client.errors import ConnectionLost, NoConnection, Refused
from client.live import Viewer
from client.pacing import backoff
from transcripts.models import Utterance
from transcripts.protocol import ConnectParameters, Final, Partial, Snapshot

#: Ids of finals that are remembered, which is hours of talk. A snapshot reaches back two minutes.
_REMEMBERED = 10_000

Caption = Partial | Final | Utterance


class Captions:
    """Sorts out what is new. After a reconnect the snapshot repeats finals that were seen."""

    def __init__(self) -> None:
        self._finished: dict[str, None] = {}  # a set that knows its order

    def unseen(self, message: Any) -> Iterator[Caption]:
        """Yield the captions in `message` that were not final before; nothing for other kinds."""
        if isinstance(message, Snapshot):
            for utterance in message.utterances:
                if self._finish(utterance.utterance_id):
                    yield utterance
        elif isinstance(message, Final):
            if self._finish(message.utterance_id):
                yield message
        elif isinstance(message, Partial) and message.utterance_id not in self._finished:
            yield message

    def _finish(self, utterance_id: str) -> bool:
        """Remember the id; return whether it is new."""
        if utterance_id in self._finished:
            return False
        self._finished[utterance_id] = None
        if len(self._finished) > _REMEMBERED:
            del self._finished[next(iter(self._finished))]
        return True


async def follow(
    base: str,
    parameters: ConnectParameters,
    *,
    interrupted: Callable[[Exception, float], None] = lambda *_: None,
) -> AsyncGenerator[Caption, None]:
    """Yield the captions of a conversation, each final once, and reconnect with backoff.

    `interrupted` is told why a connection ended and how many seconds the next attempt waits.

    Raises:
        NoConnection: the first connection could not be made. Later ones are retried for ever.
        Refused: the service does not want this viewer, and trying again does not help.
    """
    captions = Captions()
    connected = False
    failures = 0
    while True:
        try:
            async with Viewer(base, parameters) as viewer:
                async for message in viewer:
                    connected = True
                    failures = 0
                    for caption in captions.unseen(message):
                        yield caption
        except (ConnectionLost, NoConnection, Refused) as error:
            if isinstance(error, Refused) and not error.retryable:
                raise
            if isinstance(error, NoConnection) and not connected:
                raise
            failures += 1
            retry_after = error.retry_after if isinstance(error, Refused) else None
            draw = random.random()  # noqa: S311 - jitter, not a secret
            delay = backoff(failures, draw, retry_after=retry_after)
            interrupted(error, delay)
            await asyncio.sleep(delay)
