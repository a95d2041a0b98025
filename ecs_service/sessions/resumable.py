"""A stream that outlives its speaker's connections, and the tasks that serve it.

While a connection is gone for `PARK_SECONDS`, the recognition stays, and the next connection goes
on with it. Later, or on another task, the stream is taken over from the ledger. docs/resume.md has
the states, and what may crash where.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic
from typing import Final, Literal, Protocol

import structlog

from access.secret import Secret, make_secret
from ecs_service import telemetry
from ecs_service.refusal import Refusal
from ecs_service.sessions.commits import MOST_UNSENT, Commits, Outbox
from ecs_service.sessions.ledger import Ledger, LedgerUnavailable
from ecs_service.sessions.places import needed_sample, resume_point
from ecs_service.sessions.stream import Beginning, Stream, StreamRequest, Streams
from speech.pcm import SAMPLE_RATE, PcmFormat
from transcripts.models import Utterance
from transcripts.protocol import RESUME_SECONDS, Ack, ErrorCode
from transcripts.streams.entry import LedgerEntry, Pause, StreamState, StreamTerms
from transcripts.streams.store import StreamEnded, Superseded, UnknownStream

#: How long a recognition waits for the next connection, seconds.
PARK_SECONDS: Final = 10.0
#: The longest that an ending stream waits for ledger, engine and queue, seconds.
FLUSH_SECONDS: Final = 3.0
FINISH_SECONDS: Final = 15.0
SETTLE_SECONDS: Final = 5.0
#: How long a resume waits for the ledger where the recognition is still there, seconds.
CONFIRM_SECONDS: Final = 1.0
#: A new stream that finds no slot waits so long for a parked one to end, seconds.
EVICT_SECONDS: Final = 3.0
#: When a client may try again after the ledger did not answer, seconds.
RETRY_SECONDS: Final = 2.0
#: The most audio that a client may have lost in the middle of a stream, seconds.
MOST_LOST_SECONDS: Final = 60.0

#: Checks the right of whoever opens or resumes, in the words of the room of access.
Prove = Callable[[str], Awaitable[None]]

log = structlog.get_logger(__name__)


class StreamOver(Exception):
    """The stream that a client resumes has ended, and all of it is in finals."""

    def __init__(self, seconds: float, finals: int) -> None:
        super().__init__("the stream is over")
        self.seconds = seconds
        self.finals = finals


class SpeakerSocket(Protocol):
    """A speaker's connection. Called on the event loop; must not raise."""

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Take an encoded message of this stream that was broadcast to the conversation."""

    def on_ended(self, why: Refusal | Literal["finished"]) -> None:
        """End: the stream is finished, or does not go on on this connection."""


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """What a client sends to resume."""

    token: Secret
    conversation_id: str
    attempt: int


class ResumableStreams:
    """The resumable streams of this task."""

    def __init__(self, streams: Streams, ledger: Ledger, outbox: Outbox) -> None:
        self.streams = streams
        self.ledger = ledger
        self.outbox = outbox
        self._live: dict[str, ResumableStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def lead_in(self) -> int:
        """The frames that the engine wants before the audio that counts."""
        return round(self.streams.engine.lead_in * SAMPLE_RATE)

    async def open(
        self, request: StreamRequest, socket: SpeakerSocket, prove: Callable[[], Awaitable[str]]
    ) -> ResumableStream:
        """Begin a stream.

        `prove` is awaited with a slot; it returns the right that a resume has to prove again.

        Raises:
            Refusal: there is no slot, no right, no engine, or no ledger.
        """
        await self._evict()
        token = make_secret("csr")

        async def begin() -> LedgerEntry:
            right = await prove()
            entry = LedgerEntry(terms=_terms(request, token, right))
            heard = (0,) * request.channels
            entry = replace(entry, progress=replace(entry.progress, heard=heard))
            try:
                await self.ledger.create(entry)
            except LedgerUnavailable:
                raise ledger_unavailable() from None
            return entry

        return await self._start(ResumableStream(self, token, begin, socket))

    async def resume(
        self, request: ResumeRequest, socket: SpeakerSocket, prove: Prove
    ) -> ResumableStream:
        """Go on with a stream, here or from the ledger.

        `prove` is awaited with the right of whoever opened it.

        Raises:
            Refusal: there is no such stream, it moved, or there is no slot, right or ledger.
            StreamOver: it has ended.
        """
        here = self._live.get(request.token.id)
        if here is not None and here.admits(request):
            await prove(here.right)
            if await here.confirm(request.attempt):
                here.attach(socket)
                telemetry.streams_resumed.labels("here").inc()
                return here
        await self._evict()

        async def take_over() -> LedgerEntry:
            entry = await self._take_over(request)
            if here is not None:
                here.supersede()
            await prove(entry.terms.right)
            telemetry.streams_resumed.labels("taken_over").inc()
            return entry

        return await self._start(ResumableStream(self, request.token, take_over, socket))

    async def close(self) -> None:
        """End what is left of all streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_until_written(self) -> None:
        """Wait until the ledger has what ended streams have come to."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def add(self, stream: ResumableStream) -> None:
        """Let clients go on with a stream on this task."""
        self._live[stream.token.id] = stream

    def has(self, stream: ResumableStream) -> bool:
        """Return whether a client can go on with a stream on this task."""
        return self._live.get(stream.token.id) is stream

    def forget(self, stream: ResumableStream) -> None:
        """Let nobody go on with a stream on this task."""
        if self.has(stream):
            del self._live[stream.token.id]

    async def _start(self, stream: ResumableStream) -> ResumableStream:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(stream.run(opened))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await opened
        return stream

    async def _take_over(self, request: ResumeRequest) -> LedgerEntry:
        token = request.token
        try:
            entry = await self.ledger.take_over(token.id, token.hash, request.attempt)
        except UnknownStream:
            raise resume_refused() from None
        except Superseded:
            raise moved() from None
        except StreamEnded as ended:
            _check_conversation(ended.entry, request)
            progress = ended.entry.progress
            raise StreamOver(progress.settled / SAMPLE_RATE, progress.count) from None
        except LedgerUnavailable:
            raise ledger_unavailable() from None
        _check_conversation(entry, request)
        return entry

    async def _evict(self) -> None:
        """Where no slot is free, end the stream that has waited longest for its client."""
        slots = self.streams.slots
        if not slots.is_full or slots.is_draining:
            return
        parked = [one for one in self._live.values() if one.parked_at is not None]
        if parked:
            await min(parked, key=lambda one: one.parked_at or 0.0).evict()


class ResumableStream:
    """One stream, as far as this task has it. Its owner is the newest connection."""

    stream: Stream
    right: str

    def __init__(
        self,
        registry: ResumableStreams,
        token: Secret,
        find_entry: Callable[[], Awaitable[LedgerEntry]],
        socket: SpeakerSocket,
    ) -> None:
        self.token = token
        self._registry = registry
        self._find_entry = find_entry
        self._socket: SpeakerSocket | None = socket
        self.stream = Stream(registry.streams, self._prepare, self)
        self._commits: Commits
        #: When the last connection went, by the loop's clock; None while there is one.
        self.parked_at: float | None = None
        self._is_evicted = False
        self._is_draining = False
        self._is_superseded = False
        self._is_finishing = False
        #: Why the audio ended.
        self.end_reason: Literal["stopped", "max_duration"] = "stopped"
        self._missed: deque[bytes] = deque(maxlen=MOST_UNSENT)
        self._changed = asyncio.Event()
        self._is_over = asyncio.Event()

    # --- connections ----------------------------------------------------------------------------

    def admits(self, request: ResumeRequest) -> bool:
        """Return whether a client may go on here, without the ledger.

        Raises:
            Refusal: it may not go on at all.
        """
        entry = self._commits.entry
        if not request.token.matches(entry.terms.token_hash):
            raise resume_refused()
        _check_conversation(entry, request)
        if request.attempt <= self._commits.progress.attempt:
            raise moved()
        return self._registry.has(self)

    async def confirm(self, attempt: int) -> bool:
        """Return whether the stream is still this task's, for a client's newest connection.

        The ledger knows it. If it does not answer soon, the client goes on here all the same; if
        that was wrong, the next update is refused.

        Raises:
            Refusal: a newer connection has come meanwhile.
        """
        commits = self._commits
        if attempt <= commits.progress.attempt:
            raise moved()
        commits.progress = replace(commits.progress, attempt=attempt)
        confirming = asyncio.create_task(commits.confirm())
        ending = asyncio.create_task(self._is_over.wait())
        try:
            await asyncio.wait(
                {confirming, ending},
                timeout=CONFIRM_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            confirming.cancel()
            ending.cancel()
        if attempt != commits.progress.attempt:
            raise moved()
        return self._registry.has(self)

    def attach(self, socket: SpeakerSocket) -> None:
        """Give the stream to a newer connection."""
        if self._socket is not None:
            self._socket.on_ended(moved())
        self._socket, self.parked_at = socket, None
        self._changed.set()

    def detach(self, socket: SpeakerSocket) -> None:
        """Keep the recognition for the next connection, if this is the newest one."""
        if self._socket is socket:
            self._socket, self.parked_at = None, _now()
            self._changed.set()

    async def evict(self) -> None:
        """End the wait for a connection now, and wait until the slot is free."""
        self._is_evicted = True
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(EVICT_SECONDS):
                await self._is_over.wait()

    def supersede(self) -> None:
        """End without a word: somebody has taken the stream over."""
        self._is_superseded = True
        self._changed.set()

    # --- what the owner sends -------------------------------------------------------------------

    def begin_at(self, sample: int, age: float) -> None:
        """Take the place at which a connection's audio begins, recorded `age` seconds ago.

        Raises:
            Refusal: the audio is not what is needed, or too much of it is lost.
        """
        audio, expected = self.stream.request.audio, self.stream.next_sample
        if sample < expected:
            raise Refusal(
                ErrorCode.UNEXPECTED_MESSAGE, f"Continue from `resumeFrom`, {expected}, or later."
            )
        lost = (sample - expected) / audio.sample_rate
        if lost > MOST_LOST_SECONDS:
            raise resume_refused()
        progress = self._commits.progress
        if progress.clock is None:
            began = self._registry.ledger.now() - timedelta(
                seconds=age + sample / audio.sample_rate
            )
            self._commits.progress = replace(progress, clock=began)
        if lost:
            log.warning("audio_lost", stream=self.token.id, seconds=round(lost, 3))
            self._fill(sample - expected, audio)

    def _fill(self, samples: int, audio: PcmFormat) -> None:
        """Put silence where audio is lost, so that time stays linear."""
        while samples:
            piece = min(samples, audio.sample_rate)
            self.stream.accept(bytes(piece * audio.bytes_per_frame))
            samples -= piece

    def pause(self, sample: int, seconds: float) -> None:
        """Note that nothing was recorded for some seconds before a sample.

        No pause reaches into the future, whatever a client says.
        """
        frame = sample * SAMPLE_RATE // self.stream.request.audio.sample_rate
        progress = self._commits.progress
        if progress.clock is not None:
            without = progress.with_pause(Pause(frame, 0.0))
            most = (self._registry.ledger.now() - without.moment_of(frame)).total_seconds()
            seconds = min(seconds, max(0.0, most))
            self._commits.progress = progress.with_pause(Pause(frame, seconds))

    def accept(self, pcm: bytes) -> None:
        """Take audio; see `Stream.accept`."""
        if not self._is_finishing:
            self.stream.accept(pcm)

    def finish(self, reason: Literal["stopped", "max_duration"]) -> None:
        """End the audio. The connection is notified when all of it is in finals."""
        if not self._is_finishing:
            self._is_finishing = True
            self.end_reason = reason
            self.stream.finish()
            self._changed.set()

    @property
    def is_exhausted(self) -> bool:
        """Whether the stream has received all the audio that the operator allows."""
        return self.stream.is_exhausted

    @property
    def last_audio(self) -> float:
        """When audio came last, by the monotonic clock."""
        return self.stream.last_audio

    @property
    def idle_seconds(self) -> float:
        """Seconds without audio from the client; 0 while it is not needed."""
        return 0.0 if self._is_finishing else self.stream.idle_seconds

    def touch(self) -> None:
        """Count the time without audio from now on."""
        self.stream.last_audio = monotonic()

    @property
    def backlogged(self) -> bool:
        """Whether no audio should be read before `catch_up`."""
        return self.stream.backlogged or self._commits.is_backlogged

    async def catch_up(self) -> None:
        """Wait until engine and ledger have caught up."""
        await self.stream.catch_up()
        await self._commits.catch_up()

    def ack(self) -> Ack:
        """Return how much audio was received and processed, and how much is durable."""
        durable = needed_sample(
            self._commits.entry.progress.settled,
            lead_in=self._registry.lead_in,
            sample_rate=self.stream.request.audio.sample_rate,
        )
        return self.stream.ack().model_copy(update={"durable": durable})

    # --- what the stream reports ----------------------------------------------------------------

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Pass a message on to the connection; a final waits if there is none."""
        if self._socket is not None:
            self._socket.on_published(frame, is_final=is_final)
        elif is_final:
            self._missed.append(frame)

    def take_missed(self) -> Sequence[bytes]:
        """Return the finals that no connection was there for, for the one that is there now."""
        missed = tuple(self._missed)
        self._missed.clear()
        return missed

    def on_drain(self) -> None:
        """End, because the service drains; the client goes on elsewhere."""
        self._is_draining = True
        self._changed.set()

    # --- life -----------------------------------------------------------------------------------

    async def run(self, opened: asyncio.Future[None]) -> None:
        """Live until the end. `opened` gets the result of the beginning."""
        try:
            async with AsyncExitStack() as held:
                try:
                    await held.enter_async_context(self.stream)
                except (Refusal, StreamOver) as error:
                    opened.set_exception(error)
                    return
                self._commits.follow(lambda: self.stream.checkpoint)
                self._registry.add(self)
                opened.set_result(None)
                await self._serve()
            self._is_over.set()
            await self._settle()
        except Exception as error:
            log.exception("stream_crashed", stream=self.token.id)
            failure = Refusal(ErrorCode.INTERNAL, "The service failed; this was logged.")
            if not opened.done():
                opened.set_exception(failure)
            self._end(failure)
            del error
        finally:
            self._is_over.set()
            self._registry.forget(self)

    async def _prepare(self) -> Beginning:
        registry = self._registry
        entry = await self._find_entry()
        self.right = entry.terms.right
        commits = self._commits = Commits(
            registry.ledger,
            replace(entry, progress=replace(entry.progress, tail=())),
            registry.outbox,
        )
        conversation = registry.streams.hub.conversation(entry.terms.conversation_id)
        commits.send_unsent()
        for utterance in entry.progress.unsent:
            frame = conversation.publish_final(utterance)
            if frame is not None:
                self._missed.append(frame)
        sample, point = resume_point(entry, lead_in=registry.lead_in)
        return Beginning(
            request=_request(entry.terms),
            stream_id=entry.terms.stream_id,
            sink=commits,
            count=entry.progress.count,
            first_sample=sample,
            resume=point,
            moment_of=commits.moment_of,
        )

    async def _serve(self) -> None:
        writing = asyncio.create_task(self._commits.run())
        finishing = asyncio.create_task(self.stream.finished())
        giving_up = asyncio.create_task(self._wait_until_given_up())
        try:
            await asyncio.wait({writing, finishing, giving_up}, return_when=asyncio.FIRST_COMPLETED)
            if finishing.done() and finishing.exception() is None:
                await self._flush(writing, RESUME_SECONDS)
                self._registry.forget(self)
            else:
                self._registry.forget(self)
                await self._flush(writing, FLUSH_SECONDS)
            await self._conclude(writing, finishing, giving_up)
        except Superseded:
            self.stream.retract()
            self._end(moved())
        finally:
            for task in (writing, finishing, giving_up):
                task.cancel()
            await asyncio.gather(writing, finishing, giving_up, return_exceptions=True)

    async def _flush(self, writing: asyncio.Task[None], seconds: float) -> None:
        """Wait until the ledger has all finals, at most `seconds`, or `writing` has ended."""
        flushing = asyncio.create_task(self._commits.flush())
        try:
            await asyncio.wait(
                {writing, flushing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            flushing.cancel()

    async def _conclude(
        self,
        writing: asyncio.Task[None],
        finishing: asyncio.Task[None],
        giving_up: asyncio.Task[Literal["draining", "parked", "superseded"]],
    ) -> None:
        """Write what the stream has come to, and notify its owner.

        Raises:
            Superseded: somebody has taken the stream over.
        """
        if writing.done():
            error = writing.exception()
            if isinstance(error, sqlite3.Error):
                log.error("final_not_kept", stream=self.token.id, error=str(error))
                self.stream.retract()
                self._end(Refusal(ErrorCode.INTERNAL, "A final cannot be kept."))
                return
            assert error is not None, "it writes until it fails"  # noqa: S101 - as documented
            raise error
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        waiting = timedelta(seconds=RESUME_SECONDS)
        if finishing.done():
            failure = finishing.exception()
            if failure is None:
                await self._write(StreamState.ENDED, due_in=None)
                self._end("finished")
            else:
                await self._write(StreamState.WAITING, due_in=waiting)
                self._end(failure if isinstance(failure, Refusal) else _internal(failure))
            return
        match giving_up.result():
            case "superseded":
                raise Superseded("a client resumed it by the ledger")
            case "draining":
                self.stream.retract()
                await self._write(StreamState.WAITING, due_in=waiting)
                self._end(Refusal(ErrorCode.DRAINING, "The service is shutting down."))
            case "parked":
                tail = await self._take_tail(finishing)
                await self._write(StreamState.WAITING, tail=tail, due_in=waiting)

    async def _take_tail(self, finishing: asyncio.Task[None]) -> tuple[Utterance, ...]:
        """Return what becomes of the last words; it is neither settled nor published."""
        tail: list[Utterance] = []
        self._commits.follow(None)
        self.stream.divert(_Tail(tail))
        if not self._is_finishing:
            self.stream.finish()
        await asyncio.wait({finishing}, timeout=FINISH_SECONDS)
        self.stream.retract()
        return tuple(tail)

    async def _write(
        self,
        state: StreamState,
        *,
        tail: tuple[Utterance, ...] = (),
        due_in: timedelta | None,
    ) -> None:
        try:
            await self._commits.conclude(state, tail=tail, due_in=due_in)
        except LedgerUnavailable:
            log.warning("stream_not_concluded", stream=self.token.id, state=state.value)
        self._concluded = (state, due_in)

    #: The state that was written last, and when the sweep has to look at the stream.
    _concluded: tuple[StreamState, timedelta | None] | None = None

    async def _settle(self) -> None:
        """Note in the ledger that the queue has everything, which spares the sweep the work."""
        if self._concluded is None:
            return
        with suppress(LedgerUnavailable, Superseded):
            await self._commits.settle(*self._concluded, seconds=SETTLE_SECONDS)

    async def _wait_until_given_up(self) -> Literal["draining", "parked", "superseded"]:
        while True:
            if self._is_superseded:
                return "superseded"
            if self._is_draining and not self._is_finishing:
                return "draining"
            left = None
            if self.parked_at is not None and not self._is_finishing:
                left = self.parked_at + PARK_SECONDS - _now()
                if left <= 0 or self._is_evicted:
                    return "parked"
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def _end(self, why: Refusal | Literal["finished"]) -> None:
        if self._socket is not None:
            self._socket.on_ended(why)
            self._socket = None


class _Tail:
    """Keeps finals that may still be said again."""

    def __init__(self, tail: list[Utterance]) -> None:
        self._tail = tail

    def keep(self, utterance: Utterance, publish: Callable[[], None]) -> None:
        """Keep `utterance`; it is not published."""
        del publish
        self._tail.append(utterance)


def moved() -> Refusal:
    """Return the error of a connection whose stream goes on elsewhere."""
    return Refusal(ErrorCode.MOVED, "The stream goes on on a newer connection.")


def resume_refused() -> Refusal:
    """Return the error of whoever resumes what cannot be resumed; one word for all cases."""
    return Refusal(ErrorCode.RESUME_REFUSED, "There is no such stream to resume.")


def ledger_unavailable() -> Refusal:
    """Return the error of whoever begins or resumes while the ledger does not answer."""
    return Refusal(
        ErrorCode.LEDGER_UNAVAILABLE,
        "Streams can neither begin nor resume at present.",
        retry_after=RETRY_SECONDS,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _internal(error: BaseException) -> Refusal:
    log.error("stream_failed", exc_info=error)
    return Refusal(ErrorCode.INTERNAL, "The service failed; this was logged.")


def _check_conversation(entry: LedgerEntry, request: ResumeRequest) -> None:
    if entry.terms.conversation_id != request.conversation_id:
        raise resume_refused()


def _terms(request: StreamRequest, token: Secret, right: str) -> StreamTerms:
    return StreamTerms(
        stream_id=token.id,
        conversation_id=request.conversation_id,
        speaker=request.speaker,
        language=request.language,
        sample_rate=request.audio.sample_rate,
        channels=request.audio.channels,
        separate=request.separate,
        options=dict(request.options),
        token_hash=token.hash,
        right=right,
    )


def _request(terms: StreamTerms) -> StreamRequest:
    return StreamRequest(
        conversation_id=terms.conversation_id,
        speaker=terms.speaker,
        language=terms.language,
        audio=PcmFormat(terms.sample_rate, terms.channels),
        separate=terms.separate,
        options=terms.options,
    )
