"""Follow a conversation over any number of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Literal

from client.errors import ClientError, ConnectionLost, NoConnection, Refused
from client.live.connection import TicketSource, Viewer, no_ticket
from foundation.backoff import backoff
from transcripts.models import ConversationId, Model, Utterance
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


class Gap(Model):
    """Captions are missing here: the viewer was away for longer than the service looks back."""

    type: Literal["gap"] = "gap"
    conversation_id: ConversationId


#: Everything that a viewer receives about captions, with translations.
News = Caption | Translation | TranslationStatus | Gap


class Captions:
    """Drops captions that were seen before: after a reconnect the snapshot repeats finals."""

    def __init__(self) -> None:
        # Sets that know their order.
        self._finished: dict[str, None] = {}
        self._translated: dict[str, None] = {}

    def unseen(self, message: Any) -> Iterator[News]:
        """Yield the new captions in `message`: no repeated final, no heartbeat."""
        if isinstance(message, Snapshot):
            gap = (Gap(conversation_id=message.conversation_id),) if message.gap else ()
            candidates: tuple[Any, ...] = (*gap, *message.utterances)
        elif isinstance(message, News):
            candidates = (message,)
        else:
            candidates = ()
        yield from filter(self._is_new, candidates)

    def _is_new(self, news: News) -> bool:
        if isinstance(news, TranslationStatus | Gap):
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
    on_retry: Callable[[ClientError, float], None] = lambda *_: None,
    on_connected: Callable[[Snapshot], None] = lambda _: None,
    ticket: TicketSource = no_ticket,
) -> AsyncGenerator[News, None]:
    """Yield the captions of a conversation, each final once, and reconnect with backoff.

    With a language in `parameters`, translations are yielded, too, each final one once.

    Each connection goes on from the last position of the one before. Where that is too long ago, a
    `Gap` is yielded.

    `on_connected` gets each connection's first snapshot, before its new captions are yielded.
    `on_retry` gets the error that ended a connection, and the seconds until the next attempt.
    `ticket` returns the ticket of each connection.

    Raises:
        NoConnection: the first connection could not be made. Later ones are retried for ever.
        Refused: the service refuses this viewer, and another attempt does not help.
    """
    captions = Captions()
    ever_connected = False
    failures = 0
    parameters = parameters.model_copy(update={"heartbeat": True})
    while True:
        is_first = True
        try:
            async with Viewer(base, parameters, ticket) as viewer:
                async for message in viewer:
                    ever_connected = True
                    failures = 0
                    if isinstance(message, Snapshot) and is_first:
                        is_first = False
                        on_connected(message)
                    for news in captions.unseen(message):
                        yield news
                    position = getattr(message, "position", None)
                    if position is not None:
                        parameters = parameters.model_copy(update={"since": position})
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
            on_retry(error, delay)
            await asyncio.sleep(delay)
