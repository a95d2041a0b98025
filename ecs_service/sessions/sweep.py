"""Looks after streams whose task is dead, and ends streams that nobody resumes.

Each task reads one shard of the ledger's index every `SWEEP_SECONDS`, in turn. A stream that is
due is taken over, so only one task acts on it, and a task that was taken for dead is refused at its
next update. The states are in docs/resume.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from ecs_service import telemetry
from ecs_service.conversations.hub import Hub
from ecs_service.sessions.commits import Commits, Outbox
from ecs_service.sessions.ledger import Ledger, LedgerUnavailable
from transcripts.protocol import RESUME_SECONDS
from transcripts.streams.entry import LedgerEntry, StreamState
from transcripts.streams.items import SHARDS
from transcripts.streams.store import Superseded

SWEEP_SECONDS: Final = 4.0
#: The most streams of a shard that one round looks at.
MOST_DUE: Final = 100
#: The longest that the sweep waits for the queue to take a stream's finals, seconds.
SETTLE_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class Sweep:
    """The background task that looks after streams which no task serves."""

    def __init__(self, ledger: Ledger, hub: Hub, outbox: Outbox) -> None:
        self._ledger = ledger
        self._hub = hub
        self._outbox = outbox

    async def run(self) -> None:
        """Look at one shard after the other until cancelled."""
        shard = 0
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.look_at(shard)
            except LedgerUnavailable:
                continue
            shard = (shard + 1) % SHARDS

    async def look_at(self, shard: int) -> None:
        """Take over what is due in a shard, and do what is to be done.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        due = await self._ledger.due(shard, MOST_DUE)
        await asyncio.gather(*[self._look_after(stream_id) for stream_id in due])

    async def _look_after(self, stream_id: str) -> None:
        entry = await self._ledger.take_due(stream_id)
        if entry is not None:
            with suppress(Superseded):  # its client came back just now
                await self._act_on(entry)

    async def _act_on(self, entry: LedgerEntry) -> None:
        """Publish and queue what no task has, and write the next state.

        Raises:
            Superseded: somebody has taken the stream over.
            LedgerUnavailable: the ledger does not answer.
        """
        after, due_in = next_state(entry)
        telemetry.streams_swept.labels(after.state.value).inc()
        commits = Commits(self._ledger, after, self._outbox)
        # Before they are shown: nobody may take them back after that.
        await commits.conclude(after.state, due_in=due_in)
        conversation = self._hub.conversation(entry.terms.conversation_id)
        commits.send_unsent()
        for utterance in after.progress.unsent:
            conversation.publish_final(utterance)
        log.info("stream_swept", stream=entry.terms.stream_id, state=after.state.value)
        await commits.settle(after.state, due_in, seconds=SETTLE_SECONDS)


def next_state(entry: LedgerEntry) -> tuple[LedgerEntry, timedelta | None]:
    """Return the entry that follows when a stream is due, and when it is due again. Pure.

    A stream whose task is dead waits for its client. One that waited long enough ends, and its tail
    becomes final. One that had ended is only due because the queue did not have all finals.
    """
    if entry.state is StreamState.OPEN:
        return replace(entry, state=StreamState.WAITING), timedelta(seconds=RESUME_SECONDS)
    progress = entry.progress
    ended = replace(
        progress,
        unsent=(*progress.unsent, *progress.tail),
        count=progress.count + len(progress.tail),
        tail=(),
    )
    return replace(entry, state=StreamState.ENDED, progress=ended), None
