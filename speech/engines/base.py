"""The port of every engine.

An `Engine` opens a `Recognition` for each audio stream. A recognition is written to like an asyncio
transport (`write`, then `drain` when it is `backlogged`) and iterated for results:

    async with engine.recognise(options) as recognition:
        recognition.write(pcm)
        if recognition.backlogged:
            await recognition.drain()
        recognition.end()
        async for result in recognition: ...

A caller that needs each result at once, without a task that waits for it, passes `on_result` to
`recognise` and awaits `finished`.

An engine module implements a `Session`: one attempt at the stream, on a timeline of its own that
starts at zero. This module implements once what all engines need:

- retries: a failed session is replaced, and the audio that is not settled is replayed to the next
  one, so that no word is lost or duplicated;
- time: results are on a timeline that is linear over the whole stream;
- speakers: a number stands for one speaker, in whichever session the engine assigned it;
- the stall timeout: an engine that shows no activity while audio waits has failed;
- the bound: `backlogged` is true while too much audio or too many results wait.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import structlog

from foundation.backoff import backoff
from speech.engines.errors import (
    EngineError,
    EngineStalled,
    OptionError,
    SessionEnded,
    UnsupportedChannels,
    UnsupportedLanguage,
)
from speech.engines.replay_buffer import ReplayBuffer
from speech.pcm import BYTES_PER_SAMPLE, BYTES_PER_SECOND, SAMPLE_RATE
from transcripts.models import Word

#: An error lists the supported languages up to this number.
MAX_NAMED = 12

log = structlog.get_logger(__name__)


@dataclass(slots=True)  # not frozen: construction would take several times as long
class Result:
    """The text of one segment so far. Treat it as immutable.

    A partial replaces the previous one; `is_final` closes the segment. The segments of a channel
    are numbered from 0, and one of them is open at a time. Times are seconds from the start of the
    stream.
    """

    segment: int
    is_final: bool
    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    language: str | None = None
    #: The engine's number of the speaker among several on the channel, from 0.
    speaker_number: int | None = None
    channel: int = 0
    #: How many words, from the first, the engine expects to stay; `None` if it does not report it.
    stable_words: int | None = None

    @property
    def speaker_label(self) -> str | None:
        """The speaker label, as in Amazon Transcribe's files."""
        return None if self.speaker_number is None else f"spk_{self.speaker_number}"

    def shift(self, *, segments: int, seconds: float, speakers: int = 0) -> Result:
        """Return this result on a timeline that began earlier by the given amounts."""
        if not (segments or seconds or speakers):
            return self
        words = self.words
        if seconds:
            words = tuple([_shift_word(word, seconds) for word in words])
        return replace(
            self,
            segment=self.segment + segments,
            start=self.start + seconds,
            end=self.end + seconds,
            words=words,
            speaker_number=None if self.speaker_number is None else self.speaker_number + speakers,
        )


def _shift_word(word: Word, seconds: float) -> Word:
    """Return `word` later by `seconds`. The constructor takes 3 us, pydantic's own copy 5 us."""
    return Word(
        word=word.word,
        start_time=word.start_time + seconds,
        end_time=word.end_time + seconds,
        confidence=word.confidence,
    )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of an engine."""

    #: The languages that it recognises, as BCP 47 tags; empty for any.
    languages: frozenset[str] = frozenset()
    #: The most interleaved channels that it recognises separately.
    channels: int = 1
    #: Whether it takes `RecognitionOptions.choices`; it refuses the ones that it does not know.
    choices: bool = False
    punctuation: bool = True
    #: Whether the words of finals have times of their own.
    word_times: bool = True
    #: Whether partials say how many of their words are expected to stay.
    stable_words: bool = False
    #: Whether it can number the speakers of one channel.
    speakers: bool = False


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """The options of one stream."""

    language: str = "en-US"
    #: Interleaved in the audio, and recognised separately.
    channels: int = 1
    #: Further options by the engine's own names.
    choices: Mapping[str, str] = field(default_factory=dict)
    #: Seconds at the beginning of a session's audio in which nothing is recognised: the results of
    #: an earlier session have their words. Only for engines that ask for it, see `Engine.lead_in`.
    lead_in: float = 0.0
    #: Where on the timeline of the stream the session's audio begins, seconds.
    begin: float = 0.0


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a recognition goes on with a stream that another one began.

    Positions are frames from the start of the stream. The audio begins at `start`. What lies before
    `settled` only leads in, and that of a channel before its `heard` is silence.
    """

    start: int = 0
    settled: int = 0
    #: For each channel, the end of its last final.
    heard: tuple[int, ...] = (0,)
    #: The number of the first segment, and of the first speaker.
    segment: int = 0
    speaker: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a recognition has come, in frames: what a `ResumePoint` is made of."""

    settled: int
    heard: tuple[int, ...]
    speakers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits and timeouts of a recognition. Times are seconds, backlog is seconds of audio."""

    max_backlog: float = 5.0
    max_results: int = 256
    stall_timeout: float = 10.0
    connect_timeout: float = 10.0
    attempts: int = 4
    first_delay: float = 0.1
    max_delay: float = 5.0

    def delay(self, failures: int) -> float:
        """Return the wait before attempt `failures + 1`, in seconds."""
        return backoff(failures, first=self.first_delay, longest=self.max_delay)


class SessionEvents(Protocol):
    """The callbacks of a session, called on the event loop. Times are on the session's timeline."""

    def progressed(self, processed: float, settled: float) -> None:
        """Report that audio up to `processed` was consumed, and that all before `settled` is final.

        Audio before `settled` is not replayed after a failure. Both only grow.
        """

    def recognised(self, result: Result) -> None:
        """Deliver a partial or a final."""

    def finished(self) -> None:
        """Report that the audio has ended and the last result was delivered."""

    def failed(self, error: EngineError) -> None:
        """Report that the session is dead; no event follows."""


class Session(ABC):
    """One attempt of an engine at a stream, opened by `Engine.connect`."""

    @abstractmethod
    def write(self, pcm: bytes) -> None:
        """Take PCM (16 kHz, s16le, channels interleaved, whole frames).

        Never blocks; audio that cannot be processed yet is buffered.
        """

    @abstractmethod
    def end(self) -> None:
        """End the audio; `finished` is reported after the last result."""

    @property
    def detects_stalls(self) -> bool:
        """Whether the session itself detects a dead engine; then the recognition does not check."""
        return False

    @abstractmethod
    async def close(self) -> None:
        """Free all resources, also in mid-stream. Idempotent; reports and raises nothing."""


class Engine(ABC):
    """A speech recogniser. An async context manager: entering it loads what it needs."""

    name: str
    capabilities: Capabilities = Capabilities()
    policy: Policy = Policy()
    #: Seconds of settled audio with which a session that replaces another one begins, at most.
    lead_in: float = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def admit(self, *, first: bool) -> None:
        """Wait until the engine admits a session, before each `connect` and outside its timeout.

        A wait that the engine imposes is no failure, so a running stream is never given up for it,
        however many streams wait. The wait may be cancelled. By default there is none.

        Args:
            first: whether the stream has not begun; its client can then be refused and retry.

        Raises:
            EngineError: the stream is refused, without another attempt.
        """
        del first

    @abstractmethod
    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Open a session that reports to `events`.

        Raises:
            EngineError: no session can be opened.
        """

    def recognise(
        self,
        options: RecognitionOptions,
        on_result: Callable[[Result], None] | None = None,
        resume: ResumePoint | None = None,
    ) -> Recognition:
        """Return a recognition; entering it opens its first session.

        With `on_result`, results are delivered to it as they arrive, and the recognition is not
        iterated. An exception of `on_result` ends the recognition, and `finished` raises it.
        With `resume`, its audio does not begin at the start of the stream.

        Raises:
            UnsupportedLanguage: the engine does not support `options.language`.
            UnsupportedChannels: it does not support so many channels.
            OptionError: there are `options.choices`, and it takes none.
        """
        if options.choices and not self.capabilities.choices:
            raise OptionError(f"the engine {self.name!r} has no options")
        if options.channels > self.capabilities.channels:
            raise UnsupportedChannels(
                f"the engine {self.name!r} recognises {self.capabilities.channels} channel"
                f"{'s' if self.capabilities.channels > 1 else ''}, not {options.channels}"
            )
        known = self.capabilities.languages
        if known and options.language not in known:
            few = ", ".join(sorted(known)) if len(known) <= MAX_NAMED else f"{len(known)} languages"
            raise UnsupportedLanguage(
                f"the engine {self.name!r} recognises {few}, not {options.language}"
            )
        return Recognition(self, options, on_result, resume)


class Recognition:
    """The recognition of one audio stream, over all the sessions that serve it."""

    def __init__(
        self,
        engine: Engine,
        options: RecognitionOptions,
        on_result: Callable[[Result], None] | None = None,
        resume: ResumePoint | None = None,
    ) -> None:
        at = resume or ResumePoint(heard=(0,) * options.channels)
        self._engine = engine
        self._options = options
        self._on_result = on_result or self._keep
        self._policy = engine.policy
        self._bytes_per_second = BYTES_PER_SECOND * options.channels
        self._replay_buffer = ReplayBuffer(
            channels=options.channels,
            bytes_per_sample=BYTES_PER_SAMPLE,
            max_lead_in=_frames(engine.lead_in),
            start=at.settled,
            first=at.start,
            settled=at.heard,
        )
        self._settled = at.settled / SAMPLE_RATE
        # Of the whole stream, so it counts what came before this recognition.
        self._written_bytes = at.start * BYTES_PER_SAMPLE * options.channels
        self._processed = at.start / SAMPLE_RATE
        # Written beyond it, audio is a backlog.
        self._high_water_bytes = self._compute_high_water(self._processed)
        self._ended = False
        # The finals of each channel so far, which is the number of its open segment.
        self._segments = [at.segment] * options.channels
        self._speakers = at.speaker  # numbers assigned so far
        # The last result of each channel, where it is a partial; and the channels whose partial an
        # earlier session reported.
        self._partials: dict[int, Result] = {}
        self._orphans: set[int] = set()
        self._results: deque[Result] = deque()
        self._result_count = 0  # results so far, as a sign of activity
        self._failures = 0  # in a row, without audio settled in between
        self._attempt: _Attempt | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._finished = False
        self._readable = asyncio.Event()
        self._drained = asyncio.Event()

    # --- for the caller -----------------------------------------------------------------

    @property
    def written(self) -> float:
        """Seconds of the stream up to the end of the audio taken so far."""
        return self._written_bytes / self._bytes_per_second

    @property
    def processed(self) -> float:
        """Seconds of audio that the engine has consumed; decreases when a session is replaced."""
        return self._processed

    @property
    def lag(self) -> float:
        """Seconds of audio that wait for the engine."""
        return max(0.0, self.written - self._processed)

    @property
    def backlogged(self) -> bool:
        """Whether the caller should `drain` before it writes again."""
        return (
            self._written_bytes > self._high_water_bytes
            or len(self._results) > self._policy.max_results
        )

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the results are complete that were delivered so far."""
        heard = self._replay_buffer.settled
        return Checkpoint(_frames(self._settled), heard, self._speakers)

    async def __aenter__(self) -> Self:
        """Open the first session.

        Raises:
            EngineError: no session could be opened, in spite of retries.
        """
        attempt = await self._open(first=True)
        self._supervisor = asyncio.create_task(self._supervise(attempt))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if (
            self._attempt is not None
        ):  # a task that is cancelled before its first step closes nothing
            await self._attempt.session.close()

    def write(self, pcm: bytes) -> None:
        """Take PCM (16 kHz, s16le, channels interleaved, whole frames)."""
        self._written_bytes += len(pcm)
        pcm = self._replay_buffer.append(pcm)
        attempt = self._attempt
        if attempt is not None and attempt.is_live:
            attempt.session.write(pcm)

    async def drain(self) -> None:
        """Wait until the backlog is within its bound, or the recognition is over."""
        while self.backlogged and not self._is_over:
            self._drained.clear()
            await self._drained.wait()

    def end(self) -> None:
        """End the audio. The iteration ends after the last result."""
        if not self._ended:
            self._ended = True
            if self._attempt is not None and self._attempt.is_live:
                self._attempt.session.end()

    async def finished(self) -> None:
        """Wait until all written audio is recognised, after `end`.

        Raises:
            EngineError: the engine failed and could not be recovered.
            Exception: what `on_result` raised.
        """
        while not self._is_over:
            self._readable.clear()
            await self._readable.wait()
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[Result]:
        """Yield results until the end of the stream.

        Raises:
            EngineError: the engine failed and could not be recovered.
        """
        while True:
            while self._results:
                yield self._results.popleft()
                self._drained.set()
            if self._error is not None:
                raise self._error
            if self._finished:
                return
            self._readable.clear()
            await self._readable.wait()

    # --- replacing sessions -------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self._finished or self._error is not None

    async def _supervise(self, attempt: _Attempt) -> None:
        """Replace failing sessions until one finishes or the attempts are used up."""
        try:
            while not self._finished:
                try:
                    await self._await_outcome(attempt)
                    self._withdraw_orphans()
                    self._processed = self.written
                    self._finished = True
                except EngineError as error:
                    self._attempt = None
                    await attempt.session.close()
                    if not isinstance(error, SessionEnded):
                        self._count_failure(error)
                    self._orphans = set(self._partials)
                    attempt = await self._open(first=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, `finished` raises it
            self._error = error
        finally:
            await attempt.session.close()
            self._readable.set()
            self._drained.set()

    def _withdraw_orphans(self, before: float = math.inf) -> None:
        """Withdraw partials of an earlier session that end before a time, seconds.

        A session that hears the same audio again mostly reports it again. But partials depend on
        how audio is cut, so it may also find no words, and nobody else would withdraw the partial.
        """
        for channel in [each for each in self._orphans if self._partials[each].end < before]:
            self._orphans.discard(channel)
            partial = self._partials.pop(channel)
            self._segments[channel] = partial.segment + 1
            if self._attempt is not None:
                self._attempt.skip_segment(channel)
            self._on_result(replace(partial, is_final=True, text="", words=()))

    async def _await_outcome(self, attempt: _Attempt) -> None:
        """Wait for the end of `attempt`.

        Raises:
            EngineError: it failed, or it stalled: audio waited for `stall_timeout`, and it neither
                consumed nor settled any, nor gave a result.
        """
        checks = 4  # per timeout, so that a stall is detected at most a quarter late
        seen, idle = self._activity, 0
        while True:
            waiting = (self.lag > 0 or self._ended) and not attempt.session.detects_stalls
            pause = self._policy.stall_timeout / checks
            done, _ = await asyncio.wait({attempt.outcome}, timeout=pause)
            if done:
                return attempt.outcome.result()
            idle = idle + 1 if waiting and self._activity == seen else 0
            seen = self._activity
            if idle >= checks:
                stall = f"no progress for {self._policy.stall_timeout:g} seconds"
                attempt.failed(EngineStalled(stall))

    @property
    def _activity(self) -> tuple[float, float, int]:
        """A value that changes with every activity of the engine."""
        return self._processed, self._settled, self._result_count

    async def _open(self, *, first: bool) -> _Attempt:
        """Open a session, with retries, and replay the audio that is not settled.

        Little audio accumulates however long that takes, because `backlogged` stops the caller.

        Raises:
            EngineError: a retry cannot help, or the attempts are used up.
        """
        while True:
            if self._failures:
                await asyncio.sleep(self._policy.delay(self._failures))
            await self._engine.admit(first=first)
            lead_in = self._replay_buffer.lead_in + self._replay_buffer.missing
            start = (self._replay_buffer.start - lead_in) / SAMPLE_RATE
            options = replace(self._options, lead_in=lead_in / SAMPLE_RATE, begin=start)
            attempt = _Attempt(
                self,
                start=start,
                segments=tuple(self._segments),
                speakers=self._speakers,
            )
            try:
                async with asyncio.timeout(self._policy.connect_timeout):
                    attempt.session = await self._engine.connect(options, attempt)
            except EngineError as error:
                self._count_failure(error)
            except TimeoutError:
                self._count_failure(EngineStalled("the engine did not open a session in time"))
            else:
                # No await from here on: audio that is written meanwhile would be replayed too.
                self._attempt = attempt
                self._replay_to(attempt)
                return attempt

    def _replay_to(self, attempt: _Attempt) -> None:
        """Replay the audio that is not settled to a new session, which may fail on it."""
        attempt.is_live = not attempt.outcome.done()
        for pcm in self._replay_buffer.replay():
            if not attempt.is_live:
                return
            attempt.session.write(pcm)
        if self._ended and attempt.is_live:
            attempt.session.end()

    def _count_failure(self, error: EngineError) -> None:
        """Count a failure; raise it when another attempt cannot help."""
        self._failures += 1
        log.warning(
            "engine_session_failed",
            engine=self._engine.name,
            error=str(error),
            failures=self._failures,
            stream_seconds=round(self._replay_buffer.start / SAMPLE_RATE, 3),
        )
        if not error.retryable or self._failures >= self._policy.attempts:
            raise error

    # --- reports of the current attempt -----------------------------------------------------

    def progressed(self, processed: float, settled: float) -> None:
        """Record the progress; see `SessionEvents`, but on the stream's timeline."""
        self._processed = processed
        self._high_water_bytes = self._compute_high_water(processed)
        if self._orphans:
            self._withdraw_orphans(before=settled)
        if settled > self._settled:
            self._settled = settled
            if self._replay_buffer.drop(_frames(settled)):
                self._failures = 0
        if not self._drained.is_set() and not self.backlogged:
            self._drained.set()

    def recognised(self, result: Result) -> None:
        """Deliver a result; see `SessionEvents`, but on the stream's timeline."""
        self._result_count += 1
        if result.speaker_number is not None:
            self._speakers = max(self._speakers, result.speaker_number + 1)
        self._orphans.discard(result.channel)
        self._partials[result.channel] = result
        if result.is_final:
            del self._partials[result.channel]
            self._segments[result.channel] = result.segment + 1
            self._replay_buffer.settle(result.channel, _frames(result.end))
        self._on_result(result)

    def _keep(self, result: Result) -> None:
        """Queue a result for the iteration."""
        self._results.append(result)
        self._readable.set()

    def _compute_high_water(self, processed: float) -> float:
        return (processed + self._policy.max_backlog) * self._bytes_per_second


def _frames(seconds: float) -> int:
    """Return the frame at a time, exactly: settled audio must not be replayed."""
    return round(seconds * SAMPLE_RATE)


class _Attempt:
    """The callbacks of one session, which shift its reports to the stream's timeline.

    A session does not know the speakers of earlier sessions, even if they are the same. So its
    speakers get higher numbers, and no label passes to another person.

    Its reports count while `is_live`: from when the recognition accepts it until its `outcome`.
    """

    session: Session

    def __init__(
        self, recognition: Recognition, *, start: float, segments: tuple[int, ...], speakers: int
    ) -> None:
        self.is_live = False
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._recognition = recognition
        self._start = start
        self._segments = list(segments)
        self._speakers = speakers

    def skip_segment(self, channel: int) -> None:
        """Leave out the number of a segment that an earlier session had begun."""
        self._segments[channel] += 1

    def progressed(self, processed: float, settled: float) -> None:
        if self.is_live:
            try:
                self._recognition.progressed(self._start + processed, self._start + settled)
            except Exception as error:  # noqa: BLE001 - of a withdrawal, see `recognised`
                self._end_with(error)

    def recognised(self, result: Result) -> None:
        if self.is_live:
            shifted = result.shift(
                segments=self._segments[result.channel],
                seconds=self._start,
                speakers=self._speakers,
            )
            try:
                self._recognition.recognised(shifted)
            except Exception as error:  # noqa: BLE001 - the session must not see it
                self._end_with(error)

    def finished(self) -> None:
        self.is_live = False
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, error: EngineError) -> None:
        self._end_with(error)

    def _end_with(self, error: Exception) -> None:
        self.is_live = False
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # marks it as retrieved: the recognition may be left
