"""Assembles the service and runs it until a signal stops it."""

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

from access.store import AccessTable
from ecs_service.access.door import AccountDoor
from ecs_service.access.edge import AccessPolicy
from ecs_service.access.table import TableCalls
from ecs_service.api import speaker_connection, viewer_connection
from ecs_service.api.acceptor import Acceptor, PendingConnections
from ecs_service.api.health import HealthEndpoints
from ecs_service.api.languages import list_languages
from ecs_service.api.live import LiveContext, RefusedConnection
from ecs_service.api.router import RequestRouter, SocketRoute
from ecs_service.api.speaker_connection import open_speaker
from ecs_service.api.viewer_connection import ViewerConnection
from ecs_service.conversations.confirmation import Confirmation
from ecs_service.conversations.heartbeats import Heartbeats
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from ecs_service.conversations.table_updates import NoStoredFinals, TableUpdates
from ecs_service.conversations.translations import Translations
from ecs_service.embedded_metrics import MetricsReader, print_metrics
from ecs_service.limits.callers import MOST_ADDRESSES, CallerLimits
from ecs_service.limits.descriptors import Shares, count_descriptors, share
from ecs_service.limits.rates import RateLimit, TokenRate
from ecs_service.limits.stream_slots import StreamSlots
from ecs_service.limits.unread import UnreadBudget
from ecs_service.limits.viewer_slots import ViewerSlots
from ecs_service.sessions.ledger import Ledger
from ecs_service.sessions.publisher import NullSink, OutboxSink
from ecs_service.sessions.resumable import ResumableStreams
from ecs_service.sessions.stream import Streams
from ecs_service.sessions.sweep import Sweep
from ecs_service.settings import Settings
from foundation.descriptors import raise_descriptor_limit
from speech.engines.registry import ENGINES
from transcripts.conversations import ConversationTable
from transcripts.streams.store import StreamTable
from translation import amazon
from translation.base import Translator
from translation.pseudo import PseudoTranslator

#: The kernel's receive buffer of a connection, bytes. Audio that waits there is lag that the
#: service cannot see. One second of 48 kHz stereo fits.
RECEIVE_BUFFER = 192 * 1024
#: The kernel's send buffer, bytes: a client that does not read is noticed early and costs little.
SEND_BUFFER = 128 * 1024
#: The part of a drain that stays for viewers and the queue when an engine hangs, in seconds.
FLUSH_SECONDS = 5.0

#: No retries: the outbox and the checks retry by themselves. Calls that hang end soon.
_AWS = Config(
    connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=16
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The parts that a drain ends in order."""

    router: RequestRouter
    live: LiveContext
    slots: StreamSlots
    outbox: Outbox | None
    resumable: ResumableStreams | None


@contextlib.asynccontextmanager
async def start_service(
    settings: Settings, on_defect: Callable[[], None]
) -> AsyncIterator[ServiceParts]:
    """Start the service's parts and background tasks, but accept no connections yet.

    `on_defect` is called if a background task ends with an exception, which is always our defect.

    Raises:
        EngineError: the engine cannot be started.
        sqlite3.Error: the journal cannot be opened.
        TooFewDescriptors: the process may not open enough files.
    """
    async with contextlib.AsyncExitStack() as stack:
        shares = _share_descriptors(settings)
        hub, slots = Hub(), StreamSlots(shares.streams)
        tasks = await stack.enter_async_context(_background_tasks())
        journal, outbox = None, None
        store: ConversationTable | NoStoredFinals = NoStoredFinals()
        if settings.queue_url is not None and settings.table_name is not None:
            journal = stack.enter_context(contextlib.closing(Journal(settings.outbox_path)))
            sqs, pause = boto3.client("sqs", config=_AWS), settings.confirm_seconds
            outbox = Outbox(journal, sqs, settings.queue_url, confirm_seconds=pause)
            store = ConversationTable(settings.table_name, boto3.client("dynamodb", config=_AWS))
            confirmation = Confirmation(journal, store, outbox.send, pause=pause)
            tasks.append(asyncio.create_task(outbox.run(), name="outbox"))
            tasks.append(asyncio.create_task(confirmation.run(), name="confirmation"))
        else:
            log.warning("storage_disabled", reason="QUEUE_URL and TABLE_NAME are not set")
        updates = TableUpdates(hub, store)
        tasks.append(asyncio.create_task(updates.run(settings.updates_seconds), name="updates"))
        tasks.append(asyncio.create_task(Heartbeats(hub).run(), name="heartbeats"))
        if settings.metrics_namespace is not None:
            printing = print_metrics(settings.metrics_namespace, MetricsReader(slots, journal))
            tasks.append(asyncio.create_task(printing, name="metrics"))
        door = _start_door(settings, shares, stack, tasks)
        create = ENGINES[settings.engine].create
        engine = await stack.enter_async_context(create(settings, settings.capacity))
        streams = Streams(
            engine=engine,
            hub=hub,
            sink=OutboxSink(outbox) if outbox else NullSink(),
            slots=slots,
            max_seconds=settings.max_stream_seconds,
        )
        resumable = None
        if settings.streams_table is not None and isinstance(store, ConversationTable) and outbox:
            ledger = Ledger(_streams_table(settings.streams_table), store)
            stack.callback(ledger.close)
            resumable = ResumableStreams(streams, ledger, outbox)
            stack.push_async_callback(resumable.close)
            sweep = Sweep(ledger, hub, outbox)
            tasks.append(asyncio.create_task(sweep.run(), name="sweep"))
        for task in tasks:
            task.add_done_callback(partial(_report_defect, on_defect=on_defect))
        translator = _translator(settings)
        if translator is not None:
            await stack.enter_async_context(translator)
        translations = await stack.enter_async_context(Translations(translator))
        viewers = ViewerSlots(
            shares.viewers, min(shares.viewers, settings.viewers_per_conversation)
        )
        unread = UnreadBudget(settings.max_unread_mib * 2**20)
        live = LiveContext(streams, hub, updates, translations, viewers, unread)
        health = HealthEndpoints(slots, journal)
        router = RequestRouter(
            socket_routes={
                "/api/stt/transcribe": SocketRoute(
                    partial(open_speaker, live, resumable), speaker_connection.parse_wish
                ),
                "/api/stt/connect": SocketRoute(
                    partial(ViewerConnection, live), viewer_connection.parse_wish
                ),
            },
            refused=partial(RefusedConnection, live),
            http_routes={
                **health.routes(),
                "/api/stt/languages": partial(list_languages, engine, settings.note, translations),
            },
            access=AccessPolicy(
                frozenset(settings.allowed_origins),
                loopback=settings.is_loopback,
                edge_secret=settings.edge_secret.get_secret_value()
                if settings.edge_secret
                else None,
            ),
            door=door,
            callers=_caller_limits(settings, shares),
            address_header=settings.viewer_address_header,
            pending=PendingConnections(shares.pending),
        )
        yield ServiceParts(router, live, slots, outbox, resumable)


async def run(settings: Settings) -> bool:
    """Serve until SIGTERM or SIGINT, then drain for at most `drain_seconds`.

    Returns False if the drain timed out, finals in memory were lost, or a defect was the reason.
    """
    stop, defect = asyncio.Event(), asyncio.Event()

    def on_defect() -> None:
        defect.set()
        stop.set()

    async with start_service(settings, on_defect) as parts:
        # Not before: during the start there is nothing to drain, and a signal just ends it.
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        bound = _bind(settings.host, settings.port)
        acceptor = Acceptor(parts.router, parts.router.pending, bound)
        log.info(
            "serving",
            host=settings.host,
            port=acceptor.port,
            engine=settings.engine,
            slots=parts.slots.capacity,
            viewers=parts.live.viewers.capacity,
        )
        # What exists now stays: the collector need not scan it again and again.
        gc.collect()
        gc.freeze()
        await stop.wait()
        drained = await _drain(parts, settings.drain_seconds)
        acceptor.close()
        if (
            parts.outbox is not None
            and settings.outbox_path is None
            and parts.outbox.journal.count_waiting()
        ):
            drained = False  # what waits in memory is lost with the process
    return drained and not defect.is_set()


async def _drain(parts: ServiceParts, seconds: float) -> bool:
    """End the streams, disconnect the viewers after the last captions, flush finals to the queue.

    Returns whether all of it was done in time.
    """
    log.info("draining", streams=parts.slots.taken)
    try:
        async with asyncio.timeout(seconds):
            parts.live.streams.drain()
            try:
                # An engine that hangs must leave time for the viewers and for the queue.
                async with asyncio.timeout(max(seconds / 2, seconds - FLUSH_SECONDS)):
                    await parts.slots.wait_until_empty()
            except TimeoutError:
                log.warning("streams_abandoned", streams=parts.slots.taken)
            await parts.live.disconnect_all()
            if parts.outbox is not None:
                await parts.outbox.flush()
            if parts.resumable is not None:
                await parts.resumable.wait_until_written()
    except TimeoutError:
        waiting = parts.outbox.journal.count_waiting() if parts.outbox is not None else 0
        log.warning("drain_timed_out", streams=parts.slots.taken, finals_in_journal=waiting)
        return False
    log.info("drained")
    return True


def _start_door(
    settings: Settings,
    shares: Shares,
    stack: contextlib.AsyncExitStack,
    tasks: list[asyncio.Task[None]],
) -> AccountDoor | None:
    """Return the door of an environment with accounts, with its tasks; None in an open one."""
    if settings.access_table is None:
        return None
    table = AccessTable(settings.access_table, boto3.client("dynamodb", config=_AWS))
    calls = TableCalls(table)
    stack.callback(calls.close)
    door = AccountDoor(calls, most_sockets=shares.viewers + shares.streams)
    tasks.append(asyncio.create_task(door.keys.run(), name="ticket_keys"))
    tasks.append(asyncio.create_task(door.watcher.run(), name="rights"))
    return door


def _share_descriptors(settings: Settings) -> Shares:
    """Raise the limit on open files where possible, and share it out.

    Raises:
        TooFewDescriptors: there are too few to serve at all.
    """
    viewers, streams = settings.max_viewers, settings.capacity
    limit = raise_descriptor_limit(count_descriptors(viewers=viewers, streams=streams))
    shares = share(limit, viewers=viewers, streams=streams)
    if (shares.viewers, shares.streams) != (viewers, streams):
        log.warning(
            "too_few_descriptors", limit=limit, slots=shares.streams, viewers=shares.viewers
        )
    return shares


def _caller_limits(settings: Settings, shares: Shares) -> CallerLimits:
    connects = TokenRate(settings.connects_per_second, settings.connects_at_once)
    failures = TokenRate(settings.failures_per_second, settings.failures_at_once)
    # All viewers of this server may be guests of one link in one hall who come back at once.
    guests = TokenRate(settings.connects_per_second, max(settings.connects_at_once, shares.viewers))
    return CallerLimits(
        connects=RateLimit(connects, most=MOST_ADDRESSES),
        failures=RateLimit(failures, most=MOST_ADDRESSES),
        guests=RateLimit(guests, most=MOST_ADDRESSES),
    )


def _streams_table(name: str) -> StreamTable:
    return StreamTable(name, boto3.client("dynamodb", config=_AWS))


def _translator(settings: Settings) -> Translator | None:
    detects = settings.translate_source == "auto"
    if settings.translator == "pseudo":
        return PseudoTranslator(settings.translate_languages, detects=detects)
    if settings.translator == "amazon":
        return amazon.AmazonTranslator(
            amazon.create_client(settings.translate_region),
            languages=settings.translate_languages,
            terminology=settings.translate_terminology,
            detects=detects,
        )
    return None


def _bind(host: str, port: int) -> socket.socket:
    """Return a bound socket whose connections have small kernel buffers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    bound.bind((host, port))
    return bound


@contextlib.asynccontextmanager
async def _background_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report_defect(task: asyncio.Task[None], on_defect: Callable[[], None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background_task_failed", task=task.get_name(), exc_info=task.exception())
        on_defect()
