"""Routes one recording: looks it up, asks the server, waits for it, or queues the recording.

It waits for the server's answer, because only a waiting caller or the queue makes a recording safe:
a server that only accepted it would lose it when Spot takes the machine. docs/recordings.md has the
figures.

`lambdas.router.decide` decides. The server, the bucket, the queue and the clock are injected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

from lambdas.router.decide import (
    Answer,
    Enqueue,
    Facts,
    Pause,
    ServerHealth,
    Skip,
    Transcribed,
    TranscriptionPace,
    decide,
    decide_next,
    is_unclear,
    patience,
)
from lambdas.router.request import TranscriptionRequest
from transcripts.recordings.keys import TranscriptionJob
from transcripts.recordings.status import RecordingState


class Lookup(Protocol):
    """Looks recordings up; `lambdas.router.bucket.BucketLookup` is one."""

    def state(self, request: TranscriptionRequest) -> RecordingState:
        """Return the state of a recording."""

    def size(self, request: TranscriptionRequest) -> int | None:
        """Return a recording's size in bytes, if it is there."""


class RemoteTranscriber(Protocol):
    """Asks a server to transcribe; `lambdas.router.server.GpuServerClient` is one."""

    def health(self) -> ServerHealth:
        """Return the server's health."""

    def transcribe(self, bucket: str, key: str, *, seconds: float) -> Answer:
        """Have a recording transcribed; wait at most `seconds` for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationClock:
    """The clock of an invocation. Times are seconds."""

    #: Returns the time until the function has to end.
    left: Callable[[], float]
    sleep: Callable[[float], None]
    #: Returns a random number, 0 to 1.
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteResult:
    """How the routing of a recording ended."""

    end: Transcribed | Skip | Enqueue
    #: Attempts at the server.
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRouter:
    """Routes recordings. Raises the errors of bucket and queue."""

    recordings: Lookup
    #: None where there is none.
    server: RemoteTranscriber | None
    queue: Callable[[TranscriptionJob], None]
    pace: TranscriptionPace

    def route(self, request: TranscriptionRequest, clock: InvocationClock) -> RouteResult:
        """Have a recording transcribed or queued, or skip it because its state is final.

        An attempt before queueing may have succeeded without an answer; the worker of the queue
        checks again.
        """
        report = self._try(request, clock)
        if isinstance(report.end, Enqueue):
            self.queue(request.job)
        return report

    def _try(self, request: TranscriptionRequest, clock: InvocationClock) -> RouteResult:
        facts = Facts(
            state=self.recordings.state(request),
            batch=request.batch,
            server=ServerHealth.NONE if self.server is None else ServerHealth.NOT_ASKED,
            needed=self.pace.seconds(request.job.size),
            left=clock.left(),
        )
        end = decide(facts)
        if end is not None:
            return RouteResult(end=end)
        assert self.server is not None  # noqa: S101 - for mypy; without one it is queued
        if request.job.size is None:
            facts = replace(facts, needed=self.pace.seconds(self.recordings.size(request)))
        end = decide(replace(facts, left=clock.left()))
        if end is None:
            server = self.server.health()
            end = decide(replace(facts, server=server, left=clock.left()))
        if end is not None:
            return RouteResult(end=end)
        return self._attempts(self.server, request, facts.needed, clock)

    def _attempts(
        self,
        server: RemoteTranscriber,
        request: TranscriptionRequest,
        needed: float,
        clock: InvocationClock,
    ) -> RouteResult:
        """Have the server transcribe, in several attempts if needed, within the time limit."""
        for attempts in count(1):
            seconds = patience(needed, clock.left())
            answer = server.transcribe(request.job.bucket, request.job.key, seconds=seconds)
            if isinstance(answer, Transcribed):
                return RouteResult(end=answer, attempts=attempts)
            next_ = decide_next(
                answer,
                state=self._state_after(answer, request),
                attempts=attempts,
                needed=needed,
                left=clock.left(),
                jitter=clock.jitter(),
            )
            if not isinstance(next_, Pause):
                return RouteResult(end=next_, attempts=attempts)
            clock.sleep(next_.seconds)
        raise AssertionError("attempts are limited")

    def _state_after(self, answer: Answer, request: TranscriptionRequest) -> RecordingState:
        return self.recordings.state(request) if is_unclear(answer) else RecordingState.WAITING
