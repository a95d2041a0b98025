"""Decides who transcribes a recording: the server at once, a worker of the queue, or nobody.

The server is asked only if there is time to wait for its answer. The wait is estimated from the
recording's size (`TranscriptionPace`), by assumptions about the bytes of a second of audio and the
speed of the server. A wrong assumption costs only time: the router stops waiting early enough to
queue the recording, and queueing does no harm if the server transcribed it all the same.

Times are seconds. `left` is the time until the function has to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from foundation.backoff import backoff
from transcripts.recordings.machines import ASSUMED_SPEED
from transcripts.recordings.status import RecordingState

#: Kept for the end: to look once more whether there is a transcript, and to reach the queue, both
#: at their slowest. `lambdas.router.handler` has the clients' patience.
RESERVE: Final = 30.0
#: The least time for an attempt; with less none is made.
LEAST: Final = 5.0
#: How long the server may take for the recordings that wait in its own queue before this one.
PATIENCE: Final = 60.0
#: How many times longer than estimated a transcription may take before the router gives up.
SLACK: Final = 3.0
#: How often an attempt that failed is repeated.
RETRIES: Final = 3
#: The longest pause before the first of them; it doubles with each. Seconds.
FIRST_PAUSE: Final = 1.5
#: Opus for speech, 32 kbit/s. Other formats have more, so their duration is overestimated, and
#: large recordings in them are queued rather than tried in vain.
BYTES_PER_SECOND: Final = 4_000.0
#: A server that asks for more than this is overloaded; the queue is for such times.
LONGEST_PAUSE: Final = 10.0


class ServerHealth(StrEnum):
    """The health of the server, or why it is not known."""

    NONE = "none"
    NOT_ASKED = "not_asked"
    #: It does not answer, or nothing sensible.
    DOWN = "down"
    #: It answers that it cannot work yet, or not any more.
    NOT_READY = "not_ready"
    FULL = "full"
    READY = "ready"


class Reason(StrEnum):
    """Why a recording is queued."""

    BATCH = "batch"
    NO_SERVER = "no_server"
    TOO_LARGE = "too_large"
    NO_TIME = "no_time"
    SERVER_DOWN = "server_down"
    SERVER_NOT_READY = "server_not_ready"
    SERVER_FULL = "server_full"
    #: It rejected the recording, but stored no failure: the settings are wrong.
    SERVER_REFUSES = "server_refuses"
    #: The attempts are used up.
    SERVER_FAILS = "server_fails"


@dataclass(frozen=True, slots=True)
class Skip:
    """The recording has its final state; nothing is done."""

    state: RecordingState


@dataclass(frozen=True, slots=True)
class Enqueue:
    """The recording goes to the queue, for a worker to transcribe it."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionPace:
    """Assumptions about recordings and the server."""

    #: Bytes that are a second of audio.
    bytes_per_second: float = BYTES_PER_SECOND
    #: Seconds of audio that are transcribed in a second.
    speed: float = ASSUMED_SPEED

    def seconds(self, size: int | None) -> float:
        """Return how many seconds it takes to transcribe `size` bytes; 0 if the size is unknown."""
        return (size or 0) / self.bytes_per_second / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a recording and the server."""

    state: RecordingState
    batch: bool
    server: ServerHealth
    #: How long its transcription takes, by `TranscriptionPace`.
    needed: float
    left: float


_NOT_NOW: Final = {
    ServerHealth.NONE: Reason.NO_SERVER,
    ServerHealth.DOWN: Reason.SERVER_DOWN,
    ServerHealth.NOT_READY: Reason.SERVER_NOT_READY,
    ServerHealth.FULL: Reason.SERVER_FULL,
}


def decide(facts: Facts) -> Skip | Enqueue | None:
    """Decide what to do with a recording; None if the server should transcribe it.

    `ServerHealth.NOT_ASKED` counts as healthy. So a first call without the server's health finds
    out whether it is worth asking for.
    """
    if facts.state.is_final:
        return Skip(facts.state)
    if facts.batch:
        return Enqueue(Reason.BATCH)
    if facts.server in _NOT_NOW:
        return Enqueue(_NOT_NOW[facts.server])
    if facts.left - RESERVE < LEAST:
        return Enqueue(Reason.NO_TIME)
    if facts.needed > facts.left - RESERVE:
        return Enqueue(Reason.TOO_LARGE)
    return None


def patience(needed: float, left: float) -> float:
    """Return how long to wait for the server's answer to a recording, seconds."""
    return min(PATIENCE + SLACK * needed, left - RESERVE)


# --- after an attempt ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The server has transcribed the recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLater:
    """Nothing was done; another attempt may succeed."""

    #: How long the server wants to be left alone, where it said so.
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The outcome is unknown: no response came, or one that leaves it open."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Another attempt cannot succeed."""


Answer: TypeAlias = Transcribed | TryLater | NoAnswer | Rejected


@dataclass(frozen=True, slots=True)
class Pause:
    """The router tries again after `seconds`."""

    seconds: float


Next: TypeAlias = Skip | Enqueue | Pause


def is_unclear(answer: Answer) -> bool:
    """Return whether the recording may be transcribed although the answer does not say so."""
    return isinstance(answer, NoAnswer | Rejected)


def decide_next(
    answer: TryLater | NoAnswer | Rejected,
    *,
    state: RecordingState,
    attempts: int,
    needed: float,
    left: float,
    jitter: float,
) -> Next:
    """Decide what to do after an attempt that did not succeed.

    Args:
        answer: the attempt's.
        state: the recording's, after the attempt.
        attempts: how many were made.
        needed: how long a transcription takes, by `TranscriptionPace`.
        left: until the function has to end.
        jitter: random, 0 to 1, so that clients that failed together do not all return together.
    """
    if state.is_final:
        return Skip(state)
    if isinstance(answer, Rejected):
        return Enqueue(Reason.SERVER_REFUSES)
    if attempts > RETRIES:
        return Enqueue(Reason.SERVER_FAILS)
    pause = backoff(attempts, first=FIRST_PAUSE, draw=jitter)
    if isinstance(answer, TryLater) and answer.retry_after is not None:
        if answer.retry_after > LONGEST_PAUSE:
            return Enqueue(Reason.SERVER_FULL)
        pause = max(pause, answer.retry_after + jitter)
    if left - pause - RESERVE < max(LEAST, needed):
        return Enqueue(Reason.NO_TIME)
    return Pause(pause)


_OK: Final = 200
#: HTTP: too many requests, unavailable. A server that answers so has done nothing.
_NOTHING_DONE: Final = frozenset({429, 503})
#: Statuses from here on mean that the server has failed, not that the request is wrong.
_SERVER_ERROR: Final = 500
_DIGITS: Final = 6


def parse_response(status: int, retry_after: str | None) -> Answer:
    """Return the answer that an HTTP status and `Retry-After` stand for."""
    if status == _OK:
        return Transcribed()
    if status in _NOTHING_DONE:
        return TryLater(retry_after=_seconds(retry_after))
    return NoAnswer() if status >= _SERVER_ERROR else Rejected()


def _seconds(text: str | None) -> float | None:
    """Parse a `Retry-After` in seconds; None for one in the form of a date."""
    if text is None or len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return float(text)
