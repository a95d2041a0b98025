"""Finds the finals of a stream that were published while its speaker had no connection.

The service sends a final once to the speaker's connection, where it may be lost. Finals have
numbers without gaps, so the speaker knows what it lacks, and reads it as a viewer does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from client.errors import ClientError
from client.live.connection import CONNECT_SECONDS, TicketSource, Viewer, no_ticket
from transcripts.models import Utterance
from transcripts.protocol import ConnectParameters, Snapshot

#: The first position is asked for so long after the start, seconds: a snapshot reaches further.
FIRST_SECONDS = 60.0
#: A position is renewed so often, seconds: an old one is not accepted.
RENEW_SECONDS = 600.0
#: Numbers beyond a gap that are remembered.
_MOST_NUMBERS = 1_000


class FinalNumbers:
    """The numbers of the finals of one stream that were received."""

    def __init__(self) -> None:
        self._covered = 0  # all up to this one
        self._beyond: set[int] = set()

    def add(self, number: int) -> None:
        """Note a number."""
        if number > self._covered:
            self._beyond.add(number)
        if len(self._beyond) > _MOST_NUMBERS:
            self._covered = min(self._beyond)  # what is missing before it will not come any more
        while self._covered + 1 in self._beyond:
            self._covered += 1
        self._beyond = {each for each in self._beyond if each > self._covered}

    @property
    def has_gap(self) -> bool:
        """Whether a final was received, and not all before it."""
        return bool(self._beyond)

    def missing_of(self, total: int) -> int:
        """Return how many of the first `total` are missing."""
        return max(0, total - self._covered - sum(each <= total for each in self._beyond))


@dataclass(frozen=True, slots=True)
class Found:
    """Finals of a conversation, and the position from which to go on."""

    utterances: tuple[Utterance, ...]
    position: str | None


#: Reads the finals since a position, or the last ones.
Fetch = Callable[[str, str | None], Awaitable[Found]]


async def fetch_finals(
    base: str, conversation_id: str, since: str | None, ticket: TicketSource = no_ticket
) -> Found:
    """Read the finals of a conversation since a position; without one, of the last two minutes.

    Raises:
        ClientError: they cannot be read.
        TimeoutError: the service did not send them in time.
    """
    parameters = ConnectParameters(conversation_id=conversation_id, since=since)
    utterances: list[Utterance] = []
    async with asyncio.timeout(CONNECT_SECONDS), Viewer(base, parameters, ticket) as viewer:
        async for message in viewer:
            if isinstance(message, Snapshot):
                utterances += message.utterances
                since = message.position or since
                if not message.more:
                    break
    return Found(tuple(utterances), since)


class MissedFinals:
    """Reads a conversation's finals when it is asked to, and passes them on.

    Args:
        fetch: reads them.
        on_found: gets each one, also those that were received before.
    """

    def __init__(self, fetch: Fetch, on_found: Callable[[Utterance], None]) -> None:
        self._fetch = fetch
        self._on_found = on_found
        self._wanted = asyncio.Event()
        self._position: str | None = None
        self._reading = asyncio.Lock()
        self.conversation_id: str | None = None

    def look(self) -> None:
        """Let `run` read the finals soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Read when `look` was called, and now and then for a newer position; never returns."""
        patience = FIRST_SECONDS
        while True:
            try:
                async with asyncio.timeout(patience):
                    await self._wanted.wait()
            except TimeoutError:
                patience = RENEW_SECONDS
            self._wanted.clear()
            await self.read()

    async def read(self) -> None:
        """Read the finals now; if that fails, nothing is found."""
        async with self._reading:
            if self.conversation_id is None:
                return
            try:
                found = await self._fetch(self.conversation_id, self._position)
            except (ClientError, TimeoutError):
                return  # whoever counts knows what is missing, and tries again
            self._position = found.position
            for utterance in found.utterances:
                self._on_found(utterance)
