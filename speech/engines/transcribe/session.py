"""One session of Transcribe on the port of `base.py`, independent of the wire.

A check every second maintains the session. During silence it sends zeros, because the service ends
a stream after 15 s without audio. It reports `SessionEnded` in time,
because a stream lasts at most 4 hours. It fails if the service exceeds the deadline for an answer.

A replay is sent at once. The service refuses audio that arrives faster than real time for over five
minutes. A replay is far shorter: it has the audio that is not settled, usually some seconds and
hardly more than `MUTE_SECONDS`, and the 5 seconds of the backlog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from amazon_transcribe.model import Result
from pydantic import ValidationError

from speech.engines.base import Session, SessionEvents
from speech.engines.errors import EngineError, EngineStalled, SessionEnded
from speech.engines.transcribe.errors import ConnectionLost, CredentialsExpired, UnreadableEvent
from speech.engines.transcribe.link import Link
from speech.engines.transcribe.results import Segments
from speech.engines.transcribe.timeline import Settling, Timeline
from speech.pcm import BYTES_PER_SAMPLE, SAMPLE_RATE

#: The least and the most audio in an event, in seconds, as the service recommends.
MIN_EVENT_SECONDS = 0.05
MAX_EVENT_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The intervals and timeouts of a session, in seconds."""

    #: The interval of the check.
    tick: float = 1.0
    #: The time without audio after which zeros are sent. The service waits 15 s.
    idle: float = 5.0
    #: Silence after which the service closes a segment.
    closing_silence: float = 1.0
    #: The longest time without a result while a segment is open and audio is sent.
    answer: float = 10.0
    #: The longest time to the next result after the end of the audio.
    last_final: float = 8.0
    #: Added to it for each second of audio that was sent faster than real time.
    replay_second: float = 1.0
    #: The interval of pings to a silent peer; see `websocket.py`.
    ping: float = 5.0
    #: The age from which it is replaced in the next pause, and at `max_age` at the latest.
    renewal_age: float = 3 * 3600 + 55 * 60
    max_age: float = 3 * 3600 + 58 * 60


class TranscribeSession(Session):
    """A stream of Amazon Transcribe. Its link has to be open before audio is written."""

    def __init__(
        self,
        link: Link,
        events: SessionEvents,
        *,
        channels: int = 1,
        patience: Patience | None = None,
        expired: Callable[[], None] | None = None,
    ) -> None:
        """Create a session.

        Args:
            link: the connection, whose receiver is this session.
            events: the callbacks for results.
            channels: the number of interleaved channels.
            patience: the intervals and timeouts.
            expired: called when the service reports expired credentials.
        """
        self._link = link
        self._events = events
        self._patience = patience or Patience()
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._frame = channels * BYTES_PER_SAMPLE
        self._rate = SAMPLE_RATE * self._frame  # bytes in a second
        self._min_bytes = round(MIN_EVENT_SECONDS * SAMPLE_RATE) * self._frame
        self._max_bytes = round(MAX_EVENT_SECONDS * SAMPLE_RATE) * self._frame
        self._timeline = Timeline()
        self._segments = Segments(channels, self._timeline)
        self._pending = bytearray()  # too little for an event
        self._sent_bytes = 0  # without zeros
        self._processed = 0.0
        now = self._loop.time()
        self._settling = Settling(channels, began=now)
        self._began = now
        self._last_audio = now
        self._last_answer = now
        self._answer_at = 0.0  # seconds of audio sent before the last answer
        self._ended_at: float | None = None  # when all audio was sent
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(
            self._patience.tick, self._tick
        )

    # --- the port -------------------------------------------------------------------------------

    def write(self, pcm: bytes) -> None:
        """Send audio in events of a suitable length."""
        if self._is_over:
            return
        self._last_audio = self._loop.time()
        size = len(pcm)
        if (
            not self._pending
            and self._min_bytes <= size <= self._max_bytes
            and not size % self._frame
        ):
            self._send(pcm)
        else:
            self._pending += pcm
            self._send_pending(self._min_bytes)
        self._report()

    def end(self) -> None:
        """End the audio."""
        if self._is_over or self._ended_at is not None:
            return
        self._send_pending(self._frame)
        self._link.end_audio()
        self._ended_at = self._loop.time()
        if not self._link.waiting:
            self._settling.record_sent(self._ended_at, self._sent)
        self._report()

    @property
    def detects_stalls(self) -> bool:
        """Whether the session's own deadline applies: after the end, when all audio was sent.

        The service may need longer for a replay than any stall timeout.
        """
        return self._ended_at is not None and not self._link.waiting

    async def close(self) -> None:
        """Close the session, also in mid-stream."""
        self._stop()
        await self._link.close()

    # --- the link's reports ---------------------------------------------------------------------

    def deliver(self, results: Iterable[Result]) -> None:
        """Convert results and report them."""
        if self._is_over:
            return
        self._last_answer = self._loop.time()
        self._answer_at = self._sent
        self._settling.record_answer(self._last_answer)
        problem: EngineError | None = None
        try:
            for one in results:
                for result in self._segments.convert(one):
                    if result.is_final:
                        self._settling.record_final(result.channel, result.end)
                    self._events.recognised(result)
        except (ValueError, TypeError, AttributeError, ValidationError):
            problem = UnreadableEvent("Amazon Transcribe sent an invalid result")
        # At once, so that no failure separates a final from the audio that it settles.
        self._settling.update(self._last_answer, self._segments.open_since)
        self._report()
        if problem is not None:
            self._fail(problem)

    def drained(self) -> None:
        """Report the progress when the peer accepts audio again."""
        if not self._is_over:
            self._report()

    def ended(self) -> None:
        """Finish, or fail where the service has ended the stream too early."""
        if self._is_over:
            return
        if self._ended_at is None:
            self._fail(ConnectionLost("Amazon Transcribe ended the stream in the middle"))
        elif self._segments.any_open:
            self._fail(ConnectionLost("Amazon Transcribe ended the stream before the last final"))
        else:
            self._stop()
            self._events.progressed(self._sent, self._sent)
            self._events.finished()

    def failed(self, error: EngineError) -> None:
        """Fail with the error of the link."""
        if not self._is_over:
            self._fail(error)

    # --- private --------------------------------------------------------------------------------

    @property
    def _sent(self) -> float:
        """Seconds of audio that were passed to the link."""
        return self._sent_bytes / self._rate

    def _send(self, pcm: bytes) -> None:
        self._sent_bytes += len(pcm)
        self._link.send_audio(pcm)

    def _send_pending(self, at_least: int) -> None:
        """Send the pending audio in whole frames."""
        pending = self._pending
        while len(pending) >= at_least:
            size = min(len(pending), self._max_bytes)
            size -= size % self._frame
            self._send(bytes(pending[:size]))
            del pending[:size]

    def _report(self) -> None:
        """Report the sent and the settled audio."""
        sent = self._sent
        # The waiting bytes include framing, so this never reports too much.
        processed = sent - self._link.waiting / self._rate
        self._processed = max(self._processed, processed)
        settled = min(self._settling.settled, sent)
        self._events.progressed(self._processed, settled)

    def _tick(self) -> None:
        """Check the session, and send zeros where necessary."""
        self._timer = self._loop.call_later(self._patience.tick, self._tick)
        now = self._loop.time()
        if self._pending and self._ended_at is None:
            self._send_pending(self._frame)
        problem = self._find_overdue(now)
        if problem is not None:
            self._fail(problem)
            return
        flows = not self._link.waiting
        if flows:
            self._settling.record_sent(now, self._sent)
            if self._ended_at is None and now - self._last_audio >= self._patience.idle:
                self._fill(now)
        self._settling.update(now, self._segments.open_since)
        self._report()

    def _find_overdue(self, now: float) -> EngineError | None:
        """Return the reason to end the session, if there is one."""
        patience = self._patience
        if self._ended_at is not None:
            if self._link.waiting:
                self._ended_at = now  # the stall timeout applies to unsent audio
            repeated = max(0.0, self._settling.arrival - self._ended_at) * patience.replay_second
            since = max(self._ended_at + repeated, self._last_answer)
            if now - since >= patience.last_final:
                return EngineStalled("Amazon Transcribe did not finish the stream")
            return None
        if (
            self._segments.any_open
            and now - self._last_answer >= patience.answer
            and self._sent - self._answer_at >= patience.answer / 2
        ):
            return EngineStalled("Amazon Transcribe sends no more results of an open segment")
        age = max(now - self._began, self._sent + self._timeline.inserted)
        if age >= patience.max_age or (age >= patience.renewal_age and not self._segments.any_open):
            return SessionEnded("a session of Amazon Transcribe lasts four hours")
        return None

    def _fill(self, now: float) -> None:
        """Send zeros, enough to close the segment if one is open."""
        seconds = MAX_EVENT_SECONDS
        count = 1
        if self._segments.any_open:
            count = round(self._patience.closing_silence / MAX_EVENT_SECONDS)
        zeros = bytes(self._max_bytes)
        for _ in range(count):
            self._timeline.insert(self._sent, seconds)
            self._link.send_audio(zeros)
        self._last_audio = now

    def _fail(self, error: EngineError) -> None:
        if isinstance(error, CredentialsExpired) and self._expired is not None:
            self._expired()
        log.info(
            "transcribe_session_over",
            error=type(error).__name__,
            request_id=self._link.request_id,
            seconds=round(self._sent, 3),
        )
        self._stop()
        self._events.failed(error)

    def _stop(self) -> None:
        self._is_over = True
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
