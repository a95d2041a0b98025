"""The life cycle of the server: listen, load the model, work, drain.

It listens before the model is loaded (`listening` in the log, 503 from `/health`), so that a server
that loads differs from a dead one; then it is `ready`. On SIGTERM it accepts nothing new, finishes
what it can within the grace period, and returns the other jobs to the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config

from foundation.connections import BACKLOG, ConnectionLimit
from foundation.descriptors import affordable_connections
from gpu_server.host.protection import protect_while_busy
from gpu_server.host.spot import wait_for_spot_notice
from gpu_server.host.warmth import Warmth
from gpu_server.http.access import Authenticator
from gpu_server.http.api import Parts, create_application
from gpu_server.http.download import Downloader
from gpu_server.http.server import GRACE_SECONDS, ConnectionBounds, HttpServer
from gpu_server.http.transfers import Transfers
from gpu_server.settings import Settings
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import THREADS, RecordingTranscriber
from gpu_server.work.spool import Spool
from gpu_server.work.worker import QueueWorker, concurrent_calls
from speech.transcribers.process import TranscriberProcess
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

#: Interval between two checks whether the server has been idle for too long, seconds.
CHECK_INTERVAL = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """All parts of a server."""

    parts: Parts
    worker: QueueWorker | None
    bounds: ConnectionBounds


@contextlib.asynccontextmanager
async def assemble(
    settings: Settings, *, child: str = "speech.transcribers.child"
) -> AsyncIterator[RunningServer]:
    """Create the parts and start to load the model.

    Args:
        settings: of the server.
        child: the module that the transcribers' processes run; tests have their own.
    """
    metrics = Metrics()
    connections = ConnectionLimit(affordable_connections(settings.connections))

    def slot() -> TranscriberProcess:
        return TranscriberProcess(
            settings.spec,
            start_seconds=settings.start_seconds,
            stall_seconds=settings.stall_seconds,
            module=child,
        )

    async with contextlib.AsyncExitStack() as stack:
        spool = stack.enter_context(Spool(settings.work_dir, max_bytes=settings.max_upload_bytes))
        inference = await stack.enter_async_context(
            Inference(slot, slots=settings.capacity, limit=settings.queue_limit, metrics=metrics)
        )
        recordings = None
        if settings.recordings_bucket:
            s3 = create_s3_client()
            recordings = RecordingTranscriber(
                s3,
                {name: DocumentStore(Objects(name, s3)) for name in settings.recordings_bucket},
                inference=inference,
                spool=spool,
                max_seconds=settings.max_seconds,
            )
            stack.push_async_callback(recordings.close)
        worker = None
        if settings.queue_url is not None and recordings is not None:
            worker = QueueWorker(
                create_sqs_client(settings),
                settings.queue_url,
                recordings,
                inference=inference,
                slots=settings.capacity,
                visibility=settings.visibility_seconds,
                poll=settings.poll_seconds,
                metrics=metrics,
            )
        parts = Parts(
            authenticator=Authenticator(secret=settings.secret, loopback=settings.is_loopback),
            inference=inference,
            spool=spool,
            downloader=Downloader(patience=settings.transfer_seconds),
            recordings=recordings,
            warmth=Warmth(),
            metrics=metrics,
            uploads=create_transfers(settings),
            downloads=create_transfers(settings),
            max_seconds=settings.max_seconds,
            # A quarter of the connections stays free, so that `/health` always has one.
            requests=connections.limit - max(1, connections.limit // 4),
            body_seconds=settings.request_seconds,
        )
        bounds = ConnectionBounds(
            connections=connections,
            head_seconds=settings.request_seconds,
            rate=settings.transfer_rate,
            patience=settings.transfer_seconds,
        )
        yield RunningServer(parts=parts, worker=worker, bounds=bounds)


def create_transfers(settings: Settings) -> Transfers:
    """Create the limits for uploads, or for downloads."""
    return Transfers(
        limit=settings.transfer_limit,
        max_bytes=settings.spool_bytes,
        rate=settings.transfer_rate,
        patience=settings.transfer_seconds,
        longest=settings.upload_seconds,
    )


def create_s3_client() -> S3Client:
    """Create a client for recordings of any size."""
    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=THREADS,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )


def create_sqs_client(settings: Settings) -> SQSClient:
    """Create a client whose read timeout is longer than a long poll."""
    return boto3.client(
        "sqs",
        config=Config(
            connect_timeout=5,
            read_timeout=settings.poll_seconds + 15,
            max_pool_connections=concurrent_calls(settings.capacity),
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )


async def run(settings: Settings) -> bool:
    """Run until SIGTERM or SIGINT; return whether the server stopped in good order.

    A server that can do no more work stops, too, and returns False, so that it is replaced.

    Raises:
        TranscriberUnavailable: the model cannot be loaded.
        OSError: the address is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server(
        (settings.host, settings.port), family=family, backlog=BACKLOG
    ) as listening:
        async with assemble(settings) as server, serve(server, listening):
            return await _run_until_stopped(settings, server)


@contextlib.asynccontextmanager
async def serve(server: RunningServer, listening: socket.socket) -> AsyncIterator[None]:
    """Answer requests on a socket. An async context manager."""
    http = HttpServer(create_application(server.parts), server.bounds)
    task = asyncio.create_task(http.serve([listening]))
    try:
        log.info("listening", host=listening.getsockname()[0], port=listening.getsockname()[1])
        yield
    finally:
        http.should_exit = True
        await task


async def _run_until_stopped(settings: Settings, server: RunningServer) -> bool:
    parts = server.parts
    stop_signal = _signalled()
    waiting: list[asyncio.Future[Any]] = [asyncio.create_task(stop_signal.wait())]
    protecting = asyncio.create_task(_protect(settings, parts))
    try:
        loading = asyncio.create_task(parts.inference.wait_until_loaded())
        await asyncio.wait([*waiting, loading], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()  # raises why not
            log.info("ready")
        loading.cancel()
        working = asyncio.create_task(_work(server))
        broken = asyncio.create_task(parts.inference.wait_until_broken())
        waiting += [working, broken, asyncio.create_task(_idle_for_long(settings, parts))]
        if settings.spot_notice:
            waiting.append(asyncio.create_task(wait_for_spot_notice()))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopped_well = True
        if working.done() and working.exception() is not None:
            log.error("worker_died", exc_info=working.exception())
            stopped_well = False
        if broken.done():
            log.error("transcriber_given_up", reason=broken.result())
            stopped_well = False
        await _stop(settings, server, working)
        return stopped_well
    finally:
        for task in (protecting, *waiting):
            task.cancel()
        await asyncio.gather(protecting, *waiting, return_exceptions=True)


async def _protect(settings: Settings, parts: Parts) -> None:
    """Ask ECS not to stop this task while it works, if ECS runs it."""
    if settings.ecs_agent_uri is None:
        return
    try:
        await protect_while_busy(settings.ecs_agent_uri, lambda: parts.inference.idle_seconds)
    except Exception:
        log.exception("protection_defect")  # without it, work goes on


async def _work(server: RunningServer) -> None:
    """Do the queue's jobs; without a queue wait for ever."""
    if server.worker is None:
        await asyncio.Event().wait()
    else:
        await server.worker.run()


async def _stop(settings: Settings, server: RunningServer, working: asyncio.Task[None]) -> None:
    """Accept nothing new; finish the jobs that have begun, or return them to the queue."""
    inference, worker = server.parts.inference, server.worker
    log.info("stopping", running=inference.running, waiting=inference.waiting)
    inference.stop_admission()
    if worker is not None:
        worker.stop()
    finished = asyncio.create_task(_drain(server, working))
    await asyncio.wait({finished}, timeout=settings.stop_seconds)
    if not finished.done():
        log.warning("not_finished_in_time", running=inference.running, waiting=inference.waiting)
        finished.cancel()
        if worker is not None:
            await worker.release_jobs()
            await asyncio.wait({working}, timeout=settings.poll_seconds + GRACE_SECONDS)
        await inference.close()  # callers that still wait get `Stopping`
    log.info("stopped")


async def _drain(server: RunningServer, working: asyncio.Task[None]) -> None:
    """Wait until no job is in work."""
    if server.worker is not None:
        await asyncio.wait({working})
    await server.parts.inference.wait_until_idle()
    if server.parts.recordings is not None:
        await server.parts.recordings.finish()


async def _idle_for_long(settings: Settings, parts: Parts) -> None:
    """Return once the server has been idle for `IDLE_EXIT_SECONDS` and may exit."""
    patience = settings.idle_exit_seconds
    while not parts.warmth.may_exit(parts.inference.idle_seconds, patience):  # noqa: ASYNC110 - time alone makes it true
        await asyncio.sleep(CHECK_INTERVAL)
    log.info("idle_for_long", seconds=patience)


def _signalled() -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event
