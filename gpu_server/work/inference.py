"""The one queue in front of the transcribers, with its bound.

A place belongs to whose recording is there. What comes from strangers may come slowly, so it takes
none before it is complete. What is fetched from S3 comes at once, and takes one first, so that what
waits on the disk is bounded:

    with inference.arrival() as arrival:
        ... receive the recording; how many do so at a time is bounded elsewhere ...
        place = await arrival.place()
        transcription = await place.transcribe(path, options)

    with inference.place() as place:
        ... fetch the recording ...
        transcription = await place.transcribe(path, options)

Who comes while the queue is full is refused before anything is sent. Whose recording has arrived is
refused no more, even if others have taken the last place meanwhile: all of it would have to be sent
again. It stands in line, and places that are left go to that line before anybody else. The line is
as long as there are transfers at most, for who stands in it has not left the place among those.

A place is left at the end of the `with`, however it ends: a job that waits leaves the queue, and
one in work is called off. Jobs of the SQS queue take places in the `background`: these are not
counted, for the worker takes only one more of them than there are slots, and they give way to
requests for a while from when they could have begun, but not for ever.

Each slot is a process with a model. One that dies fails the job it had and is started again: at
once, unless different recordings kill it one after the other (`gpu_server.work.blame`) or it dies
without work. Where that does not help, `broken` returns, and the server had better be replaced.
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

from gpu_server.problems import Busy, NotReady, Stopping
from gpu_server.telemetry import Metrics
from gpu_server.work.blame import OUTAGE, Blame
from gpu_server.work.standby import Standby, Transcribing
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import Stopped, TranscriberError, TranscriberUnavailable
from speech.transcribers.messages import Loaded

#: How long a job of the queue gives way to requests, seconds.
BACKGROUND_PATIENCE: Final = 60.0
#: The longest pause between two attempts to start a transcriber again, seconds.
LONGEST_PAUSE: Final = 30.0
#: After so many attempts in a row to load a model again, the server is of no more use.
MAX_RELOADS: Final = 5
#: The longest time after which a caller is told to come again, seconds.
LONGEST_RETRY: Final = 60

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    path: Path
    options: TranscriptionOptions
    background: bool
    arrived: float
    #: What it is a job about, the same in each attempt.
    recording: Hashable
    future: asyncio.Future[Transcription]
    begun: bool = False
    #: When it first gave way to a request, by the monotonic clock.
    gave_way: float | None = None


class Place:
    """A place in the queue; see the module."""

    def __init__(self, inference: Inference, *, background: bool) -> None:
        self._inference = inference
        self._background = background
        self._hurried = False
        self._job: _Job | None = None

    @property
    def begun(self) -> bool:
        """Whether a transcriber is at it, or was."""
        return self._job is not None and self._job.begun

    async def transcribe(
        self, path: Path, options: TranscriptionOptions, *, recording: Hashable | None = None
    ) -> Transcription:
        """Wait for a transcriber and have it transcribe a file.

        Args:
            path: the file.
            options: what is asked for.
            recording: names it in every attempt; None for one that comes once.

        Raises:
            TranscriberError: as the transcriber tells.
            Stopped: the server is being shut down.
        """
        self._job = self._inference.put(
            path, options, background=self._background, recording=recording
        )
        if self._hurried:
            self.hurry()
        return await self._job.future

    def hurry(self) -> None:
        """Give way to nobody any more: a request waits for it, too."""
        self._hurried = True
        if self._job is not None:
            self._job.gave_way = -math.inf


class Arrival:
    """A recording on its way; see the module."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        #: Set when it has a place.
        self.turn: asyncio.Future[None] | None = None

    async def place(self) -> Place:
        """Take a place for the recording, which is there; wait in line if there is none."""
        self.turn = self._inference.line_up()
        await self.turn
        return Place(self._inference, background=False)


class Inference:
    """The queue and its slots. An async context manager; `loaded` waits for the first model.

    Args:
        make: makes a slot.
        slots: how many.
        limit: places besides those in work.
        metrics: where it counts.
    """

    def __init__(
        self, make: Callable[[], Transcribing], *, slots: int, limit: int, metrics: Metrics
    ) -> None:
        self.slots = slots
        self.limit = limit
        self._make = make
        self._processes: list[Transcribing] = []
        self._standby = Standby(self._process)
        self._metrics = metrics
        self._blame = Blame()
        #: Requests, and jobs of the queue; each in order of arrival.
        self._requests: deque[_Job] = deque()
        self._jobs_of_queue: deque[_Job] = deque()
        self._jobs: set[asyncio.Future[Transcription]] = set()  # whose end somebody waits for
        self._takers: deque[asyncio.Future[_Job]] = deque()
        self._line: deque[asyncio.Future[None]] = deque()  # of arrivals that wait for a place
        self._arrivals = 0  # that have not ended, whether they have a place or not
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
        """Begin to load."""
        processes = [self._process() for _ in range(self.slots)]
        self._tasks = [asyncio.create_task(self._slot(each)) for each in processes]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every process; jobs that are not done are `Stopped`."""
        self.refuse()
        await self._standby.close()
        for process in self._processes:
            await process.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in list(self._jobs):
            _fail(future, Stopped())
        if self._loaded.done() and not self._loaded.cancelled():
            self._loaded.exception()  # marks it as seen

    # --- what callers see ----------------------------------------------------------------

    async def loaded(self) -> Loaded:
        """Wait for the first model and return what it is.

        Raises:
            TranscriberUnavailable: it cannot be loaded.
        """
        return await asyncio.shield(self._loaded)

    async def broken(self) -> str:
        """Wait until a slot is given up for good, and return why: a new server may do better."""
        return await asyncio.shield(self._broken)

    @property
    def about(self) -> Loaded | None:
        """What is loaded; None before anything is."""
        if self._loaded.done() and not self._loaded.cancelled() and not self._loaded.exception():
            return self._loaded.result()
        return None

    @property
    def ready(self) -> bool:
        """Whether there is a model that could begin with a job."""
        return self._ready > 0 and not self._stopping

    @property
    def stopping(self) -> bool:
        """Whether nobody gets a place any more."""
        return self._stopping

    @property
    def running(self) -> int:
        """Jobs in work."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests that are not in work: they wait, or S3 is about to deliver their recording."""
        # Who hung up has left the place, and the transcriber may still be at it for a moment.
        return max(0, self._places + self._in_line - self._running_requests)

    @property
    def idle_seconds(self) -> float:
        """How long nobody has had a place, or a recording on its way."""
        return 0.0 if self._idle_since is None else time.monotonic() - self._idle_since

    def refuse(self) -> None:
        """Give nobody a place any more."""
        self._stopping = True

    async def idle(self) -> None:
        """Wait until nobody has a place, or a recording on its way."""
        await self._idle.wait()

    @contextmanager
    def place(self, *, background: bool = False) -> Iterator[Place]:
        """Give a place.

        Raises:
            Stopping: the server is being shut down.
            NotReady: the model is being loaded for the first time.
            Busy: there is none; jobs of the queue always get one.
        """
        self._admit(background=background)
        self._count(1, background=background)
        try:
            yield Place(self, background=background)
        finally:
            self._count(-1, background=background)

    @contextmanager
    def arrival(self) -> Iterator[Arrival]:
        """Let a recording arrive.

        Raises:
            Stopping: the server is being shut down.
            NotReady: the model is being loaded for the first time.
            Busy: there would be no place for it now.
        """
        self._admit(background=False)
        self._arrivals += 1
        self._settle()
        arrival = Arrival(self)
        try:
            yield arrival
        finally:
            self._arrivals -= 1
            turn = arrival.turn
            if turn is not None and not turn.cancel() and not turn.cancelled():
                self._places -= 1  # it had its turn
            self._settle()

    def line_up(self) -> asyncio.Future[None]:
        """Return what is done when an arrival has its place; for `Arrival`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._settle()
        return turn

    def _admit(self, *, background: bool) -> None:
        """Refuse whom there is no place for; see `place`."""
        if self._stopping:
            raise Stopping("The server is being shut down.", retry_after=5)
        if self.about is None:
            raise NotReady("The model is being loaded.", retry_after=10)
        taken = self._places + self._in_line
        if not background and taken >= self.limit + self.slots:
            raise Busy(f"{taken} recordings are in work or waiting.", retry_after=self._retry_after)

    @property
    def _in_line(self) -> int:
        return sum(not turn.done() for turn in self._line)

    def put(
        self,
        path: Path,
        options: TranscriptionOptions,
        *,
        background: bool,
        recording: Hashable | None = None,
    ) -> _Job:
        """Queue a job; for `Place`.

        Raises:
            Stopped: there is no slot any more.
        """
        if all(task.done() for task in self._tasks):
            raise Stopped  # nobody is left to do it
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
        """Give a job to a slot that waits for one, or else let it wait; first, if `again`."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(job)
                return
        queue = self._jobs_of_queue if job.background else self._requests
        (queue.appendleft if again else queue.append)(job)

    def _turn(self) -> _Job | None:
        """Return the job whose turn it is, off its queue; None if none waits."""
        for queue in (self._requests, self._jobs_of_queue):
            while queue and queue[0].future.done():  # nobody waits for it any more
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
        """Give places that are free to the line, and note whether anybody is there."""
        while self._line and self._places < self.limit + self.slots:
            turn = self._line.popleft()
            if not turn.done():  # who stood there has not gone
                turn.set_result(None)
                self._places += 1
        if self._places + self._background + self._arrivals:
            self._idle_since = None
            self._idle.clear()
        else:
            self._idle_since = time.monotonic()
            self._idle.set()

    # --- slots ---------------------------------------------------------------------------

    def _process(self) -> Transcribing:
        made = self._make()
        self._processes.append(made)
        return made

    async def _slot(self, process: Transcribing) -> None:
        """Be a slot, and tell if it cannot be one any more."""
        why: str | None = "defect"
        try:
            why = None if await self._serve(process) else "model_not_loaded"
        except Exception:
            log.exception("slot_died")
        if why is not None and not self._loaded.done():
            self._loaded.set_exception(TranscriberUnavailable("a transcriber was not started"))
        if why is not None and not self._broken.done():
            self._broken.set_result(why)
        if not self._ready:  # nobody is left to do what waits; others may
            for future in list(self._jobs):
                _fail(future, Stopped())

    async def _serve(self, process: Transcribing) -> bool:
        """Keep a process alive and give it jobs; return whether that went well to the end."""
        crashed = False
        idle_deaths = 0
        reloads = 0
        while not self._stopping:
            try:
                process, loaded = await self._start(process)
            except TranscriberUnavailable as error:
                if not self._loaded.done():
                    self._loaded.set_exception(error)
                if self.about is None:
                    return False  # it has never worked
                reloads += 1
                log.error("transcriber_not_loaded", error=str(error), failures=reloads)  # noqa: TRY400 - no stack needed
                if reloads >= MAX_RELOADS:
                    return False
                await asyncio.sleep(min(LONGEST_PAUSE, 2.0**reloads))
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
            # What dies time and again for no recording's sake must not take all the CPU, nor fail
            # all that waits. One bad recording costs the others no pause.
            failures = idle_deaths or self._blame.in_a_row - OUTAGE + 1
            if failures > 0:
                await asyncio.sleep(min(LONGEST_PAUSE, 2.0 ** (failures - 1)))
        return True

    async def _start(self, process: Transcribing) -> tuple[Transcribing, Loaded]:
        """Return a process with a model: the one that stands by, or else this one.

        Raises:
            TranscriberUnavailable: the model cannot be loaded.
        """
        return self._standby.exchange(process) or (process, await process.start())

    async def _serve_with(self, process: Transcribing) -> int:
        """Give jobs to a process while it lives; return how many it got."""
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
        """Return the next job that somebody still waits for; None when the process is gone."""
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

    async def _do(self, job: _Job, process: Transcribing) -> None:
        """Have a process do a job, as long as somebody waits for it."""
        began = time.monotonic()
        if not job.background:
            self._metrics.wait.observe(began - job.arrived)
        job.begun = True
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
        self._tell(job, outcome, time.monotonic() - began)

    def _tell(self, job: _Job, outcome: Transcription | BaseException, seconds: float) -> None:
        metrics = self._metrics
        if isinstance(outcome, Transcription):
            metrics.work.observe(seconds)
            metrics.audio.inc(outcome.duration)
            metrics.outcomes.labels("done").inc()
            self._typical_work += (seconds - self._typical_work) / 8
            self._blame.succeeded(job.recording)
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
            self._blame.failed(job.recording)
        _fail(job.future, outcome)


def _fail(future: asyncio.Future[Transcription], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as seen: who waited may be gone
