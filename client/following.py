"""Following a conversation for as long as it takes, over any number of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from client.errors import ConnectionLost, NoConnection, Refused
from client.live import Viewer
from foundation.backoff import backoff
from transcripts.models import Utterance
from transcripts.protocol import (
    ConnectParameters,
    Final,
    Partial,
    Snapshot,
    Translation,
    TranslationStatus,
)

#: The pause before a connection is made again doubles with each failure; seconds.
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
#: Ids of finals that are remembered, which is hours of talk. A snapshot reaches back two minutes.
_REMEMBERED = 10_000

Caption = Partial | Final | Utterance
#: What is said of captions to whoever reads another language.
News = Caption | Translation | TranslationStatus


class Captions:
    """Sorts out what is new. After a reconnect the snapshot repeats finals that were seen."""

    def __init__(self) -> None:
        # Sets that know their order.
        self._finished: dict[str, None] = {}
        self._translated: dict[str, None] = {}

    def unseen(self, message: Any) -> Iterator[News]:
        """Yield what is new in `message`: what was final before is not, nor are heartbeats."""
        if isinstance(message, Snapshot):
            candidates: tuple[Any, ...] = message.utterances
        elif isinstance(message, News):
            candidates = (message,)
        else:
            candidates = ()
        yield from filter(self._is_new, candidates)

    def _is_new(self, news: News) -> bool:
        if isinstance(news, TranslationStatus):
            return True
        if isinstance(news, Translation) and news.is_final:
            return _add(self._translated, news.utterance_id)
        if isinstance(news, Partial | Translation):
            return news.utterance_id not in self._finished
        return _add(self._finished, news.utterance_id)


def _add(seen: dict[str, None], utterance_id: str) -> bool:
    """Remember the id; return whether it is new."""
    if utterance_id in seen:
        return False
    seen[utterance_id] = None
    if len(seen) > _REMEMBERED:
        del seen[next(iter(seen))]
    return True


async def follow(
    base: str,
    parameters: ConnectParameters,
    *,
    interrupted: Callable[[Exception, float], None] = lambda *_: None,
    connected: Callable[[Snapshot], None] = lambda _: None,
) -> AsyncGenerator[News, None]:
    """Yield the captions of a conversation, each final once, and reconnect with backoff.

    With a language among the `parameters` their translations come, too, each final one once.

    `connected` gets the snapshot with which a connection begins, before what is new in it.
    `interrupted` is told why a connection ended and how many seconds the next attempt waits.

    Raises:
        NoConnection: the first connection could not be made. Later ones are retried for ever.
        Refused: the service does not want this viewer, and trying again does not help.
    """
    captions = Captions()
    ever_connected = False
    failures = 0
    while True:
        try:
            async with Viewer(base, parameters) as viewer:
                async for message in viewer:
                    ever_connected = True
                    failures = 0
                    if isinstance(message, Snapshot):
                        connected(message)
                    for news in captions.unseen(message):
                        yield news
        except (ConnectionLost, NoConnection, Refused) as error:
            if isinstance(error, Refused) and not error.retryable:
                raise
            if isinstance(error, NoConnection) and not ever_connected:
                raise
            failures += 1
            retry_after = error.retry_after if isinstance(error, Refused) else None
            delay = max(
                backoff(failures, first=FIRST_DELAY, longest=LONGEST_DELAY), retry_after or 0.0
            )
            interrupted(error, delay)
            await asyncio.sleep(delay)
