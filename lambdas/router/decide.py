"""Who transcribes a recording: the server at once, whoever works off the queue, or nobody.

The server is asked only where its answer can be awaited. How long that takes is an estimate from
the recording's size: so many bytes are a second of audio, and so many seconds of audio are
transcribed in a second (`Pace`). Both are assumptions, and a wrong one costs nothing but time: an
answer that does not come is given up early enough to queue the recording, which does no harm if
it was transcribed all the same.

Times are seconds. `left` is what remains until the function has to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from foundation.backoff import backoff
from transcripts.speed import ASSUMED_SPEED

#: Kept for the end: to look once more whether there is a transcript, and to reach the queue, both
#: at their slowest. `lambdas.router.handler` has the clients' patience.
RESERVE: Final = 30.0
#: An attempt with less than this is not worth making.
LEAST: Final = 5.0
#: How long the server may be silent about a recording that is transcribed in no time: what waits
#: before it in the server's own queue has to be done, too.
PATIENCE: Final = 60.0
#: How much slower than estimated a transcription may be before it is given up.
SLACK: Final = 3.0
#: How often an attempt that failed is repeated.
RETRIES: Final = 3
#: The longest pause before the first of them; it doubles with each. Seconds.
FIRST_PAUSE: Final = 1.5
#: Opus for speech, 32 kbit/s. Other formats have more, so by this figure they are longer than in
#: truth, and the large ones among them are queued rather than tried in vain.
BYTES_PER_SECOND: Final = 4_000.0
#: A server that asks for more than this is overloaded; the queue is for such times.
LONGEST_PAUSE: Final = 10.0


class Outcome(StrEnum):
    """How a recording ended that nobody has to transcribe any more."""

    TRANSCRIBED = "transcribed"
    #: No transcript can be made of it, and that is on record.
    FAILED = "failed"


class Server(StrEnum):
    """What is known of the server."""

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
    #: It said that another attempt is no use, and nothing is on record: the settings are wrong.
    SERVER_REFUSES = "server_refuses"
    #: The attempts are used up.
    SERVER_FAILS = "server_fails"


@dataclass(frozen=True, slots=True)
class Skip:
    """There is nothing to be done."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Queue:
    """Whoever works off the queue transcribes it."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is assumed of recordings and of the server."""

    #: Bytes that are a second of audio.
    bytes_per_second: float = BYTES_PER_SECOND
    #: Seconds of audio that are transcribed in a second.
    speed: float = ASSUMED_SPEED

    def seconds(self, size: int | None) -> float:
        """Return how long it takes to transcribe so many bytes; 0 if nobody knows how many."""
        return (size or 0) / self.bytes_per_second / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a recording and of the server."""

    outcome: Outcome | None
    batch: bool
    server: Server
    #: How long its transcription takes, by `Pace`.
    needed: float
    left: float


_NOT_NOW: Final = {
    Server.NONE: Reason.NO_SERVER,
    Server.DOWN: Reason.SERVER_DOWN,
    Server.NOT_READY: Reason.SERVER_NOT_READY,
    Server.FULL: Reason.SERVER_FULL,
}


def decide(facts: Facts) -> Skip | Queue | None:
    """Return what is to be done about a recording; None: the server is to transcribe it.

    What is not known of the server yet counts in its favour, so it is asked only about what it
    could be given.
    """
    if facts.outcome is not None:
        return Skip(facts.outcome)
    if facts.batch:
        return Queue(Reason.BATCH)
    if facts.server in _NOT_NOW:
        return Queue(_NOT_NOW[facts.server])
    if facts.left - RESERVE < LEAST:
        return Queue(Reason.NO_TIME)
    if facts.needed > facts.left - RESERVE:
        return Queue(Reason.TOO_LARGE)
    return None


def patience(needed: float, left: float) -> float:
    """Return how long the server's answer is awaited; less than `LEAST`: not at all."""
    return min(PATIENCE + SLACK * needed, left - RESERVE)


# --- after an attempt ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The server has transcribed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Nothing was done; another attempt may succeed."""

    #: How long the server wants to be left alone, where it said so.
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody knows what was done: no answer came, or one that leaves it open."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Another attempt is no use."""


Answer: TypeAlias = Done | Later | Lost | Refused


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so long, then try again."""

    seconds: float


Next: TypeAlias = Skip | Queue | Pause


def must_look(answer: Answer) -> bool:
    """Return whether the outcome may be there although the answer does not say so."""
    return isinstance(answer, Lost | Refused)


def after(
    answer: Later | Lost | Refused,
    *,
    outcome: Outcome | None,
    attempts: int,
    needed: float,
    left: float,
    jitter: float,
) -> Next:
    """Return what comes after an attempt that did not succeed.

    Args:
        answer: how it ended.
        outcome: what lies in the bucket by now.
        attempts: how many were made.
        needed: how long a transcription takes, by `Pace`.
        left: until the function has to end.
        jitter: 0 to 1, at random, so that those who failed together do not come back together.
    """
    if outcome is not None:
        return Skip(outcome)
    if isinstance(answer, Refused):
        return Queue(Reason.SERVER_REFUSES)
    if attempts > RETRIES:
        return Queue(Reason.SERVER_FAILS)
    pause = backoff(attempts, first=FIRST_PAUSE, draw=jitter)
    if isinstance(answer, Later) and answer.retry_after is not None:
        if answer.retry_after > LONGEST_PAUSE:
            return Queue(Reason.SERVER_FULL)
        pause = max(pause, answer.retry_after + jitter)
    if left - pause - RESERVE < max(LEAST, needed):
        return Queue(Reason.NO_TIME)
    return Pause(pause)


_OK: Final = 200
#: HTTP: too many requests, unavailable. Who says so has done nothing.
_NOTHING_DONE: Final = frozenset({429, 503})
#: From here on something is wrong with the server, not with the request.
_SERVER_ERROR: Final = 500
_DIGITS: Final = 6


def understood(status: int, retry_after: str | None) -> Answer:
    """Return what the server's HTTP status and its `Retry-After` mean."""
    if status == _OK:
        return Done()
    if status in _NOTHING_DONE:
        return Later(retry_after=_seconds(retry_after))
    return Lost() if status >= _SERVER_ERROR else Refused()


def _seconds(text: str | None) -> float | None:
    """Read a `Retry-After` in seconds; one in the form of a date is left out of account."""
    if text is None or len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return float(text)
