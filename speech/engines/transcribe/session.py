"""One session of Transcribe on the port of `base.py`: audio out, events in, nothing of the wire.

What keeps a session alive or ends it: in silence it sends zeros, for the service ends a stream
after 15 s without audio; in time it asks to be replaced, for a stream lasts 4 hours at most; and
a service that owes an answer gets a deadline. All that is looked at once a second.

Audio that is heard again after a failure is sent at once. The service refuses audio that comes
faster than real time for over five minutes; what can come so is what was not settled, usually
some seconds and hardly more than `MUTE_SECONDS`, and the 5 seconds of the backlog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from amazon_transcribe.model import Result
from pydantic import ValidationError

from speech.engines.base import BYTES_PER_SAMPLE, SAMPLE_RATE, Session, SessionEvents
from speech.engines.errors import EngineError, EngineStalled, SessionEnded
from speech.engines.transcribe.errors import ConnectionLost, CredentialsExpired, UnreadableEvent
from speech.engines.transcribe.link import Link
from speech.engines.transcribe.results import Segments
from speech.engines.transcribe.timeline import Settling, Timeline

#: An event holds at least and at most so much audio, in seconds; the service recommends it.
MIN_EVENT_SECONDS = 0.05
MAX_EVENT_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The session's times, in seconds."""

    #: How often it looks after itself.
    tick: float = 1.0
    #: Without audio for so long, zeros are sent. The service waits 15 s.
    idle: float = 5.0
    #: So much silence lets the service close a segment.
    closing_silence: float = 1.0
    #: While a segment is open and audio flows, something is said about it within this.
    answer: float = 10.0
    #: After the end of the audio, and after each answer, the next one comes within this.
    last_final: float = 8.0
    #: And as much later as the service may take for a second that came faster than it was spoken.
    replay_second: float = 1.0
    #: How often a peer that is silent is asked for a sign of life; see `websocket.py`.
    ping: float = 5.0
    #: From this age on it is replaced in the next pause, and at the latest when it is `max_age`.
    renewal_age: float = 3 * 3600 + 55 * 60
    max_age: float = 3 * 3600 + 58 * 60


class TranscribeSession(Session):
    """A stream of the service. Its link must be open before audio is written."""

    def __init__(
        self,
        link: Link,
        events: SessionEvents,
        *,
        channels: int = 1,
        patience: Patience | None = None,
        expired: Callable[[], None] | None = None,
    ) -> None:
        """Make a session.

        Args:
            link: where events go; it reports to this session.
            events: where results go.
            channels: of the audio, interleaved.
            patience: its times.
            expired: called when the service finds that the credentials have expired.
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
        self._sent_bytes = 0  # of our audio, without zeros
        self._processed = 0.0
        now = self._loop.time()
        self._settling = Settling(channels, began=now)
        self._began = now
        self._last_audio = now
        self._last_answer = now
        self._answer_at = 0.0  # how much audio was sent when the last answer came
        self._ended_at: float | None = None  # when the audio was complete and had left
        self._over = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(
            self._patience.tick, self._look
        )

    # --- the port -------------------------------------------------------------------------------

    def write(self, pcm: bytes) -> None:
        """Send audio on, in events of a fit length."""
        if self._over:
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
        """Tell the service that the audio is complete."""
        if self._over or self._ended_at is not None:
            return
        self._send_pending(self._frame)
        self._link.end_audio()
        self._ended_at = self._loop.time()
        if not self._link.waiting:
            self._settling.sent(self._ended_at, self._sent)
        self._report()

    @property
    def watches_itself(self) -> bool:
        """Whether it has a deadline for what the service owes: after the end, when all has left.

        To hear audio that was sent at once may take the service longer than any stall timeout.
        """
        return self._ended_at is not None and not self._link.waiting

    async def close(self) -> None:
        """Leave, also in mid-stream."""
        self._stop()
        await self._link.close()

    # --- the link's reports ---------------------------------------------------------------------

    def on_results(self, results: Iterable[Result]) -> None:
        """Take what the service says."""
        if self._over:
            return
        self._last_answer = self._loop.time()
        self._answer_at = self._sent
        self._settling.on_answer(self._last_answer)
        trouble: EngineError | None = None
        try:
            for one in results:
                for result in self._segments.convert(one):
                    if result.is_final:
                        self._settling.final(result.channel, result.end)
                    self._events.recognised(result)
        except (ValueError, TypeError, AttributeError, ValidationError):
            trouble = UnreadableEvent("Amazon Transcribe sent a result that makes no sense")
        # At once, so that no failure comes between a final and what it settles.
        self._settling.update(self._last_answer, self._segments.open_since)
        self._report()
        if trouble is not None:
            self._fail(trouble)

    def on_drained(self) -> None:
        """Learn that the peer takes audio again."""
        if not self._over:
            self._report()

    def on_end(self) -> None:
        """Learn that the service has ended the stream."""
        if self._over:
            return
        if self._ended_at is None:
            self._fail(ConnectionLost("Amazon Transcribe ended the stream in the middle"))
        elif self._segments.any_open:
            self._fail(ConnectionLost("Amazon Transcribe ended the stream before the last final"))
        else:
            self._stop()
            self._events.progressed(self._sent, self._sent)
            self._events.finished()

    def on_failure(self, error: EngineError) -> None:
        """Learn that the stream is over."""
        if not self._over:
            self._fail(error)

    # --- private --------------------------------------------------------------------------------

    @property
    def _sent(self) -> float:
        """Seconds of our audio that were handed to the link."""
        return self._sent_bytes / self._rate

    def _send(self, pcm: bytes) -> None:
        self._sent_bytes += len(pcm)
        self._link.send_audio(pcm)

    def _send_pending(self, at_least: int) -> None:
        """Send what was collected, in whole samples of all channels."""
        pending = self._pending
        while len(pending) >= at_least:
            size = min(len(pending), self._max_bytes)
            size -= size % self._frame
            self._send(bytes(pending[:size]))
            del pending[:size]

    def _report(self) -> None:
        """Tell how far the audio has left, and what is settled."""
        sent = self._sent
        # What waits are frames, a little longer than their audio: never too much is claimed.
        processed = sent - self._link.waiting / self._rate
        self._processed = max(self._processed, processed)
        settled = min(self._settling.settled, sent)
        self._events.progressed(self._processed, settled)

    def _look(self) -> None:
        """Look after the session."""
        self._timer = self._loop.call_later(self._patience.tick, self._look)
        now = self._loop.time()
        if self._pending and self._ended_at is None:
            self._send_pending(self._frame)
        trouble = self._overdue(now)
        if trouble is not None:
            self._fail(trouble)
            return
        flows = not self._link.waiting
        if flows:
            self._settling.sent(now, self._sent)
            if self._ended_at is None and now - self._last_audio >= self._patience.idle:
                self._fill(now)
        self._settling.update(now, self._segments.open_since)
        self._report()

    def _overdue(self, now: float) -> EngineError | None:
        """Return why the session should be given up, if it should."""
        patience = self._patience
        if self._ended_at is not None:
            if self._link.waiting:
                self._ended_at = now  # the stall timeout watches over what does not leave
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
            return EngineStalled("Amazon Transcribe says no more about what it began")
        age = max(now - self._began, self._sent + self._timeline.inserted)
        if age >= patience.max_age or (age >= patience.renewal_age and not self._segments.any_open):
            return SessionEnded("a session of Amazon Transcribe lasts four hours")
        return None

    def _fill(self, now: float) -> None:
        """Send zeros, enough for the end of a segment if one is open."""
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
        self._over = True
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
