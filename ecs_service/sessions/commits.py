"""Writes one stream's progress into the ledger, and publishes each final after that.

One update is in flight at a time; what becomes final meanwhile goes with the next one. An update
has all finals that neither queue nor table is known to have, and the place up to which the audio
is settled by them. So whoever takes the stream over needs nothing but the ledger and the client.
docs/resume.md follows a final through this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from ecs_service.sessions.ledger import DEAD, Ledger, LedgerUnavailable
from foundation.backoff import backoff
from speech.engines.base import Checkpoint
from transcripts.models import Utterance
from transcripts.streams.entry import LedgerEntry, StreamProgress, StreamState

#: The longest between two updates, seconds.
WRITE_SECONDS: Final = 20.0
#: When the sweep has to look at a stream is moved only if it would be sooner than this: moving it
#: costs as much as the update itself, because the index is written, too.
SOON: Final = timedelta(seconds=60)
#: The most finals that an entry has, and their bytes as JSON. From half of it on they go to the
#: table without the queue.
MOST_UNSENT: Final = 32
MOST_UNSENT_BYTES: Final = 200_000
#: The most finals that wait for an update; from there on no more audio should be read.
MOST_WAITING: Final = 64
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0


class Outbox(Protocol):
    """Keeps finals on this machine and sends them to the queue."""

    def add(self, utterance: Utterance, on_accepted: Callable[[], None] | None = None) -> None:
        """Keep `utterance`; call `on_accepted` when the queue has it."""


class _Waiting(NamedTuple):
    """A final that is in no update yet."""

    utterance: Utterance
    publish: Callable[[], None]
    size: int


class _Attempt(NamedTuple):
    """An update that may have reached the ledger. It is repeated as it is until that is known."""

    entry: LedgerEntry
    included: list[_Waiting]
    due_at: datetime | None


class Commits:
    """The writer of one stream's entry. `run` is its task; `keep` makes it a `FinalSink`."""

    def __init__(self, ledger: Ledger, entry: LedgerEntry, outbox: Outbox) -> None:
        """Go on with an entry as it is in the ledger."""
        #: As it was written last.
        self.entry = entry
        #: Clock, pauses and attempt as the next update will have them.
        self.progress: StreamProgress = entry.progress
        self._ledger = ledger
        self._outbox = outbox
        self._source: Callable[[], Checkpoint] | None = None
        self._waiting: list[_Waiting] = []
        #: What the entry has as unsent and the queue has not accepted yet, with its bytes.
        self._unsent: dict[str, tuple[Utterance, int]] = {
            one.utterance_id: (one, _size(one)) for one in entry.progress.unsent
        }
        self._attempt: _Attempt | None = None
        self._due_at: datetime | None = None
        self._work = asyncio.Event()
        self._done = asyncio.Event()  # after each update
        self._accepted = asyncio.Event()  # after each acceptance by the queue

    def follow(self, source: Callable[[], Checkpoint] | None) -> None:
        """Take from `source` how far the recognition has come, at each update; None: no further."""
        self._source = source

    def moment_of(self, frame: int) -> datetime:
        """Return when a frame was spoken, as the next update will have it."""
        return self.progress.moment_of(frame)

    # --- finals ---------------------------------------------------------------------------------

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        """Write `utterance` with the next update, and publish it after that."""
        self._waiting.append(_Waiting(utterance, publish, _size(utterance)))
        self._work.set()

    @property
    def is_backlogged(self) -> bool:
        """Whether so many finals wait for the ledger that no more audio should be read."""
        return len(self._waiting) >= MOST_WAITING

    async def catch_up(self) -> None:
        """Wait until fewer finals wait."""
        while self.is_backlogged:
            self._done.clear()
            await self._done.wait()

    async def flush(self) -> None:
        """Wait until no final waits."""
        while self._waiting:
            self._done.clear()
            await self._done.wait()

    async def confirm(self) -> None:
        """Wait for the next update, which shows that nobody has taken the stream over."""
        self._done.clear()
        self._work.set()
        await self._done.wait()

    def send_unsent(self) -> None:
        """Send to the queue what the entry's former writer may not have sent."""
        for utterance in self.entry.progress.unsent:
            self._send(utterance)

    # --- updates --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            Superseded: another task has taken the stream over; nothing was or will be published.
            sqlite3.Error: a final is in the ledger, but cannot be kept for the queue.
        """
        failures = 0
        while True:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._work.wait()
            except TimeoutError:
                pass
            self._work.clear()
            try:
                await self._update()
            except LedgerUnavailable:
                failures += 1
                self._work.set()
                await asyncio.sleep(
                    backoff(failures, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
                )
            else:
                failures = 0

    async def conclude(
        self, state: StreamState, *, tail: Sequence[Utterance] = (), due_in: timedelta | None
    ) -> None:
        """Write the last update, after `run` was cancelled. What waits still is not written.

        The sweep looks at a stream that still has unsent finals, whatever `due_in` is.

        Raises:
            Superseded: another task has taken the stream over.
            LedgerUnavailable: the ledger does not answer; the sweep will find the stream.
        """
        if self._attempt is not None:
            await self._complete(self._attempt)
        if not self._waiting:
            self.progress = self._advance(self.progress)
        self.progress = replace(self.progress, tail=tuple(tail))
        await self._write(state, self._unsent_now(), due_in)

    async def settle(self, state: StreamState, due_in: timedelta | None, *, seconds: float) -> None:
        """Wait until the queue has all finals, at most `seconds`, and note that in the ledger.

        Raises:
            Superseded: another task has taken the stream over.
            LedgerUnavailable: the ledger does not answer; the sweep will find the stream.
        """
        if not self.entry.progress.unsent:
            return
        try:
            async with asyncio.timeout(seconds):
                while self._unsent:
                    self._accepted.clear()
                    await self._accepted.wait()
        except TimeoutError:
            return
        await self._write(state, (), due_in)

    async def _update(self) -> None:
        if self._attempt is None:
            await self._make_room()
            self._attempt = self._compose()
        await self._complete(self._attempt)
        if self._waiting:
            self._work.set()

    def _compose(self) -> _Attempt:
        """Return an update with the finals that fit. No await within: all of it is one moment."""
        included = self._fitting()
        progress = replace(self.progress, count=self.progress.count + len(included))
        if len(included) == len(self._waiting):
            # Else the place would pass a final that is not in the update.
            progress = self._advance(progress)
        self.progress = progress
        unsent = (*self._unsent_now(), *(one.utterance for one in included))
        wanted = replace(
            self.entry, progress=replace(progress, unsent=unsent), state=StreamState.OPEN
        )
        now = self._ledger.now()
        if self._due_at is None or self._due_at - now < SOON:
            self._due_at = now + DEAD
        return _Attempt(wanted, included, self._due_at)

    def _advance(self, progress: StreamProgress) -> StreamProgress:
        """Return the progress with the place that the recognition has come to."""
        if self._source is None:
            return progress
        checkpoint = self._source()
        return replace(
            progress,
            settled=max(checkpoint.settled, progress.settled),
            heard=checkpoint.heard,
            speakers=checkpoint.speakers,
        )

    async def _complete(self, attempt: _Attempt) -> None:
        self.entry = await self._ledger.write(attempt.entry, attempt.due_at)
        self._attempt = None
        del self._waiting[: len(attempt.included)]
        for one in attempt.included:
            self._unsent[one.utterance.utterance_id] = (one.utterance, one.size)
            self._send(one.utterance)
            one.publish()
        self._done.set()

    def _fitting(self) -> list[_Waiting]:
        """Return the first of the waiting finals, as many as the entry has room for."""
        count = len(self._unsent)
        size = sum(size for _, size in self._unsent.values())
        included: list[_Waiting] = []
        for one in self._waiting:
            count, size = count + 1, size + one.size
            if count > MOST_UNSENT or (size > MOST_UNSENT_BYTES and count > 1):
                break
            included.append(one)
        return included

    async def _make_room(self) -> None:
        """Put unsent finals into the table where there are many: the queue does not take them."""
        size = sum(size for _, size in self._unsent.values())
        if len(self._unsent) * 2 < MOST_UNSENT and size * 2 < MOST_UNSENT_BYTES:
            return
        kept = self._unsent_now()
        await self._ledger.store(kept)
        for utterance in kept:
            self._unsent.pop(utterance.utterance_id, None)

    def _unsent_now(self) -> tuple[Utterance, ...]:
        return tuple(utterance for utterance, _ in self._unsent.values())

    async def _write(
        self, state: StreamState, unsent: tuple[Utterance, ...], due_in: timedelta | None
    ) -> None:
        progress = replace(self.progress, unsent=unsent)
        wanted = replace(self.entry, progress=progress, state=state)
        if unsent and due_in is None:
            due_in = DEAD
        due_at = None if due_in is None else self._ledger.now() + due_in
        self._attempt = _Attempt(wanted, [], due_at)
        await self._complete(self._attempt)

    def _send(self, utterance: Utterance) -> None:
        identity = utterance.utterance_id

        def on_accepted() -> None:
            self._unsent.pop(identity, None)
            self._accepted.set()

        self._outbox.add(utterance, on_accepted)


def _size(utterance: Utterance) -> int:
    return len(utterance.model_dump_json(by_alias=True).encode())
