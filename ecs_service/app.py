"""Wires the service together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import boto3
import structlog
from botocore.config import Config

from ecs_service.access import Door
from ecs_service.api.arrivals import Arrivals, Listener
from ecs_service.api.health import Health
from ecs_service.api.languages import Languages
from ecs_service.api.live import Live
from ecs_service.api.router import Router
from ecs_service.callers import MOST_ADDRESSES, Callers
from ecs_service.conversations.confirmation import Confirmation
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from ecs_service.conversations.translations import Translations
from ecs_service.conversations.updates import NoStore, Updates
from ecs_service.descriptors import Shares, share, wanted
from ecs_service.embedded_metrics import Meter, publish
from ecs_service.rates import Rate, RateLimit
from ecs_service.sessions.admission import Admission
from ecs_service.sessions.publish import NoPromises
from ecs_service.sessions.stream import Streams
from ecs_service.sessions.unread import Unread
from ecs_service.sessions.viewers import ViewerAdmission
from ecs_service.settings import Settings
from foundation.descriptors import raise_descriptor_limit
from speech.engines.base import Engine
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
        TooFewDescriptors: the process may not open enough files.
    """
    async with contextlib.AsyncExitStack() as stack:
        shares = _share_descriptors(settings)
        hub, admission = Hub(), Admission(shares.streams)
        tasks = await stack.enter_async_context(_background_tasks())
        outbox: Outbox | None = None
        store: ConversationTable | NoStore = NoStore()
        if settings.queue_url is not None and settings.table_name is not None:
            journal = stack.enter_context(contextlib.closing(Journal(settings.outbox_path)))
            sqs, pause = boto3.client("sqs", config=_AWS), settings.confirm_seconds
            outbox = Outbox(journal, sqs, settings.queue_url, confirm_seconds=pause)
            store = ConversationTable(settings.table_name, boto3.client("dynamodb", config=_AWS))
            confirmation = Confirmation(journal, store, outbox.send, pause=pause)
            tasks.append(asyncio.create_task(outbox.run(), name="outbox"))
            tasks.append(asyncio.create_task(confirmation.run(), name="confirmation"))
        else:
            log.warning("nothing_is_stored", reason="QUEUE_URL and TABLE_NAME are not set")
        updates = Updates(hub, store)
        tasks.append(asyncio.create_task(updates.follow(settings.updates_seconds), name="updates"))
        if settings.metrics_namespace is not None:
            publishing = publish(settings.metrics_namespace, Meter(admission, outbox))
            tasks.append(asyncio.create_task(publishing, name="metrics"))
        for task in tasks:
            task.add_done_callback(partial(_check, on_defect=on_defect))
        engine = await stack.enter_async_context(engine_of(settings))
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
        viewers = ViewerAdmission(
            shares.viewers, min(shares.viewers, settings.viewers_per_conversation)
        )
        unread = Unread(settings.max_unread_mib * 2**20)
        live = Live(streams, hub, updates, translations, viewers, unread)
        health = Health(admission, outbox)
        languages = Languages(engine, translations)
        router = Router(
            sockets={"/api/stt/transcribe": live.speak, "/api/stt/connect": live.listen},
            refuse=live.refuse,
            pages={**health.pages(), "/api/stt/languages": languages.languages},
            door=Door(
                frozenset(settings.allowed_origins),
                loopback=settings.loopback,
                edge_secret=settings.edge_secret.get_secret_value()
                if settings.edge_secret
                else None,
            ),
            callers=_callers(settings),
            address_header=settings.viewer_address_header,
            arrivals=Arrivals(shares.pending),
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
        listener = serve(parts.router, _bind(settings.host, settings.port))
        log.info(
            "serving",
            host=settings.host,
            port=listener.port,
            engine=settings.engine,
            slots=parts.admission.capacity,
            viewers=parts.live.viewers.most,
        )
        # What is there now stays: the collector need not look at it for every thousand messages.
        gc.collect()
        gc.freeze()
        await stop.wait()
        drained = await _drain(parts, settings.drain_seconds)
        listener.close()
        if parts.outbox is not None and settings.outbox_path is None and parts.outbox.waiting():
            drained = False  # what waits in memory ends with the process
    return drained and not defect.is_set()


def serve(router: Router, bound: socket.socket) -> Listener:
    """Accept connections at a bound socket."""
    return Listener(router, router.arrivals, bound)


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


def _share_descriptors(settings: Settings) -> Shares:
    """Share out the files that the process may open, more of them where it may have them.

    Raises:
        TooFewDescriptors: there are too few for anybody.
    """
    viewers, streams = settings.max_viewers, settings.capacity
    limit = raise_descriptor_limit(wanted(viewers=viewers, streams=streams))
    shares = share(limit, viewers=viewers, streams=streams)
    if (shares.viewers, shares.streams) != (viewers, streams):
        log.warning(
            "too_few_descriptors", limit=limit, slots=shares.streams, viewers=shares.viewers
        )
    return shares


def _callers(settings: Settings) -> Callers:
    connects = Rate(settings.connects_per_second, settings.connects_at_once)
    failures = Rate(settings.failures_per_second, settings.failures_at_once)
    return Callers(
        connects=RateLimit(connects, most=MOST_ADDRESSES),
        failures=RateLimit(failures, most=MOST_ADDRESSES),
    )


def engine_of(settings: Settings) -> Engine:
    """Return the engine that is set, not started yet.

    Raises:
        ValueError: what is set does not go together, or leads nowhere.
    """
    if settings.engine == "scripted":
        return ScriptedEngine(settings.scripted)
    if settings.engine == "transcribe":
        region = settings.transcribe_region or boto3.Session().region_name
        if region is None:
            raise ValueError("TRANSCRIBE_REGION is missing, and the AWS SDKs have none either")
        return TranscribeEngine(
            region=region,
            endpoint=settings.transcribe_endpoint,
            allowed=settings.transcribe_allowed,
            defaults=settings.transcribe_options,
            transport=settings.transcribe_transport,
            starts_per_second=settings.transcribe_starts_per_second,
        )
    return PocketsphinxEngine(slots=settings.capacity)


def _translator(settings: Settings) -> Translator | None:
    detects = settings.translate_source == "auto"
    if settings.translator == "pseudo":
        return PseudoTranslator(settings.translate_languages, detects=detects)
    if settings.translator == "amazon":
        return amazon.AmazonTranslator(
            amazon.client(settings.translate_region),
            languages=settings.translate_languages,
            terminology=settings.translate_terminology,
            detects=detects,
        )
    return None


def _bind(host: str, port: int) -> socket.socket:
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
