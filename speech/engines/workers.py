"""Streaming audio into a blocking model: one worker process per stream.

    event loop                                  fork server (model loaded once)
      WorkerEngine ---- socket of a new worker ----> fork
      WorkerSession <--- PCM, reports (socket) ----> worker: one BlockingRecogniser

- The loop only reads and writes sockets. Audio that a worker cannot take yet waits in the
  transport's buffer, which the recognition's backlog bounds.
- A worker serves one stream and exits, so a stream begins with fresh state, and leaks end with it.
  `spare` workers are forked in advance, so a stream does not wait for the fork.
- A worker that dies closes its socket. The session then fails at once, and the recognition replays
  the audio that is not settled to another worker.
- Workers run at a lower priority (`niceness`), so that the loop stays responsive while they use
  every core.

An engine is a subclass or an instance with a model; `blocking.py` has the port.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Self, cast

import structlog
from pydantic import ValidationError

from speech.engines.base import (
    Capabilities,
    Engine,
    Policy,
    RecognitionOptions,
    Session,
    SessionEvents,
)
from speech.engines.blocking import (
    HEADER_BYTES,
    MODEL_SPEC,
    OPTIONS,
    REPORT,
    ModelSpec,
    Progress,
    Report,
    frame_message,
    parse_header,
)
from speech.engines.errors import EngineCrashed, EngineUnavailable
from speech.engines.fork_server import READY

#: A report has a few kilobytes. A worker that sends more, or no valid report, is killed.
_MAX_REPORT_BYTES = 4 * 1024 * 1024
#: The bound of the wait for killed processes, which end within milliseconds.
_STOP_TIMEOUT = 2.0

log = structlog.get_logger(__name__)


class WorkerEngine(Engine):
    """Runs a `BlockingModel` in at most `slots` worker processes at a time.

    Args:
        model: the factory of the model, for the fork server.
        slots: the most streams at once.
        spare: idle workers kept ready.
        niceness: added to the nice value of workers (0 to 19, higher is a lower priority).
        start_timeout: the most seconds for loading the model.
        lead_in: see `Engine.lead_in`.
    """

    def __init__(
        self,
        name: str,
        model: ModelSpec,
        *,
        slots: int,
        capabilities: Capabilities | None = None,
        policy: Policy | None = None,
        spare: int = 1,
        niceness: int = 5,
        start_timeout: float = 30.0,
        lead_in: float = 0.0,
    ) -> None:
        if slots < 1:
            raise ValueError("an engine has at least one slot")
        self.name = name
        self.slots = slots
        self.lead_in = lead_in
        if capabilities is not None:
            self.capabilities = capabilities
        if policy is not None:
            self.policy = policy
        self._spare = spare
        self._start_timeout = start_timeout
        self._server = _ForkServer(model, niceness)
        self._starting = asyncio.Lock()
        self._started = False
        self._taken = 0  # slots in use, also those whose worker is being forked
        self._workers: set[_Worker] = set()  # all that are alive
        self._spares: deque[_Worker] = deque()
        self._refill: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Load the model and fork the first workers.

        Raises:
            EngineUnavailable: the model cannot be loaded.
        """
        self._started = True
        try:
            for _ in range(min(self._spare, self.slots)):
                self._spares.append(await self._fork())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every process."""
        await self._stop()

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Assign a worker to a stream.

        Raises:
            EngineUnavailable: every slot is taken, or no worker can be forked.
        """
        if self._taken >= self.slots:
            raise EngineUnavailable(f"all {self.slots} workers are busy")
        self._taken += 1
        try:
            worker = self._take_spare() or await self._fork()
        except BaseException:
            self._taken -= 1
            raise
        self._fill_up()
        return WorkerSession(self, worker, options, events)

    def release(self, worker: _Worker) -> None:
        """Free the slot of a closed session."""
        worker.kill()
        self._taken -= 1
        self._fill_up()

    def _take_spare(self) -> _Worker | None:
        while self._spares:
            worker = self._spares.popleft()
            if worker.alive:
                return worker
        return None

    def _fill_up(self) -> None:
        """Fork spare workers in the background, at most as many as there are free slots."""
        if self._started and (self._refill is None or self._refill.done()):
            self._refill = asyncio.create_task(self._fork_spares())

    async def _fork_spares(self) -> None:
        while len(self._spares) < min(self._spare, self.slots - self._taken):
            try:
                self._spares.append(await self._fork())
            except EngineUnavailable as error:
                # The next stream forks its own worker, and reports a failure.
                log.warning("spare_worker_failed", engine=self.name, error=str(error))
                return

    async def _fork(self) -> _Worker:
        """Return a new worker that is ready.

        Raises:
            EngineUnavailable: the fork server cannot be started, or died.
        """
        async with self._starting:
            if not self._started:
                raise EngineUnavailable(f"the engine {self.name!r} is not running")
            if not self._server.alive:
                await self._start_server()
        loop = asyncio.get_running_loop()
        worker = _Worker()
        try:
            await loop.create_unix_connection(lambda: worker, sock=self._server.fork())
            self._workers.add(worker)
            worker.gone.add_done_callback(lambda _: self._workers.discard(worker))
            await worker.ready
        except OSError as error:
            raise EngineUnavailable(f"no worker can be forked: {error}") from error
        except asyncio.CancelledError:
            worker.kill()
            raise
        return worker

    async def _start_server(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._start_timeout):
                await self._server.start()
        except TimeoutError as error:
            await self._server.stop()
            raise EngineUnavailable(
                f"the model was not loaded within {self._start_timeout:g} seconds"
            ) from error
        except BaseException:
            await self._server.stop()
            raise
        seconds = round(time.monotonic() - began, 3)
        log.info("engine_model_loaded", engine=self.name, seconds=seconds)

    async def _stop(self) -> None:
        self._started = False
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)
        workers = list(self._workers)
        for worker in workers:
            worker.kill()
        await self._server.stop()
        if workers:
            await asyncio.wait([worker.gone for worker in workers], timeout=_STOP_TIMEOUT)
        self._spares.clear()


class WorkerSession(Session):
    """One stream in one worker."""

    def __init__(
        self,
        engine: WorkerEngine,
        worker: _Worker,
        options: RecognitionOptions,
        events: SessionEvents,
    ) -> None:
        self._engine: WorkerEngine | None = engine
        self._worker = worker
        self._events: SessionEvents | None = events
        worker.serve(self)
        worker.send(OPTIONS.dump_json(options))

    def write(self, pcm: bytes) -> None:
        """Send audio to the worker."""
        if pcm:  # an empty message would end the stream
            self._worker.send(pcm)

    def end(self) -> None:
        """End the worker's stream."""
        self._worker.send(b"")

    async def close(self) -> None:
        """Kill the worker and free the slot."""
        self._events = None
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.release(self._worker)

    def handle_report(self, report: Report) -> None:
        """Pass on the events of a report."""
        for event in report.events:
            if self._events is None:
                return
            if isinstance(event, Progress):
                self._events.progressed(event.processed, event.settled)
            else:
                self._events.recognised(event)
        if self._events is not None and report.finished:
            events, self._events = self._events, None
            events.finished()
        elif report.error is not None:
            self.handle_crash(f"the recogniser raised {report.error}")

    def handle_crash(self, reason: str) -> None:
        """Report the end of a worker, unless the session is over."""
        if self._events is not None:
            events, self._events = self._events, None
            events.failed(EngineCrashed(reason))


class _Worker(asyncio.Protocol):
    """The parent's end of the socket to a worker."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        #: Done when the worker has sent its pid; fails when it ends before.
        self.ready: asyncio.Future[None] = loop.create_future()
        #: Done when the socket is closed.
        self.gone: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._session: WorkerSession | None = None
        self._buffer = bytearray()

    @property
    def alive(self) -> bool:
        return self.pid > 0 and not self.gone.done()

    def serve(self, session: WorkerSession) -> None:
        self._session = session
        if not self.alive:
            # Deferred: a session must not report before its opener has it.
            asyncio.get_running_loop().call_soon(session.handle_crash, "the worker died")

    def send(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame_message(body))

    def kill(self) -> None:
        """End the process at once, also in the middle of seconds of work."""
        if self._transport is None or self.gone.done():
            return
        if self.pid:
            # While the socket is open, the pid is still the worker's.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER_BYTES:
            length = parse_header(buffer)
            if length > _MAX_REPORT_BYTES:
                self.kill()
                return
            end = HEADER_BYTES + length
            if len(buffer) < end:
                return
            body = bytes(buffer[HEADER_BYTES:end])
            del buffer[:end]
            try:
                report = REPORT.validate_json(body)
            except ValidationError:
                self.kill()
                return
            self._report(report)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(
                EngineUnavailable(f"the worker died before it was ready: {error or 'closed'}")
            )
            self.ready.exception()  # marks it as retrieved: the waiter may be gone
        self.gone.set_result(None)
        if self._session is not None:
            self._session.handle_crash("the worker died")

    def _report(self, report: Report) -> None:
        if report.pid is not None and not self.ready.done():
            self.pid = report.pid
            self.ready.set_result(None)
        elif self._session is not None:
            self._session.handle_report(report)


class _ForkServer:
    """The parent's handle of the fork server."""

    def __init__(self, model: ModelSpec, niceness: int) -> None:
        self._model = model
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the process and wait until the model is loaded.

        Raises:
            EngineUnavailable: it cannot be loaded.
        """
        if self._control is not None:
            self._control.close()  # of a dead server; its workers finish their streams
        self._control, theirs = socket.socketpair()
        self._control.settimeout(0)
        command = [
            sys.executable,
            "-m",
            "speech.engines.fork_server",
            str(theirs.fileno()),
            MODEL_SPEC.dump_json(self._model).decode(),
            str(self._niceness),
        ]
        with theirs:
            # Not asyncio's subprocesses, because uvloop's have no process group. A session of its
            # own would serve too, but where Linux groups tasks by session, niceness has an effect
            # inside one only.
            self._process = await asyncio.to_thread(
                subprocess.Popen[bytes],
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(_import_path()),
                    "OPENBLAS_NUM_THREADS": "1",  # numpy's; a fork copies no threads
                },
                process_group=0,  # not reached by the terminal's Ctrl-C, and killed as a whole
            )
        answer = await self._first_line(self._control)
        if answer != READY:
            raise EngineUnavailable(f"the model cannot be loaded: {answer or 'the process died'}")

    def fork(self) -> socket.socket:
        """Request a worker; return the parent's end of its socket.

        Raises:
            OSError: the server is gone.
        """
        if self._control is None:
            raise ConnectionError("the fork server is not running")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        ours.settimeout(0)
        return ours

    async def stop(self) -> None:
        """Kill the process and every worker forked from it."""
        process, self._process = self._process, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)

    @staticmethod
    async def _first_line(control: socket.socket) -> str:
        loop = asyncio.get_running_loop()
        line = b""
        while not line.endswith(b"\n"):
            data = await loop.sock_recv(control, 4096)
            if not data:
                break
            line += data
        return line.decode(errors="backslashreplace").strip()


def _import_path() -> list[str]:
    """Return this process's import path, with absolute entries for a child process."""
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - "" is the cwd here
