"""The bounded queue in front of the transcribers.

A recording needs a place in the queue. An upload or a download from a URL may be slow, so it takes
a place only when it is complete. A recording in S3 arrives quickly and takes its place first, so
that the number of recordings that wait on the disk is bounded:

    with inference.receive_recording() as incoming:
        ... receive the recording; `Transfers` limits how many arrive at a time ...
        place = await incoming.take_place()
        transcription = await place.transcribe(path, options)

    with inference.take_place() as place:
        ... fetch the recording from S3 ...
        transcription = await place.transcribe(path, options)

While the queue is full, a caller is refused before it sends anything. A recording that has arrived
is not refused any more, even if others have taken the last place meanwhile: the caller would have
to send all of it again. It joins a line, which gets every place that becomes free before new
callers do. The line is no longer than the number of transfers, because a recording in it still
holds its transfer slot.

A place is released at the end of the `with`, however that ends: a waiting job leaves the queue, and
a running one is cancelled. Jobs of the SQS queue run in the `background`. Their places are not
counted, because the worker takes only one more of them than there are slots. They give way to
requests, but only for `BACKGROUND_PATIENCE`.

A slot is a process with a model. If it dies, its job fails and the process is restarted: at once,
unless different recordings kill it one after another (`gpu_server.work.blame`) or it dies while
idle. Where restarting does not help, `wait_until_broken` returns, and the server should be
replaced.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import structlog

from foundation.backoff import backoff
from gpu_server.problems import Busy, NotReady, Stopping
from gpu_server.telemetry import Metrics
from gpu_server.work.blame import OUTAGE, Blame
from gpu_server.work.standby import SlotProcess, Standby
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import Stopped, TranscriberError, TranscriberUnavailable
from speech.transcribers.messages import Loaded

#: How long a job of the SQS queue gives way to requests, seconds.
BACKGROUND_PATIENCE: Final = 60.0
#: The longest pause between two attempts to restart a transcriber, seconds.
LONGEST_PAUSE: Final = 30.0
#: After this many failed attempts in a row to reload a model, the server is broken.
MAX_RELOADS: Final = 5
#: The largest `Retry-After`, seconds.
LONGEST_RETRY: Final = 60

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    path: Path
    options: TranscriptionOptions
    background: bool
    arrived: float
    #: Identifies the recording in every attempt.
    recording: Hashable
    future: asyncio.Future[Transcription]
    has_begun: bool = False
    #: When it first gave way to a request, monotonic; None: not yet.
    gave_way: float | None = None


class QueuePlace:
    """A place in the queue; see the module."""

    def __init__(self, inference: Inference, *, background: bool) -> None:
        self._inference = inference
        self._background = background
        self._hurried = False
        self._job: _Job | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a transcriber has begun with the job."""
        return self._job is not None and self._job.has_begun

    async def transcribe(
        self, path: Path, options: TranscriptionOptions, *, recording: Hashable | None = None
    ) -> Transcription:
        """Wait for a slot and transcribe a file.

        Args:
            path: the file.
            options: language, diarisation and limits.
            recording: identifies the recording in every attempt; None if there is only one.

        Raises:
            TranscriberError: the transcription failed.
            Stopped: the server is shutting down.
        """
        self._job = self._inference.enqueue(
            path, options, background=self._background, recording=recording
        )
        if self._hurried:
            self.prioritise()
        return await self._job.future

    def prioritise(self) -> None:
        """Treat the background job as a request's from now on: a request waits for it, too."""
        self._hurried = True
        if self._job is not None:
            self._job.gave_way = -math.inf


class IncomingRecording:
    """A recording that is arriving; see the module."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        #: Done when it has a place.
        self.turn: asyncio.Future[None] | None = None

    async def take_place(self) -> QueuePlace:
        """Take a place for the recording that has arrived; wait in line if none is free."""
        self.turn = self._inference.join_line()
        await self.turn
        return QueuePlace(self._inference, background=False)


class Inference:
    """The queue and its slots. An async context manager: entering it starts to load the models.

    Args:
        make: creates the process of a slot.
        slots: how many.
        limit: places for recordings that wait, besides those in work.
        metrics: counts jobs and restarts.
    """

    def __init__(
        self, make: Callable[[], SlotProcess], *, slots: int, limit: int, metrics: Metrics
    ) -> None:
        self.slots = slots
        self.limit = limit
        self._make = make
        self._processes: list[SlotProcess] = []
        self._standby = Standby(self._process)
        self._metrics = metrics
        self._blame = Blame()
        #: Jobs of requests, and of the SQS queue; each in order of arrival.
        self._requests: deque[_Job] = deque()
        self._jobs_of_queue: deque[_Job] = deque()
        self._jobs: set[asyncio.Future[Transcription]] = set()  # not done
        self._takers: deque[asyncio.Future[_Job]] = deque()
        self._line: deque[asyncio.Future[None]] = (
            deque()
        )  # of recordings that have arrived and wait for a place
        self._arrivals = 0  # with or without a place
        self._places = 0
        self._background = 0
        self._running = 0
        self._running_requests = 0
        self._ready = 0
        self._typical_work = 1.0
        self._idle_since: float | None = time.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start to load the models."""
        processes = [self._process() for _ in range(self.slots)]
        self._tasks = [asyncio.create_task(self._slot(each)) for each in processes]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop every process; jobs that are not done fail with `Stopped`."""
        self.stop_admission()
        await self._standby.close()
        for process in self._processes:
            await process.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in list(self._jobs):
            _fail(future, Stopped())
        if self._loaded.done() and not self._loaded.cancelled():
            self._loaded.exception()  # marks it as retrieved

    # --- for callers ----------------------------------------------------------------

    async def wait_until_loaded(self) -> Loaded:
        """Wait until a model is loaded and return its description.

        Raises:
            TranscriberUnavailable: no model can be loaded.
        """
        return await asyncio.shield(self._loaded)

    async def wait_until_broken(self) -> str:
        """Wait until a slot has failed for good, and return the reason."""
        return await asyncio.shield(self._broken)

    @property
    def model(self) -> Loaded | None:
        """The loaded model; None before the first is loaded."""
        if self._loaded.done() and not self._loaded.cancelled() and not self._loaded.exception():
            return self._loaded.result()
        return None

    @property
    def is_ready(self) -> bool:
        """Whether a loaded model could take a job."""
        return self._ready > 0 and not self._stopping

    @property
    def is_stopping(self) -> bool:
        """Whether admission has stopped."""
        return self._stopping

    @property
    def running(self) -> int:
        """The number of jobs in work."""
        return self._running

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot, or for their recording from S3."""
        # After a caller hangs up its place is free while the job still runs for a moment.
        return max(0, self._places + self._in_line - self._running_requests)

    @property
    def idle_seconds(self) -> float:
        """For how long no place has been taken and no recording has been arriving, seconds."""
        return 0.0 if self._idle_since is None else time.monotonic() - self._idle_since

    def stop_admission(self) -> None:
        """Refuse new recordings from now on."""
        self._stopping = True

    async def wait_until_idle(self) -> None:
        """Wait until no place is taken and no recording is arriving."""
        await self._idle.wait()

    @contextmanager
    def take_place(self, *, background: bool = False) -> Iterator[QueuePlace]:
        """Take a place in the queue.

        Raises:
            Stopping: the server is shutting down.
            NotReady: the first model is being loaded.
            Busy: no place is free; background jobs always get one.
        """
        self._admit(background=background)
        self._count(1, background=background)
        try:
            yield QueuePlace(self, background=background)
        finally:
            self._count(-1, background=background)

    @contextmanager
    def receive_recording(self) -> Iterator[IncomingRecording]:
        """Admit a recording that is going to arrive.

        Raises:
            Stopping: the server is shutting down.
            NotReady: the first model is being loaded.
            Busy: no place is free now.
        """
        self._admit(background=False)
        self._arrivals += 1
        self._settle()
        arrival = IncomingRecording(self)
        try:
            yield arrival
        finally:
            self._arrivals -= 1
            turn = arrival.turn
            if turn is not None and not turn.cancel() and not turn.cancelled():
                self._places -= 1  # it had a place
            self._settle()

    def join_line(self) -> asyncio.Future[None]:
        """Return a future that is done when the recording has a place; for `IncomingRecording`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._settle()
        return turn

    def _admit(self, *, background: bool) -> None:
        """Check that a recording can be admitted; raise what `take_place` lists."""
        if self._stopping:
            raise Stopping("The server is being shut down.", retry_after=5)
        if self.model is None:
            raise NotReady("The model is being loaded.", retry_after=10)
        taken = self._places + self._in_line
        if not background and taken >= self.limit + self.slots:
            raise Busy(f"{taken} recordings are in work or waiting.", retry_after=self._retry_after)

    @property
    def _in_line(self) -> int:
        return sum(not turn.done() for turn in self._line)

    def enqueue(
        self,
        path: Path,
        options: TranscriptionOptions,
        *,
        background: bool,
        recording: Hashable | None = None,
    ) -> _Job:
        """Queue a job; for `QueuePlace`.

        Raises:
            Stopped: no slot is left.
        """
        if all(task.done() for task in self._tasks):
            raise Stopped
        job = _Job(
            path=path,
            options=options,
            background=background,
            arrived=time.monotonic(),
            recording=object() if recording is None else recording,
            future=asyncio.get_running_loop().create_future(),
        )
        self._jobs.add(job.future)
        job.future.add_done_callback(self._jobs.discard)
        self._queue(job)
        return job

    def _queue(self, job: _Job, *, again: bool = False) -> None:
        """Give a job to a waiting slot, or queue it; at the front, if `again`."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(job)
                return
        queue = self._jobs_of_queue if job.background else self._requests
        (queue.appendleft if again else queue.append)(job)

    def _turn(self) -> _Job | None:
        """Remove and return the next job; None if none waits."""
        for queue in (self._requests, self._jobs_of_queue):
            while queue and queue[0].future.done():  # cancelled
                queue.popleft()
        if not self._jobs_of_queue or not self._requests:
            queue = self._requests or self._jobs_of_queue
            return queue.popleft() if queue else None
        now, job = time.monotonic(), self._jobs_of_queue[0]
        if job.gave_way is None:
            job.gave_way = now
        if now - job.gave_way < BACKGROUND_PATIENCE:
            return self._requests.popleft()
        return self._jobs_of_queue.popleft()

    @property
    def _retry_after(self) -> int:
        expected = self._typical_work * (self.waiting + 1) / self.slots
        return min(max(1, math.ceil(expected)), LONGEST_RETRY)

    def _count(self, change: int, *, background: bool) -> None:
        if background:
            self._background += change
        else:
            self._places += change
        self._settle()

    def _settle(self) -> None:
        """Give free places to the line, and update the idle time."""
        while self._line and self._places < self.limit + self.slots:
            turn = self._line.popleft()
            if not turn.done():  # not cancelled
                turn.set_result(None)
                self._places += 1
        if self._places + self._background + self._arrivals:
            self._idle_since = None
            self._idle.clear()
        else:
            self._idle_since = time.monotonic()
            self._idle.set()

    # --- slots ---------------------------------------------------------------------------

    def _process(self) -> SlotProcess:
        made = self._make()
        self._processes.append(made)
        return made

    async def _slot(self, process: SlotProcess) -> None:
        """Run a slot, and report if it fails for good."""
        why: str | None = "defect"
        try:
            why = None if await self._serve(process) else "model_not_loaded"
        except Exception:
            log.exception("slot_died")
        if why is not None and not self._loaded.done():
            self._loaded.set_exception(TranscriberUnavailable("a transcriber was not started"))
        if why is not None and not self._broken.done():
            self._broken.set_result(why)
        if not self._ready:  # no other slot can do the waiting jobs
            for future in list(self._jobs):
                _fail(future, Stopped())

    async def _serve(self, process: SlotProcess) -> bool:
        """Keep a process alive and give it jobs; return False if the model cannot be loaded."""
        crashed = False
        idle_deaths = 0
        reloads = 0
        while not self._stopping:
            try:
                process, loaded = await self._start(process)
            except TranscriberUnavailable as error:
                if not self._loaded.done():
                    self._loaded.set_exception(error)
                if self.model is None:
                    return False  # no model has ever been loaded
                reloads += 1
                log.error("transcriber_not_loaded", error=str(error), failures=reloads)  # noqa: TRY400 - no stack needed
                if reloads >= MAX_RELOADS:
                    return False
                await asyncio.sleep(backoff(reloads, first=2.0, longest=LONGEST_PAUSE, jitter=0))
                continue
            reloads = 0
            if not self._loaded.done():
                self._loaded.set_result(loaded)
            log.info(
                "transcriber_loaded",
                engine=loaded.engine,
                device=loaded.device,
                pid=loaded.pid,
            )
            if crashed and loaded.light:
                self._standby.prepare()
            jobs = await self._serve_with(process)
            if self._stopping:
                return True
            crashed = jobs > 0
            idle_deaths = 0 if crashed else idle_deaths + 1
            self._metrics.restarts.inc()
            log.warning("transcriber_replaced", jobs=jobs)
            # A process that keeps dying without a bad recording must not use all the CPU or fail
            # all waiting jobs. One bad recording costs the others no pause.
            failures = idle_deaths or self._blame.in_a_row - OUTAGE + 1
            if failures > 0:
                await asyncio.sleep(backoff(failures, first=1.0, longest=LONGEST_PAUSE, jitter=0))
        return True

    async def _start(self, process: SlotProcess) -> tuple[SlotProcess, Loaded]:
        """Return a process with a loaded model: the standby, or else this one.

        Raises:
            TranscriberUnavailable: the model cannot be loaded.
        """
        return self._standby.exchange(process) or (process, await process.start())

    async def _serve_with(self, process: SlotProcess) -> int:
        """Give jobs to a process until it dies; return how many it got."""
        jobs = 0
        self._ready += 1
        try:
            while not process.gone.is_set():
                job = await self._next(process.gone)
                if job is None:
                    break
                await self._do(job, process)
                jobs += 1
        finally:
            self._ready -= 1
        return jobs

    async def _next(self, gone: asyncio.Event) -> _Job | None:
        """Wait for the next job that is not cancelled; return None when the process has died."""
        if waiting := self._turn():
            return waiting
        taker: asyncio.Future[_Job] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        end = asyncio.create_task(gone.wait())
        try:
            either: set[asyncio.Future[Any]] = {taker, end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
            if not taker.done():
                taker.cancel()
                with suppress(ValueError):
                    self._takers.remove(taker)
        if taker.cancelled():
            return None
        job = taker.result()
        if job.future.done():
            return await self._next(gone)
        if gone.is_set():
            self._queue(job, again=True)
            return None
        return job

    async def _do(self, job: _Job, process: SlotProcess) -> None:
        """Give a job to a process, and wait until it is done or cancelled."""
        began = time.monotonic()
        if not job.background:
            self._metrics.wait.observe(began - job.arrived)
        job.has_begun = True
        self._running += 1
        self._running_requests += not job.background
        work = asyncio.create_task(process.transcribe(job.path, job.options))
        try:
            either: set[asyncio.Future[Transcription]] = {work, job.future}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
            [outcome] = await asyncio.gather(work, return_exceptions=True)
        except asyncio.CancelledError:
            work.cancel()
            _fail(job.future, Stopped())
            raise
        finally:
            self._running -= 1
            self._running_requests -= not job.background
        self._settle_job(job, outcome, time.monotonic() - began)

    def _settle_job(
        self, job: _Job, outcome: Transcription | BaseException, seconds: float
    ) -> None:
        metrics = self._metrics
        if isinstance(outcome, Transcription):
            metrics.work.observe(seconds)
            metrics.audio.inc(outcome.duration)
            metrics.outcomes.labels("done").inc()
            self._typical_work += (seconds - self._typical_work) / 8
            self._blame.record_success(job.recording)
            if not job.future.done():
                job.future.set_result(outcome)
            return
        if self._stopping or isinstance(outcome, asyncio.CancelledError):
            outcome = Stopped()
        code = str(getattr(outcome, "code", type(outcome).__name__))
        metrics.outcomes.labels(code).inc()
        if not isinstance(outcome, TranscriberError | Stopped):
            log.error("transcriber_defect", exc_info=outcome)
            outcome = TranscriberError("internal error")
        if isinstance(outcome, TranscriberError) and outcome.retryable:
            self._blame.record_failure(job.recording)
        _fail(job.future, outcome)


def _fail(future: asyncio.Future[Transcription], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as retrieved: the caller may have gone
