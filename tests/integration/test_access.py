"""Tickets at the running service: every trick, revocation in mid-stream, faults of the table."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from access.callers import Caller, Guest, Person
from access.decisions import Action
from access.records import Role
from access.secret import make_id
from access.store import AccessTable
from access.tickets import ALGORITHM, TYPE
from ecs_service import app
from ecs_service.access import rights, ticket_keys, watcher
from ecs_service.settings import Settings
from foundation.descriptors import raise_descriptor_limit
from speech.engines import scripted
from tests.support.access import (
    CONVERSATION,
    forge,
    hs256,
    issuer_key,
    link,
    record,
    signing_key,
)
from tests.support.access_table import MemoryTable
from tests.support.cloud import Cloud
from tests.support.eventually import eventually
from tests.support.service import ANY_NUMBER, RunningService, running_service, service_in_process
from tests.support.tables import access_table_definition

pytestmark = pytest.mark.integration

HALL = Guest("hall")
ADA = Person("ada")
READ = f"/api/stt/connect?conversationId={CONVERSATION}"
SPEAK = f"/api/stt/transcribe?sampleRate=16000&conversationId={CONVERSATION}"
SILENCE = bytes(3_200)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> MemoryTable:
    """The table of a service in this process."""
    made = MemoryTable()
    made.put(record(links={"hall": link(), "stage": link(Role.SPEAKER)}))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(app, "AccessTable", lambda _name, _client: made)
    return made


@pytest.fixture
async def url(table: MemoryTable) -> AsyncIterator[str]:
    async with service(table) as running:
        yield running


@contextlib.asynccontextmanager
async def service(table: MemoryTable, **values: Any) -> AsyncIterator[str]:
    """Run the service until it knows the keys."""
    settings = Settings(engine="scripted", access_table="access", **(ANY_NUMBER | values))
    async with service_in_process(settings) as running:
        await eventually(lambda: table.is_down or table.count("keys"), "the keys are read")
        await asyncio.sleep(0.05)
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def bearer(ticket: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ticket}"}


async def refusal(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> tuple[int, str]:
    """Return status and reason of a handshake that is refused."""
    headers |= {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with http.get(url, headers=headers) as answer:
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
        assert problem["status"] == answer.status
        return answer.status, problem["reason"]


async def first_of(http: aiohttp.ClientSession, url: str, ticket: str) -> dict[str, Any]:
    """Return the first message of a socket, with its close code if it is an error."""
    async with http.ws_connect(url, headers=bearer(ticket)) as socket:
        message: dict[str, Any] = json.loads((await socket.receive()).data)
        if message["type"] == "error":
            await socket.receive()
            message["closeCode"] = socket.close_code
        return message


async def error_of(socket: aiohttp.ClientWebSocketResponse, *, within: float) -> str:
    """Read until the socket ends with an error; return its code."""
    async with asyncio.timeout(within):
        async for message in socket:
            found = json.loads(message.data)
            if found["type"] == "error":
                return str(found["code"])
    raise AssertionError(f"no error, but {socket.close_code}")


def count(reason: str) -> float:
    return REGISTRY.get_sample_value("cloudscribe_access_refusals_total", {"reason": reason}) or 0.0


# --- before the upgrade --------------------------------------------------------------------------

Make = Callable[[MemoryTable], str]


def forged(**values: Any) -> Make:
    """Return what makes a reader's ticket with another header or signature."""

    def make(table: MemoryTable) -> str:
        claims = json.loads(base64.urlsafe_b64decode(table.ticket(ADA).split(".")[1] + "=="))
        header = {"alg": ALGORITHM, "kid": table.key.id, "typ": TYPE} | values.get("header", {})
        sign = values.get("sign", lambda _table: table.key.key.sign)
        return forge(header, claims, sign(table))

    return make


TRICKS: dict[str, tuple[Make, int, str]] = {
    "expired": (lambda t: t.ticket(ADA, age=timedelta(minutes=11)), 401, "ticket_expired"),
    "early": (lambda t: t.ticket(ADA, age=-timedelta(minutes=5)), 401, "ticket_invalid"),
    "none": (
        forged(header={"alg": "none"}, sign=lambda _: lambda _signed: b""),
        401,
        "ticket_invalid",
    ),
    "hs256 with the public key": (
        forged(
            header={"alg": "HS256"},
            sign=lambda t: hs256(t.key.key.public_key().public_bytes_raw()),
        ),
        401,
        "ticket_invalid",
    ),
    "hs256 that claims to be EdDSA": (
        forged(sign=lambda t: hs256(t.key.key.public_key().public_bytes_raw())),
        401,
        "ticket_invalid",
    ),
    "rs256": (lambda _: issuer_key().sign(), 401, "ticket_invalid"),
    "an access token's type": (forged(header={"typ": "at+jwt"}), 401, "ticket_invalid"),
    "of another key under a known id": (
        forged(sign=lambda _: signing_key().key.sign),
        401,
        "ticket_invalid",
    ),
    "an API key": (lambda _: f"csk_{make_id()}_{make_id()}", 401, "ticket_invalid"),
    "a share link": (lambda _: f"csl_{make_id()}_{make_id()}", 401, "ticket_invalid"),
    "too long": (lambda t: t.ticket(ADA) + "A" * 4_000, 401, "ticket_invalid"),
    "of another conversation": (
        lambda t: t.ticket(ADA, conversation="other"),
        403,
        "ticket_mismatch",
    ),
    "to speak, for reading": (lambda t: t.ticket(ADA, Action.SPEAK), 403, "ticket_mismatch"),
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_trick_is_refused_before_the_upgrade(
    http: aiohttp.ClientSession, url: str, table: MemoryTable, trick: str
) -> None:
    make, status, reason = TRICKS[trick]
    before = count(reason)

    assert await refusal(http, f"{url}{READ}", bearer(make(table))) == (status, reason)
    assert count(reason) == before + 1
    assert not table.count("read")


async def test_without_a_ticket_there_is_no_socket(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    ticket = table.ticket(ADA)

    for path in (READ, SPEAK, f"{READ}&ticket={ticket}", f"{READ}&access_token={ticket}"):
        assert await refusal(http, f"{url}{path}", {}) == (401, "ticket_missing"), path
    both = {"Sec-WebSocket-Protocol": f"cloudscribe.v1, ticket.{ticket}"} | bearer(ticket)
    assert await refusal(http, f"{url}{READ}", both) == (401, "ticket_invalid")


async def test_a_reader_cannot_speak_nor_read_other_languages(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    reader = table.ticket(HALL, languages=frozenset({"de"}))

    assert await refusal(http, f"{url}{SPEAK}", bearer(reader)) == (403, "ticket_mismatch")
    french = await refusal(http, f"{url}{READ}&language=fr", bearer(reader))
    assert french == (403, "ticket_mismatch")
    nameless = "/api/stt/transcribe?sampleRate=16000"
    speaker = table.ticket(ADA, Action.SPEAK)
    assert await refusal(http, f"{url}{nameless}", bearer(speaker)) == (403, "ticket_mismatch")


async def test_a_foreign_page_gets_no_socket_with_a_valid_ticket(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    headers = bearer(table.ticket(ADA)) | {"Origin": "https://evil.example"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{url}{READ}", headers=headers)

    assert refused.value.status == 403


async def test_browsers_and_programs_get_in_and_no_ticket_is_sent_back(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    ticket = table.ticket(HALL)
    async with http.ws_connect(
        f"{url}{READ}", protocols=("cloudscribe.v1", f"ticket.{ticket}")
    ) as socket:
        assert socket.protocol == "cloudscribe.v1"
        assert (await socket.receive_json())["type"] == "snapshot"
    assert (await first_of(http, f"{url}{READ}", ticket))["type"] == "snapshot"
    assert (await first_of(http, f"{url}{SPEAK}", table.ticket(ADA, Action.SPEAK)))[
        "type"
    ] == "ready"


async def test_a_page_can_ask_whether_its_ticket_is_valid(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    asked = f"{url}/api/stt/ticket"

    async with http.get(asked, headers=bearer(table.ticket(HALL))) as answer:
        assert answer.status == 200
    expired = table.ticket(HALL, age=timedelta(hours=13))
    async with http.get(asked, headers=bearer(expired)) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (401, "ticket_expired")
    async with http.get(asked) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (401, "ticket_missing")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    async with http.get(asked, headers=bearer(table.ticket(HALL, key=signing_key()))) as answer:
        assert answer.status == 429


async def test_failures_of_an_address_refuse_no_valid_ticket(
    http: aiohttp.ClientSession, table: MemoryTable
) -> None:
    async with service(table, failures_at_once=2, failures_per_second=0.02) as url:
        for _ in range(2):
            assert await refusal(http, f"{url}{READ}", {}) == (401, "ticket_missing")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{url}{READ}")

        assert refused.value.status == 429
        assert (await first_of(http, f"{url}{READ}", table.ticket(HALL)))["type"] == "snapshot"
        expired = bearer(table.ticket(HALL, age=timedelta(hours=13)))
        assert await refusal(http, f"{url}{READ}", expired) == (401, "ticket_expired")


# --- after the upgrade ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        (READ, Person("eve"), Action.READ),
        (READ, Guest("unknown"), Action.READ),
        (SPEAK, HALL, Action.SPEAK),
        (SPEAK, Person("rita"), Action.SPEAK),
        (READ, Person("ada", key="k9"), Action.READ),
    ],
)
async def test_a_ticket_is_no_right(
    http: aiohttp.ClientSession,
    url: str,
    table: MemoryTable,
    asked: tuple[str, Caller, Action],
) -> None:
    path, caller, action = asked
    message = await first_of(http, f"{url}{path}", table.ticket(caller, action))

    assert (message["code"], message["closeCode"]) == ("access_revoked", 4403)
    assert message["retryable"] is False
    assert not table.used


async def test_a_speakers_ticket_opens_one_stream(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    ticket = table.ticket(ADA, Action.SPEAK)
    table.lost_answers = 1

    assert (await first_of(http, f"{url}{SPEAK}", ticket))["type"] == "ready"
    replayed = await first_of(http, f"{url}{SPEAK}", ticket)
    assert (replayed["code"], replayed["closeCode"]) == ("ticket_used", 4401)


async def test_a_ticket_that_was_refused_for_want_of_a_slot_is_unused(
    http: aiohttp.ClientSession, table: MemoryTable
) -> None:
    async with service(table, slots=1) as url:
        first, second = table.ticket(ADA, Action.SPEAK), table.ticket(ADA, Action.SPEAK)
        async with http.ws_connect(f"{url}{SPEAK}", headers=bearer(first)) as socket:
            assert (await socket.receive_json())["type"] == "ready"
            assert (await first_of(http, f"{url}{SPEAK}", second))["code"] == "at_capacity"
            await socket.send_str('{"type": "stop"}')
            async for _ in socket:
                pass
        assert (await first_of(http, f"{url}{SPEAK}", second))["type"] == "ready"


async def test_a_key_that_is_newer_than_the_service_is_read(
    http: aiohttp.ClientSession, table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_keys, "REST_SECONDS", 1.0)
    async with service(table) as url:
        newer = signing_key()
        table.public_keys[newer.id] = newer.key.public_key()
        strangers = [table.ticket(ADA, key=signing_key()) for _ in range(200)]
        before, began = table.count("keys"), time.monotonic()
        honest = first_of(http, f"{url}{READ}", table.ticket(ADA, key=newer))
        message, *refused = await asyncio.gather(
            honest, *(first_of(http, f"{url}{READ}", each) for each in strangers)
        )

        assert message["type"] == "snapshot"
        assert {each["code"] for each in refused} == {"access_revoked"}
        assert table.count("keys") - before <= time.monotonic() - began + 1


async def test_the_key_of_an_expired_ticket_may_be_unknown(
    http: aiohttp.ClientSession, table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_keys, "REST_SECONDS", 0.2)
    async with service(table) as url:
        newer = signing_key()
        table.public_keys[newer.id] = newer.key.public_key()
        expired = table.ticket(ADA, key=newer, age=timedelta(minutes=11))

        assert (await first_of(http, f"{url}{READ}", expired))["code"] == "ticket_used"


# --- while sockets are open ----------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["link", "block"])
async def test_a_right_that_is_lost_in_mid_stream_ends_its_sockets_alone(
    http: aiohttp.ClientSession,
    table: MemoryTable,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    monkeypatch.setattr(watcher, "WATCH_SECONDS", 0.3)
    sam = Person("sam")
    async with service(table) as url, contextlib.AsyncExitStack() as held:

        async def connect(path: str, ticket: str) -> aiohttp.ClientWebSocketResponse:
            socket = await held.enter_async_context(
                http.ws_connect(f"{url}{path}", headers=bearer(ticket))
            )
            await socket.receive()
            return socket

        staying = await connect(READ, table.ticket(ADA))
        reader = await connect(READ, table.ticket(HALL if lost == "link" else sam))
        speaking = Guest("stage") if lost == "link" else sam
        speaker = await connect(SPEAK, table.ticket(speaking, Action.SPEAK))
        await speaker.send_bytes(SILENCE)
        await asyncio.sleep(0.5)
        if lost == "link":
            table.put(record())
        else:
            table.block("sam")

        assert await error_of(reader, within=3) == "access_revoked"
        assert await error_of(speaker, within=3) == "access_revoked"
        assert reader.close_code == speaker.close_code == 4403 or not reader.closed
        with pytest.raises(TimeoutError):
            await error_of(staying, within=1)


async def test_a_ticket_that_expires_ends_no_socket(
    http: aiohttp.ClientSession, table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "WATCH_SECONDS", 0.1)
    async with service(table) as url:
        ticket = table.ticket(ADA, age=timedelta(minutes=10, seconds=28.5))
        async with http.ws_connect(f"{url}{READ}", headers=bearer(ticket)) as socket:
            await socket.receive()
            with pytest.raises(TimeoutError):
                await error_of(socket, within=3)
        assert await refusal(http, f"{url}{READ}", bearer(ticket)) == (401, "ticket_expired")


# --- when the table is down ----------------------------------------------------------------------


async def test_at_the_door_what_is_kept_counts_for_a_while(
    http: aiohttp.ClientSession, url: str, table: MemoryTable
) -> None:
    await first_of(http, f"{url}{READ}", table.ticket(HALL))
    table.is_down = True

    assert (await first_of(http, f"{url}{READ}", table.ticket(HALL)))["type"] == "snapshot"
    unknown = await first_of(http, f"{url}{READ}", table.ticket(Person("rita")))
    assert (unknown["code"], unknown["closeCode"]) == ("access_unavailable", 4504)
    assert unknown["retryable"] is True
    assert unknown["retryAfter"] > 0
    ticket = table.ticket(ADA, Action.SPEAK)
    assert (await first_of(http, f"{url}{SPEAK}", ticket))["code"] == "access_unavailable"
    table.is_down = False
    await asyncio.sleep(rights.REST_SECONDS)
    assert (await first_of(http, f"{url}{SPEAK}", ticket))["type"] == "ready"


async def test_open_sockets_outlive_a_short_outage(
    http: aiohttp.ClientSession, table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(watcher, "KEPT_SECONDS", 3.0)
    async with (
        service(table) as url,
        http.ws_connect(f"{url}{READ}", headers=bearer(table.ticket(HALL))) as socket,
    ):
        await socket.receive()
        table.is_down = True
        began = time.monotonic()
        assert await error_of(socket, within=10) == "access_unavailable"
        assert time.monotonic() - began > 2.5


# --- many ----------------------------------------------------------------------------------------


async def test_without_a_ticket_10000_requests_reach_nothing(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sessions: list[object] = []
    connect = scripted.ScriptedEngine.connect

    async def note(self: Any, *arguments: Any) -> Any:
        sessions.append(arguments)
        return await connect(self, *arguments)

    monkeypatch.setattr(scripted.ScriptedEngine, "connect", note)
    drawn = random.Random(14)  # noqa: S311 - the same requests each time
    async with service(table) as url:
        before = len(table.calls)
        host, port = url.removeprefix("http://").split(":")
        statuses: dict[bytes, int] = {}

        async def ask(number: int) -> None:
            for _ in range(number):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(_any_request(drawn))
                with contextlib.suppress(ConnectionError):
                    status = (await reader.readline())[9:12]
                    statuses[status] = statuses.get(status, 0) + 1
                writer.close()

        await asyncio.gather(*(ask(500) for _ in range(20)))

        assert b"101" not in statuses
        assert b"500" not in statuses
        assert statuses[b"401"] > 3_000
        assert len(table.calls) == before
        assert not sessions
        assert REGISTRY.get_sample_value("cloudscribe_open_streams") == 0
        assert REGISTRY.get_sample_value("cloudscribe_viewers") == 0


def _any_request(drawn: random.Random) -> bytes:
    """Return a request without a valid ticket."""
    path = drawn.choice([READ, SPEAK, READ, SPEAK, "/api/stt/languages", "/metrics", "/api/x"])
    noise = "".join(drawn.choices("abcXYZ019%&=./-_ ", k=drawn.randrange(20))).replace(" ", "%20")
    headers = ["Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
    headers += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    junk = "".join(drawn.choices("abcdefgh0123456789.-_=", k=drawn.randrange(1, 300)))
    header = {"alg": drawn.choice(["none", "HS256", "EdDSA"]), "kid": junk, "typ": TYPE}
    unsigned = forge(header, {"act": "read", "cid": CONVERSATION, "knd": "guest", "sub": "hall"})
    sent = drawn.choice(
        [
            [],
            [f"Authorization: Bearer {junk}"],
            [f"Authorization: {junk}"],
            [f"Authorization: Bearer {unsigned}"],
            [f"Sec-WebSocket-Protocol: cloudscribe.v1, ticket.{unsigned}"],
            ["Sec-WebSocket-Protocol: cloudscribe.v1, ticket."],
            [f"Cookie: ticket={junk}"],
            ["X-Cloudscribe-Viewer: 10.0.0.1", "X-Forwarded-For: 127.0.0.1"],
        ]
    )
    lines = [f"GET {path}{drawn.choice(['', '&', '?', '#'])}{noise} HTTP/1.1", *headers, *sent]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# --- the real table, and the service in a process of its own --------------------------------------


@contextlib.asynccontextmanager
async def deployed(cloud: Cloud) -> AsyncIterator[tuple[RunningService, MemoryTable, AccessTable]]:
    """Run the service on a new table of the emulator; yield what issues tickets, and the table."""
    name = f"access-{make_id()}"
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(**access_table_definition(name))
    issuing, real = MemoryTable(), AccessTable(name, dynamodb)
    real.create(record(links={"hall": link()}))
    real.publish_key(issuing.key.id, issuing.key.key.public_key(), link().expires_at)
    async with running_service(**cloud.environment, access_table=name) as running:
        yield running, issuing, real


async def test_a_link_opens_a_socket_until_it_is_revoked_in_the_real_table(
    cloud: Cloud, http: aiohttp.ClientSession
) -> None:
    async with deployed(cloud) as (running, issuing, real):
        url = running.url
        guest, speaking = issuing.ticket(HALL), issuing.ticket(ADA, Action.SPEAK)
        assert await refusal(http, f"{url}{READ}", {}) == (401, "ticket_missing")
        async with http.ws_connect(f"{url}{READ}", headers=bearer(guest)) as socket:
            message = await socket.receive_json()
            assert message["type"] == "snapshot", message
            assert (await first_of(http, f"{url}{SPEAK}", speaking))["type"] == "ready"
            assert (await first_of(http, f"{url}{SPEAK}", speaking))["code"] == "ticket_used"
            real.replace(record(links={"hall": link()}), record())
            assert await error_of(socket, within=60) == "access_revoked"
        assert (await first_of(http, f"{url}{READ}", guest))["code"] == "access_revoked"
        logged = json.dumps(running.logs)

    secrets = [guest, speaking, guest.rpartition(".")[2], "hall", "ada", issuing.key.id]
    assert not [secret for secret in secrets if f"{secret}" in logged]


@pytest.mark.alone
async def test_2000_readers_who_reconnect_at_once_are_all_back_in_5_seconds(
    cloud: Cloud, http: aiohttp.ClientSession
) -> None:
    raise_descriptor_limit(8_192)
    async with (
        deployed(cloud) as (running, issuing, _),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as many,
        contextlib.AsyncExitStack() as held,
    ):
        ticket, readers = issuing.ticket(HALL), 2_000

        # Each reader's own machine sends its request as soon as it is connected. This one process
        # would connect all of them first, and the service keeps 512 connections without a request.
        connecting = asyncio.Semaphore(400)

        async def come_back() -> None:
            async with connecting:
                socket = await many.ws_connect(f"{running.url}{READ}", headers=bearer(ticket))
            held.push_async_callback(socket.close)
            message = await socket.receive_json()
            assert message["type"] == "snapshot", message

        began = time.monotonic()
        await asyncio.gather(*(come_back() for _ in range(readers)))
        took = time.monotonic() - began
        async with http.get(f"{running.url}/metrics") as answer:
            metrics = await answer.text()
        calls = re.findall(r'access_calls_total\{kind="(\w+)"\} (\d+)', metrics)

        assert took < 5.0
        assert sum(int(number) for kind, number in calls if kind == "read") <= 5
        assert "use" not in dict(calls)
