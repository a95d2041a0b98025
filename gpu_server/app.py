"""The server's life: listen, load, work, and stop without losing anything.

It listens before the model is loaded (`listening` in the log, 503 from `/health`), so that whoever
waits for it can tell loading from dead; then it is `ready`. On SIGTERM it takes nothing new,
finishes what it can in the time that it is given, and gives the rest back to the queue.
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

from foundation.connections import BACKLOG, Crowd, affordable
from gpu_server.host.protection import protect
from gpu_server.host.spot import spot_notice
from gpu_server.host.warmth import Warmth
from gpu_server.http.access import Door
from gpu_server.http.api import Parts, application
from gpu_server.http.download import Downloader
from gpu_server.http.transfers import Transfers
from gpu_server.http.web import GOODBYE, Bounds, Web
from gpu_server.settings import Settings
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import THREADS, Recordings
from gpu_server.work.spool import Spool
from gpu_server.work.worker import QueueWorker, calls_at_a_time
from speech.transcribers.process import TranscriberProcess
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

#: How often to look whether the server has been idle for too long, seconds.
LOOK = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """All parts, running."""

    parts: Parts
    worker: QueueWorker | None
    bounds: Bounds


@contextlib.asynccontextmanager
async def assembled(
    settings: Settings, *, child: str = "speech.transcribers.child"
) -> AsyncIterator[Server]:
    """Put the parts together, and begin to load the model.

    Args:
        settings: what is set.
        child: module that the transcribers' processes run; tests have their own.
    """
    metrics = Metrics()
    crowd = Crowd(affordable(settings.connections))

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
            s3 = s3_client()
            recordings = Recordings(
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
                sqs_client(settings),
                settings.queue_url,
                recordings,
                inference=inference,
                slots=settings.capacity,
                visibility=settings.visibility_seconds,
                poll=settings.poll_seconds,
                metrics=metrics,
            )
        parts = Parts(
            door=Door(secret=settings.secret, loopback=settings.loopback),
            inference=inference,
            spool=spool,
            downloader=Downloader(patience=settings.transfer_seconds),
            recordings=recordings,
            warmth=Warmth(),
            metrics=metrics,
            uploads=transfers(settings),
            downloads=transfers(settings),
            max_seconds=settings.max_seconds,
            # A part of the connections stays free, so that `/health` has one at any time.
            requests=crowd.limit - max(1, crowd.limit // 4),
            body_seconds=settings.request_seconds,
        )
        bounds = Bounds(
            crowd=crowd,
            head_seconds=settings.request_seconds,
            rate=settings.transfer_rate,
            patience=settings.transfer_seconds,
        )
        yield Server(parts=parts, worker=worker, bounds=bounds)


def transfers(settings: Settings) -> Transfers:
    """Return the bounds of uploads, or of downloads."""
    return Transfers(
        limit=settings.transfer_limit,
        max_bytes=settings.spool_bytes,
        rate=settings.transfer_rate,
        patience=settings.transfer_seconds,
        longest=settings.upload_seconds,
    )


def s3_client() -> S3Client:
    """Return a client for recordings of any size."""
    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=THREADS,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )


def sqs_client(settings: Settings) -> SQSClient:
    """Return a client whose reads outlast a look into the queue."""
    return boto3.client(
        "sqs",
        config=Config(
            connect_timeout=5,
            read_timeout=settings.poll_seconds + 15,
            max_pool_connections=calls_at_a_time(settings.capacity),
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )


async def run(settings: Settings) -> bool:
    """Run until SIGTERM or SIGINT; return whether it ended as it should.

    It also ends, and not as it should, where it can do no more work: then whoever runs it starts
    another one.

    Raises:
        TranscriberUnavailable: the model cannot be loaded.
        OSError: the address is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server(
        (settings.host, settings.port), family=family, backlog=BACKLOG
    ) as listening:
        async with assembled(settings) as server, serving(server, listening):
            return await _live(settings, server)


@contextlib.asynccontextmanager
async def serving(server: Server, listening: socket.socket) -> AsyncIterator[None]:
    """Answer requests."""
    web = Web(application(server.parts), server.bounds)
    task = asyncio.create_task(web.serve([listening]))
    try:
        log.info("listening", host=listening.getsockname()[0], port=listening.getsockname()[1])
        yield
    finally:
        web.should_exit = True
        await task


async def _live(settings: Settings, server: Server) -> bool:
    parts = server.parts
    enough = _signalled()
    waiting: list[asyncio.Future[Any]] = [asyncio.create_task(enough.wait())]
    protecting = asyncio.create_task(_protect(settings, parts))
    try:
        loading = asyncio.create_task(parts.inference.loaded())
        await asyncio.wait([*waiting, loading], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()  # raises why not
            log.info("ready")
        loading.cancel()
        working = asyncio.create_task(_work(server))
        broken = asyncio.create_task(parts.inference.broken())
        waiting += [working, broken, asyncio.create_task(_idle_for_long(settings, parts))]
        if settings.spot_notice:
            waiting.append(asyncio.create_task(spot_notice()))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        well = True
        if working.done() and working.exception() is not None:
            log.error("worker_died", exc_info=working.exception())
            well = False
        if broken.done():
            log.error("transcriber_given_up", reason=broken.result())
            well = False
        await _stop(settings, server, working)
        return well
    finally:
        for task in (protecting, *waiting):
            task.cancel()
        await asyncio.gather(protecting, *waiting, return_exceptions=True)


async def _protect(settings: Settings, parts: Parts) -> None:
    """Keep ECS from ending this server while it works, if ECS runs it."""
    if settings.ecs_agent_uri is None:
        return
    try:
        await protect(settings.ecs_agent_uri, lambda: parts.inference.idle_seconds)
    except Exception:
        log.exception("protection_defect")  # without it, work goes on


async def _work(server: Server) -> None:
    """Do the queue's jobs; without a queue there are none, for ever."""
    if server.worker is None:
        await asyncio.Event().wait()
    else:
        await server.worker.run()


async def _stop(settings: Settings, server: Server, working: asyncio.Task[None]) -> None:
    """Take nothing new; finish what is begun, or give it back."""
    inference, worker = server.parts.inference, server.worker
    log.info("stopping", running=inference.running, waiting=inference.waiting)
    inference.refuse()
    if worker is not None:
        worker.stop()
    finished = asyncio.create_task(_finished(server, working))
    await asyncio.wait({finished}, timeout=settings.stop_seconds)
    if not finished.done():
        log.warning("not_finished_in_time", running=inference.running, waiting=inference.waiting)
        finished.cancel()
        if worker is not None:
            await worker.give_back()
            await asyncio.wait({working}, timeout=settings.poll_seconds + GOODBYE)
        await inference.close()  # who still waits is told so
    log.info("stopped")


async def _finished(server: Server, working: asyncio.Task[None]) -> None:
    """Wait until nothing is in work, and nothing in the worker's hands."""
    if server.worker is not None:
        await asyncio.wait({working})
    await server.parts.inference.idle()
    if server.parts.recordings is not None:
        await server.parts.recordings.finish()


async def _idle_for_long(settings: Settings, parts: Parts) -> None:
    """Return when there has been no work for longer than is worth waiting."""
    patience = settings.idle_exit_seconds
    while not parts.warmth.may_end(parts.inference.idle_seconds, patience):  # noqa: ASYNC110 - time alone makes it true
        await asyncio.sleep(LOOK)
    log.info("idle_for_long", seconds=patience)


def _signalled() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event
