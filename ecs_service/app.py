"""Wires the service together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import boto3
import structlog
from botocore.config import Config
from picows import ws_create_server

from ecs_service.access import Door
from ecs_service.api.connection import MAX_TRANSPORT_FRAME_BYTES
from ecs_service.api.health import Health
from ecs_service.api.languages import Languages
from ecs_service.api.live import Live
from ecs_service.api.router import Router
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from ecs_service.conversations.translations import Translations
from ecs_service.conversations.updates import NoStore, Updates
from ecs_service.embedded_metrics import Meter, publish
from ecs_service.sessions.admission import Admission
from ecs_service.sessions.publish import NoPromises
from ecs_service.sessions.stream import Streams
from ecs_service.settings import Settings
from speech.engines.base import Engine
from speech.engines.errors import OptionError
from speech.engines.pocketsphinx import PocketsphinxEngine
from speech.engines.scripted import ScriptedEngine
from speech.engines.transcribe import TranscribeEngine
from transcripts.conversations import ConversationTable
from translation import amazon
from translation.base import Translator
from translation.pseudo import PseudoTranslator

#: What the kernel may buffer per connection, bytes: audio that waits there is lag that the
#: service cannot see. One second of 48 kHz stereo fits.
RECEIVE_BUFFER = 192 * 1024
#: The same for what is sent: who does not read is noticed early, and costs little.
SEND_BUFFER = 128 * 1024
BACKLOG = 1024
#: What the server allocates per connection to read into, bytes; it grows for larger frames.
READ_BUFFER = 8 * 1024
#: Of the drain, what is kept for viewers and the queue if an engine hangs, in seconds.
GOODBYE_SECONDS = 5.0

#: The outbox does the retrying; a call that hangs must end before its patience does.
_AWS = Config(
    connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=16
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that a shutdown takes down in order."""

    router: Router
    live: Live
    admission: Admission
    outbox: Outbox | None


@contextlib.asynccontextmanager
async def service(settings: Settings, on_defect: Callable[[], None]) -> AsyncIterator[Service]:
    """Make the service warm, with its background tasks running.

    `on_defect` is called if one of them dies, which only a defect of ours can make them.

    Raises:
        EngineError: the engine cannot be started.
        sqlite3.Error: the journal cannot be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        hub, admission = Hub(), Admission(settings.capacity)
        tasks = await stack.enter_async_context(_background_tasks())
        outbox: Outbox | None = None
        store: ConversationTable | NoStore = NoStore()
        if settings.queue_url is not None and settings.table_name is not None:
            journal = stack.enter_context(contextlib.closing(Journal(settings.outbox_path)))
            outbox = Outbox(journal, boto3.client("sqs", config=_AWS), settings.queue_url)
            store = ConversationTable(settings.table_name, boto3.client("dynamodb", config=_AWS))
            tasks.append(asyncio.create_task(outbox.run(), name="outbox"))
        else:
            log.warning("nothing_is_stored", reason="QUEUE_URL and TABLE_NAME are not set")
        updates = Updates(hub, store)
        tasks.append(asyncio.create_task(updates.follow(settings.updates_seconds), name="updates"))
        if settings.metrics_namespace is not None:
            publishing = publish(settings.metrics_namespace, Meter(admission, outbox))
            tasks.append(asyncio.create_task(publishing, name="metrics"))
        for task in tasks:
            task.add_done_callback(partial(_check, on_defect=on_defect))
        engine = await stack.enter_async_context(_engine(settings))
        streams = Streams(
            engine=engine,
            hub=hub,
            outbox=outbox or NoPromises(),
            admission=admission,
            max_seconds=settings.max_stream_seconds,
        )
        translator = _translator(settings)
        if translator is not None:
            await stack.enter_async_context(translator)
        translations = await stack.enter_async_context(Translations(translator))
        live = Live(streams, hub, updates, translations)
        health = Health(admission, outbox)
        languages = Languages(engine.capabilities, translations)
        router = Router(
            sockets={"/api/stt/transcribe": live.speak, "/api/stt/connect": live.listen},
            pages={
                "/api/stt/healthcheck": health.healthcheck,
                "/api/stt/ready": health.ready,
                "/api/stt/languages": languages.languages,
                "/metrics": health.metrics,
            },
            door=Door(frozenset(settings.allowed_origins), loopback=settings.loopback),
        )
        yield Service(router, live, admission, outbox)


async def run(settings: Settings) -> bool:
    """Serve until SIGTERM or SIGINT; then finish what was begun, within `drain_seconds`.

    Returns whether that was why it ended, and not a defect.
    """
    stop, defect = asyncio.Event(), asyncio.Event()

    def on_defect() -> None:
        defect.set()
        stop.set()

    async with service(settings, on_defect) as parts:
        # Not before: until it is warm there is nothing to finish, and a signal just ends it.
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        listener = _listen(settings.host, settings.port)
        server = await serve(parts.router, listener)
        log.info(
            "serving",
            host=settings.host,
            port=listener.getsockname()[1],
            engine=settings.engine,
            slots=settings.capacity,
        )
        # What is there now stays: the collector need not look at it for every thousand messages.
        gc.collect()
        gc.freeze()
        await stop.wait()
        drained = await _drain(parts, settings.drain_seconds)
        server.close()
        if parts.outbox is not None and settings.outbox_path is None and parts.outbox.waiting():
            drained = False  # what waits in memory ends with the process
    return drained and not defect.is_set()


async def serve(router: Router, listener: socket.socket) -> asyncio.Server:
    """Accept connections at `listener`."""
    # A client that breaks the protocol is no error of ours, and our own are logged by us.
    logging.getLogger("picows").setLevel(logging.CRITICAL)
    return await ws_create_server(
        router,
        sock=listener,
        backlog=BACKLOG,
        max_frame_size=MAX_TRANSPORT_FRAME_BYTES,
        enable_auto_pong=False,  # a `Connection` does it, within its bounds
        read_buffer_init_size=READ_BUFFER,
    )


async def _drain(parts: Service, seconds: float) -> bool:
    """End the streams, let the viewers hear the rest, hand every final to the queue."""
    log.info("draining", streams=parts.admission.taken)
    try:
        async with asyncio.timeout(seconds):
            parts.live.streams.drain()
            try:
                # An engine that hangs must leave time for the viewers and for the queue.
                async with asyncio.timeout(max(seconds / 2, seconds - GOODBYE_SECONDS)):
                    await parts.admission.until_empty()
            except TimeoutError:
                log.warning("streams_abandoned", streams=parts.admission.taken)
            await parts.live.dismiss()
            if parts.outbox is not None:
                await parts.outbox.flush()
    except TimeoutError:
        waiting = parts.outbox.waiting() if parts.outbox is not None else 0
        log.warning("drain_timed_out", streams=parts.admission.taken, finals_in_journal=waiting)
        return False
    log.info("drained")
    return True


def _engine(settings: Settings) -> Engine:
    if settings.engine == "scripted":
        return ScriptedEngine(settings.scripted)
    if settings.engine == "transcribe":
        region = settings.transcribe_region or boto3.Session().region_name
        if region is None:
            raise ValueError("TRANSCRIBE_REGION is missing, and the AWS SDKs have none either")
        try:
            return TranscribeEngine(
                region=region,
                endpoint=settings.transcribe_endpoint,
                allowed=settings.transcribe_allowed,
                defaults=settings.transcribe_options,
                transport=settings.transcribe_transport,
                starts_per_second=settings.transcribe_starts_per_second,
            )
        except OptionError as error:
            raise ValueError(f"TRANSCRIBE_OPTIONS: {error}") from error
    return PocketsphinxEngine(slots=settings.capacity)


def _translator(settings: Settings) -> Translator | None:
    if settings.translator == "pseudo":
        return PseudoTranslator(settings.translate_languages)
    if settings.translator == "amazon":
        return amazon.AmazonTranslator(
            amazon.client(settings.translate_region),
            languages=settings.translate_languages,
            terminology=settings.translate_terminology,
        )
    return None


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket whose connections have small buffers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.bind((host, port))
    return listener


@contextlib.asynccontextmanager
async def _background_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check(task: asyncio.Task[None], on_defect: Callable[[], None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background_task_died", task=task.get_name(), exc_info=task.exception())
        on_defect()
