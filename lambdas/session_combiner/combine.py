"""Combines the transcripts of a session's chunks into one, once all are in the bucket.

    list the chunks' outcomes ─► decide ─► wait
                                   └────► read the chunks ─► captions ─► transcript ─► list again

Every event lists the chunks, which costs a request per 1,000 of them and a few others. The chunks'
transcripts are read only when there is something to write. Each written object has the fingerprint
of its sources in its metadata, so an event that changes nothing writes nothing.

Any number of invocations may run at once. An invocation replaces only the transcript that it has
seen (If-None-Match, If-Match). It ends only when it has listed the chunks again and found that
transcript and captions match them. So the last writer has also checked everything. Lambda repeats
an invocation that was cut off.

Memory holds the segments of the session and the few chunks that are being read. Above `WORDS_UP_TO`
bytes of transcripts the words are left out, which are most of the memory; above `COMBINED_UP_TO`
the session is refused.

Exception
├── SessionTooLarge    its chunks' transcripts are larger than this function may hold
├── OutOfTime          the invocation has too little time left
└── SessionUnsettled   others kept changing the session
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from foundation.backoff import backoff
from transcripts.documents import RecordingTranscript, SessionEnd, SessionMetadata
from transcripts.recordings.keys import Session, transcribed_chunk
from transcripts.recordings.objects import ObjectVersion
from transcripts.recordings.sessions import (
    Combine,
    Plan,
    Read,
    Wait,
    chunk_results,
    combine,
    decide,
    needs_audio,
    uploaded_chunks,
)
from transcripts.recordings.store import DocumentStore, UnreadableDocument

#: Transcripts that are read at a time; the client needs as many connections.
READERS: Final = 16
#: Bytes of chunks' transcripts that are combined with their words.
WORDS_UP_TO: Final = 48 * 1024**2
COMBINED_UP_TO: Final = 384 * 1024**2
#: The longest time to make and store a transcript, seconds: per megabyte, and besides.
SECONDS_PER_MB: Final = 1.0
SECONDS_BESIDES: Final = 5.0
#: How often a session may change while it is written. The pauses in between are random and grow to
#: some twenty seconds, so that invocations after a burst of events get out of each other's way: one
#: that gives up is an error, and errors roll a new version back.
ATTEMPTS: Final = 10
PAUSE: Final = 0.1

#: Seconds that are left.
Remaining = Callable[[], float]


class Log(Protocol):
    """A logger of Python or of Powertools."""

    def warning(self, msg: object, *args: object) -> None:
        """Log something for operators to know."""

    def error(self, msg: object, *args: object) -> None:
        """Log something for operators to repair."""


class SessionTooLarge(Exception):
    """A session's transcripts are larger than this function may hold."""


class OutOfTime(Exception):
    """The invocation has too little time left; another one has more."""


class SessionUnsettled(Exception):
    """Others kept changing the session; another invocation tries again."""


class _ChunkVanished(Exception):
    """A transcript was deleted after it had been listed."""


class Effect(StrEnum):
    """What the combiner did about a session."""

    WAITING = "waiting"
    WRITTEN = "written"
    UPDATED = "updated"
    #: Transcript and captions are as they should be.
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineResult:
    """What the combiner did about a session, and what it found."""

    effect: Effect
    #: Chunks that are waited for; None if nobody knows how many there will be.
    outstanding: int | None = 0
    #: Chunks in the transcript, and those that it lacks.
    chunks: int = 0
    gaps: int = 0


class Combiner:
    """Combines sessions of one bucket.

    Args:
        store: the documents of the bucket.
        now: returns the current time, with a time zone.
        log: gets names of chunks, never their text.
        sleep: waits between attempts, seconds.
    """

    def __init__(
        self,
        store: DocumentStore,
        *,
        now: Callable[[], datetime],
        log: Log,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._now = now
        self._log = log
        self._sleep = sleep

    def end(self, session: Session, end: SessionEnd) -> None:
        """Store that a session has ended; a second call changes nothing.

        Raises:
            Contended: others kept writing it.
        """
        self._store.put_once(session.end_key, end)

    def combine(self, session: Session, remaining: Remaining) -> CombineResult:
        """Write a session's transcript and captions if its chunks are complete and they differ.

        Raises:
            SessionTooLarge, OutOfTime, SessionUnsettled: see the module.
            Contended: others kept writing the same object in the same moment.
            UnreadableDocument: the stored end of the session is malformed.
        """
        written: Effect | None = None
        for attempt in range(ATTEMPTS):
            plan = self._decide(session)
            if isinstance(plan, Wait):
                return CombineResult(effect=written or Effect.WAITING, outstanding=plan.outstanding)
            present = self._store.objects.head(session.transcript_key)
            current = present is not None and present.fingerprint == plan.fingerprint
            if current and not self._store.stale_captions(session.transcript_key, plan.fingerprint):
                return CombineResult(
                    effect=written or Effect.UNCHANGED,
                    chunks=len(plan.transcripts),
                    gaps=len(plan.gaps),
                )
            try:
                won = self._write(session, plan, present, remaining, current=current)
            except _ChunkVanished:
                continue
            if won:
                written = Effect.UPDATED if present else Effect.WRITTEN
            elif not current and attempt < ATTEMPTS - 1:
                self._sleep(backoff(attempt + 1, first=PAUSE, jitter=1))
        raise SessionUnsettled("the session kept changing while it was written")

    def _decide(self, session: Session) -> Plan:
        store = self._store
        known = chunk_results(session, store.objects.list(session.outcomes_prefix))
        if known.duplicates:
            names = sorted(transcribed_chunk(key).name for key in known.duplicates)
            self._log.warning("duplicate chunk numbers: %s", names[:20])
        found_end = store.get(session.end_key, SessionEnd)
        end = found_end.document if found_end else None
        metadata = self._metadata(session)

        def decided(audio: Iterable[ObjectVersion]) -> Plan:
            numbers = uploaded_chunks(session, (each.key for each in audio))
            return decide(known, metadata=metadata, end=end, audio=numbers)

        # One more listing, which most of a session's events can do without.
        if end is None and isinstance(waiting := decided(()), Wait):
            return waiting
        return decided(
            store.objects.list(session.chunks_prefix) if needs_audio(metadata, end) else ()
        )

    def _metadata(self, session: Session) -> SessionMetadata | None:
        """Return the session's metadata, if they are there and valid.

        Malformed metadata fail the event about them, and no event about a chunk.
        """
        try:
            found = self._store.get(session.metadata_key, SessionMetadata)
        except UnreadableDocument as error:
            self._log.warning("metadata.json ignored: %s", error)
            return None
        return found.document if found else None

    def _write(
        self,
        session: Session,
        plan: Combine,
        present: ObjectVersion | None,
        remaining: Remaining,
        *,
        current: bool,
    ) -> bool:
        """Write captions and, unless it is `current`, the transcript; return whether that was."""
        if plan.size > COMBINED_UP_TO:
            raise SessionTooLarge(f"{plan.size} bytes of transcripts, of {COMBINED_UP_TO}")
        store, key, fingerprint = self._store, session.transcript_key, plan.fingerprint
        with self._reading(plan, remaining) as read:
            transcript = combine(
                session, plan, read, now=self._now(), with_words=plan.size <= WORDS_UP_TO
            )
        store.write_captions(key, transcript, fingerprint)
        if current:
            return False
        if present is None:
            return store.put_once(key, transcript, fingerprint=fingerprint)
        return store.replace(key, transcript, present.etag, fingerprint=fingerprint)

    @contextmanager
    def _reading(self, plan: Combine, remaining: Remaining) -> Iterator[Iterator[Read | None]]:
        """Yield the transcripts of `plan` in order; several threads read them."""
        needed = SECONDS_BESIDES + SECONDS_PER_MB * plan.size / 1e6
        with ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool:
            try:
                yield self._in_order(plan, pool, lambda: remaining() - needed)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _in_order(
        self, plan: Combine, pool: ThreadPoolExecutor, spare: Remaining
    ) -> Iterator[Read | None]:
        waiting: deque[Future[Read | None]] = deque()
        for _, listed in plan.transcripts:
            if spare() < 0:
                raise OutOfTime("too little time is left to combine the session")
            waiting.append(pool.submit(self._read, listed))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, listed: ObjectVersion) -> Read | None:
        try:
            found = self._store.get(listed.key, RecordingTranscript)
        except UnreadableDocument as error:
            # One chunk must not cost the session; it becomes a gap that says so.
            chunk = transcribed_chunk(listed.key).name
            self._log.error("unreadable transcript of %s: %s", chunk, error)
            return None
        if found is None:
            raise _ChunkVanished
        return Read(found.document, found.etag)
