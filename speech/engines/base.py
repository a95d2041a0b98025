"""The port through which every engine is used.

An `Engine` opens `Recognition`s, one per audio stream. A recognition is written to like an
asyncio transport (`write`, then `drain` when it is `backlogged`) and iterated for results:

    async with engine.recognise(options) as recognition:
        recognition.write(pcm)
        if recognition.backlogged:
            await recognition.drain()
        recognition.end()
        async for result in recognition: ...

Who needs each result at once, without a task that waits for it, gives `on_result` to
`recognise` and awaits `finished`.

What an engine module implements is a `Session`: one attempt at the stream, on its own
timeline that starts at zero. Everything that must be right once for all engines lives here:

- retries: a session that fails is replaced, and the audio that is not yet settled is
  written again, so that no word is lost and none is doubled;
- time: results come out on a timeline that is linear over the whole stream;
- people: who was told apart has a number that nobody else gets, whichever session it was;
- the stall timeout: an engine that gives no sign of life while audio waits has failed;
- the bound: `backlogged` is true while too much audio or too many results wait.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
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
from speech.engines.unsettled import Unsettled
from transcripts.models import Word

#: What every engine is fed: 16 kHz, signed 16 bit little endian, channels interleaved.
SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2
#: Of one channel.
BYTES_PER_SECOND = SAMPLE_RATE * BYTES_PER_SAMPLE
#: An error names the languages that there are if they are no more than this.
MAX_NAMED = 12

log = structlog.get_logger(__name__)


@dataclass(slots=True)  # not frozen: that makes it several times as slow to make
class Result:
    """What an engine has understood of one segment so far. Nobody changes it.

    A partial replaces the one before it; `is_final` closes the segment. Segments of a
    channel are numbered from 0 and only one is open at a time. Times are seconds from the
    start of the stream.
    """

    segment: int
    is_final: bool
    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    language: str | None = None
    #: Who of several people on the channel, numbered from 0 as the engine tells them apart.
    person: int | None = None
    channel: int = 0
    #: So many words, from the first, will not change any more; `None` if the engine does not tell.
    stable_words: int | None = None

    @property
    def speaker_label(self) -> str | None:
        """The person's label, as in Amazon Transcribe's files."""
        return None if self.person is None else f"spk_{self.person}"

    def moved(self, *, segments: int, seconds: float, people: int = 0) -> Result:
        """Return this result as seen from a timeline that began earlier by the given amounts."""
        if not (segments or seconds or people):
            return self
        words = self.words
        if seconds:
            words = tuple([_moved(word, seconds) for word in words])
        return replace(
            self,
            segment=self.segment + segments,
            start=self.start + seconds,
            end=self.end + seconds,
            words=words,
            person=None if self.person is None else self.person + people,
        )


def _moved(word: Word, seconds: float) -> Word:
    """Return `word` later by `seconds`. To make one takes 3 us, pydantic's own copy 5 us."""
    return Word(
        word=word.word,
        start_time=word.start_time + seconds,
        end_time=word.end_time + seconds,
        confidence=word.confidence,
    )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do."""

    #: Languages it recognises as BCP 47 tags; empty means any.
    languages: frozenset[str] = frozenset()
    #: So many interleaved channels it recognises by themselves at most.
    channels: int = 1
    #: Whether it looks at `RecognitionOptions.choices`; what it does not know, it refuses.
    choices: bool = False


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What a stream asks of an engine."""

    language: str = "en-US"
    #: Interleaved in the audio, and recognised by themselves.
    channels: int = 1
    #: What else, by the engine's own names.
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The patience of a recognition. Times are seconds, backlog is seconds of audio."""

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
    """Where a session reports to. Called on the event loop; times are the session's own."""

    def progressed(self, processed: float, settled: float) -> None:
        """Tell that audio up to `processed` was consumed and that before `settled` all is said.

        Audio before `settled` will not be written again after a failure. Both only grow.
        """

    def recognised(self, result: Result) -> None:
        """Hand over a partial or a final."""

    def finished(self) -> None:
        """Tell that the audio has ended and the last result was handed over."""

    def failed(self, error: EngineError) -> None:
        """Tell that the session is dead; nothing follows."""


class Session(ABC):
    """One attempt of an engine at a stream. Made by `Engine.connect`."""

    @abstractmethod
    def write(self, pcm: bytes) -> None:
        """Take PCM (16 kHz, s16le, channels interleaved, whole frames).

        Never blocks; what cannot be processed yet is kept.
        """

    @abstractmethod
    def end(self) -> None:
        """Tell that no more audio comes; `finished` is reported after the last result."""

    @property
    def watches_itself(self) -> bool:
        """Whether it would fail by itself if the engine were dead; then no stall is looked for."""
        return False

    @abstractmethod
    async def close(self) -> None:
        """Free everything, also in mid-stream. May be called twice; reports and raises nothing."""


class Engine(ABC):
    """A way to recognise speech. An async context manager: entering makes it warm."""

    name: str
    capabilities: Capabilities = Capabilities()
    policy: Policy = Policy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def turn(self, *, first: bool) -> None:
        """Wait until a session may be opened: before each `connect`, and part of no timeout.

        What an engine holds back itself is no failure, so a stream that runs is not given up for
        it, however many wait. It may be cancelled. There is nothing to wait for by default.

        Args:
            first: whether the stream has not begun; then somebody waits who can come again.

        Raises:
            EngineError: the stream is refused; no other attempt is made.
        """
        del first

    @abstractmethod
    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Open a session that reports to `events`.

        Raises:
            EngineError: no session can be opened.
        """

    def recognise(
        self, options: RecognitionOptions, on_result: Callable[[Result], None] | None = None
    ) -> Recognition:
        """Return a recognition; enter it to open its first session.

        With `on_result`, results are handed over as they come, and the recognition is not
        iterated. What it raises ends the recognition: `finished` raises it.

        Raises:
            UnsupportedLanguage: the engine does not know `options.language`.
            UnsupportedChannels: there are more of them than it takes.
            OptionError: something was chosen, and there is nothing to choose.
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
        return Recognition(self, options, on_result)


class Recognition:
    """One audio stream under recognition; survives the sessions that serve it."""

    def __init__(
        self,
        engine: Engine,
        options: RecognitionOptions,
        on_result: Callable[[Result], None] | None = None,
    ) -> None:
        self._engine = engine
        self._options = options
        self._on_result = on_result or self._keep
        self._policy = engine.policy
        self._bytes_per_second = BYTES_PER_SECOND * options.channels
        self._unsettled = Unsettled(channels=options.channels, bytes_per_sample=BYTES_PER_SAMPLE)
        self._settled = 0.0
        self._written_bytes = 0
        self._welcome_bytes = self._welcome(0.0)  # how many may be written without a backlog
        self._processed = 0.0
        self._ended = False
        # Finals of each channel so far, which is the number of its segment that is open.
        self._segments = [0] * options.channels
        self._people = 0  # who were told apart so far
        self._results: deque[Result] = deque()
        self._told = 0  # results, as signs of life
        self._failures = 0  # in a row, without audio settled in between
        self._attempt: _Attempt | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._finished = False
        self._readable = asyncio.Event()
        self._drained = asyncio.Event()

    # --- for the pipeline -----------------------------------------------------------------

    @property
    def written(self) -> float:
        """Seconds of audio taken so far."""
        return self._written_bytes / self._bytes_per_second

    @property
    def processed(self) -> float:
        """Seconds of audio that the engine has consumed; falls back when a session is replaced."""
        return self._processed

    @property
    def lag(self) -> float:
        """Seconds of audio that wait for the engine."""
        return max(0.0, self.written - self._processed)

    @property
    def backlogged(self) -> bool:
        """Whether the writer should `drain` before it writes again."""
        return (
            self._written_bytes > self._welcome_bytes
            or len(self._results) > self._policy.max_results
        )

    async def __aenter__(self) -> Self:
        """Open the first session.

        Raises:
            EngineError: no session could be opened, also not with retries.
        """
        attempt = await self._open(first=True)
        self._supervisor = asyncio.create_task(self._supervise(attempt))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._attempt is not None:  # a task that is cancelled before its first step does nothing
            await self._attempt.session.close()

    def write(self, pcm: bytes) -> None:
        """Take PCM (16 kHz, s16le, channels interleaved, whole frames)."""
        self._written_bytes += len(pcm)
        self._unsettled.append(pcm)
        attempt = self._attempt
        if attempt is not None and attempt.live:
            attempt.session.write(pcm)

    async def drain(self) -> None:
        """Wait until the backlog is within its bound again, or nothing will shrink it any more."""
        while self.backlogged and not self._over:
            self._drained.clear()
            await self._drained.wait()

    def end(self) -> None:
        """Tell that no more audio comes. The iteration ends after the last result."""
        if not self._ended:
            self._ended = True
            if self._attempt is not None and self._attempt.live:
                self._attempt.session.end()

    async def finished(self) -> None:
        """Wait until everything that was written is recognised, after `end`.

        Raises:
            EngineError: the engine failed and could not be recovered.
            Exception: what `on_result` raised.
        """
        while not self._over:
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

    # --- sessions come and go -------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self._finished or self._error is not None

    async def _supervise(self, attempt: _Attempt) -> None:
        """Replace sessions that fail until one finishes or the patience ends."""
        try:
            while not self._finished:
                try:
                    await self._outcome(attempt)
                    self._processed = self.written
                    self._finished = True
                except EngineError as error:
                    self._attempt = None
                    await attempt.session.close()
                    if not isinstance(error, SessionEnded):
                        self._count(error)
                    attempt = await self._open(first=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, `finished` raises it
            self._error = error
        finally:
            await attempt.session.close()
            self._readable.set()
            self._drained.set()

    async def _outcome(self, attempt: _Attempt) -> None:
        """Wait for the end of `attempt`.

        Raises:
            EngineError: it failed, or it gave no sign of life for `stall_timeout` although audio
                waited all the time: it consumed and settled none, and said nothing.
        """
        looks = 4  # within the timeout, so that a stall is found at most a quarter late
        seen, idle = self._life, 0
        while True:
            waiting = (self.lag > 0 or self._ended) and not attempt.session.watches_itself
            pause = self._policy.stall_timeout / looks
            done, _ = await asyncio.wait({attempt.outcome}, timeout=pause)
            if done:
                return attempt.outcome.result()
            idle = idle + 1 if waiting and self._life == seen else 0
            seen = self._life
            if idle >= looks:
                stall = f"no progress for {self._policy.stall_timeout:g} seconds"
                attempt.failed(EngineStalled(stall))

    @property
    def _life(self) -> tuple[float, float, int]:
        """What changes while the engine does something."""
        return self._processed, self._settled, self._told

    async def _open(self, *, first: bool) -> _Attempt:
        """Open a session, with retries, and write to it what is not settled yet.

        However long that takes, little is kept meanwhile: the writer is told of the backlog.

        Raises:
            EngineError: a retry does not help, or the attempts are used up.
        """
        while True:
            if self._failures:
                await asyncio.sleep(self._policy.delay(self._failures))
            await self._engine.turn(first=first)
            attempt = _Attempt(
                self,
                start=self._unsettled.start / SAMPLE_RATE,
                segments=tuple(self._segments),
                people=self._people,
            )
            try:
                async with asyncio.timeout(self._policy.connect_timeout):
                    attempt.session = await self._engine.connect(self._options, attempt)
            except EngineError as error:
                self._count(error)
            except TimeoutError:
                self._count(EngineStalled("the engine did not open a session in time"))
            else:
                # No await from here on: what is written meanwhile would be written twice.
                self._attempt = attempt
                self._repeat_to(attempt)
                return attempt

    def _repeat_to(self, attempt: _Attempt) -> None:
        """Write what is not settled yet to a new session, which may die of it."""
        attempt.live = not attempt.outcome.done()
        for pcm in self._unsettled.again():
            if not attempt.live:
                return
            attempt.session.write(pcm)
        if self._ended and attempt.live:
            attempt.session.end()

    def _count(self, error: EngineError) -> None:
        """Note a failure; raise it when another attempt is no use."""
        self._failures += 1
        log.warning(
            "engine_session_failed",
            engine=self._engine.name,
            error=str(error),
            failures=self._failures,
            stream_seconds=round(self._unsettled.start / SAMPLE_RATE, 3),
        )
        if not error.retryable or self._failures >= self._policy.attempts:
            raise error

    # --- reports of the current attempt -----------------------------------------------------

    def progressed(self, processed: float, settled: float) -> None:
        """Note how far the engine is; see `SessionEvents`, but on the stream's timeline."""
        self._processed = processed
        self._welcome_bytes = self._welcome(processed)
        if settled > self._settled:
            self._settled = settled
            if self._unsettled.forget(_frames(settled)):
                self._failures = 0
        if not self._drained.is_set() and not self.backlogged:
            self._drained.set()

    def recognised(self, result: Result) -> None:
        """Take a result; see `SessionEvents`, but on the stream's timeline."""
        self._told += 1
        if result.person is not None:
            self._people = max(self._people, result.person + 1)
        if result.is_final:
            self._segments[result.channel] = result.segment + 1
            self._unsettled.said(result.channel, _frames(result.end))
        self._on_result(result)

    def _keep(self, result: Result) -> None:
        """Hold a result for the iteration."""
        self._results.append(result)
        self._readable.set()

    def _welcome(self, processed: float) -> float:
        return (processed + self._policy.max_backlog) * self._bytes_per_second


def _frames(seconds: float) -> int:
    """Return the position of a moment, to the sample: what is settled must not be heard again."""
    return round(seconds * SAMPLE_RATE)


class _Attempt:
    """A session's place in the stream: moves its reports to the stream's timeline.

    A session tells people apart and knows none of those before it, who may be the same: its
    people are numbered after all of them, so that no label goes over to somebody else.

    What it reports counts while it is `live`: from when the recognition has taken it until
    its `outcome`. Before and after, another one has its place.
    """

    session: Session

    def __init__(
        self, recognition: Recognition, *, start: float, segments: tuple[int, ...], people: int
    ) -> None:
        self.live = False
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._recognition = recognition
        self._start = start
        self._segments = segments
        self._people = people

    def progressed(self, processed: float, settled: float) -> None:
        if self.live:
            self._recognition.progressed(self._start + processed, self._start + settled)

    def recognised(self, result: Result) -> None:
        if self.live:
            moved = result.moved(
                segments=self._segments[result.channel], seconds=self._start, people=self._people
            )
            try:
                self._recognition.recognised(moved)
            except Exception as error:  # noqa: BLE001 - the session must not see it
                self._end_with(error)

    def finished(self) -> None:
        self.live = False
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, error: EngineError) -> None:
        self._end_with(error)

    def _end_with(self, error: Exception) -> None:
        self.live = False
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # marks it as seen: a recognition may be left before it looks
