"""A resume token stands for a ticket and not for a right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import boto3
import pytest
from moto import mock_aws

from access.callers import Person
from access.decisions import Action
from access.secret import make_id, make_secret
from ecs_service import app
from ecs_service.access import rights
from ecs_service.access.door import AccountDoor
from ecs_service.access.table import TableCalls
from ecs_service.settings import Settings
from tests.support.access import CONVERSATION, record
from tests.support.access_table import MemoryTable
from tests.support.eventually import eventually
from tests.support.ledger import MemoryLedger
from tests.support.service import ANY_NUMBER, service_in_process
from tests.support.tables import table_definition
from transcripts.streams.entry import LedgerEntry, StreamTerms

pytestmark = pytest.mark.integration

ADA = Person("ada")
SPEAK = f"/api/stt/transcribe?sampleRate=16000&resume=1&conversationId={CONVERSATION}"


@dataclass
class World:
    """A service with accounts, its table of rights and its ledger."""

    url: str
    table: MemoryTable
    ledger: MemoryLedger
    http: aiohttp.ClientSession
    doors: list[AccountDoor]

    async def first_of(
        self, path: str, *, ticket: str | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """Open a socket and leave it; return its first message."""
        headers = {"Authorization": f"Bearer {ticket}"} if ticket else {}
        protocols = ["cloudscribe.v1", *([f"resume.{token}"] if token else [])]
        async with self.http.ws_connect(
            f"{self.url}{path}", headers=headers, protocols=protocols
        ) as socket:
            message: dict[str, Any] = await socket.receive_json()
            return message

    async def begin(self) -> str:
        """Begin a stream with a ticket; return its token."""
        ready = await self.first_of(SPEAK, ticket=self.table.ticket(ADA, Action.SPEAK))
        return str(ready["resumeToken"])


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MemoryTable, MemoryLedger]]:
    table, ledger = MemoryTable(), MemoryLedger()
    table.put(record())
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(app, "AccessTable", lambda _name, _client: table)
    monkeypatch.setattr(app, "StreamTable", lambda _name, _client: ledger)
    with mock_aws():
        boto3.client("dynamodb").create_table(**table_definition("conversations"))
        yield table, ledger


@pytest.fixture
async def world(
    tables: tuple[MemoryTable, MemoryLedger], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    doors: list[AccountDoor] = []

    def make_door(calls: TableCalls, **values: Any) -> AccountDoor:
        doors.append(AccountDoor(calls, **values))
        return doors[-1]

    monkeypatch.setattr(app, "AccountDoor", make_door)
    settings = Settings(
        engine="scripted",
        access_table="access",
        queue_url=boto3.client("sqs").create_queue(QueueName="finals")["QueueUrl"],
        table_name="conversations",
        streams_table="streams",
        **ANY_NUMBER,  # type: ignore[arg-type]  # settings of other names
    )
    table, ledger = tables
    async with service_in_process(settings) as url, aiohttp.ClientSession() as http:
        await eventually(lambda: bool(table.count("keys")), "the keys are read")
        yield World(url, table, ledger, http, doors)


async def test_a_token_alone_resumes_again_and_again(world: World) -> None:
    token = await world.begin()

    for attempt in (1, 2):
        ready = await world.first_of(f"{SPEAK}&attempt={attempt}", token=token)
        assert (ready["type"], ready["resumeToken"]) == ("ready", token)


async def test_whoever_lost_the_right_resumes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "FRESH_SECONDS", 0.0)
    token = await world.begin()
    world.table.put(record(owner="sam"))

    refused = await world.first_of(f"{SPEAK}&attempt=1", token=token)

    assert refused["code"] == "access_revoked"


async def test_a_token_opens_no_other_conversation(world: World) -> None:
    token = await world.begin()
    other = SPEAK.replace(CONVERSATION, make_id())

    refused = await world.first_of(f"{other}&attempt=1", token=token)

    assert refused["code"] == "resume_refused"


async def test_nobody_reads_with_a_token(world: World) -> None:
    token = await world.begin()

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.first_of(f"/api/stt/connect?conversationId={CONVERSATION}", token=token)

    assert refused.value.status == 401


async def test_after_the_tickets_time_a_new_ticket_is_needed_beside_the_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await world.begin()
    (account_door,) = world.doors
    monkeypatch.setattr(account_door, "now", lambda: datetime.now(UTC) + timedelta(hours=13))
    refused = await world.first_of(f"{SPEAK}&attempt=1", token=token)
    assert refused["code"] == "ticket_used"

    fresh = world.table.ticket(ADA, Action.SPEAK, age=-timedelta(hours=13))
    ready = await world.first_of(f"{SPEAK}&attempt=2", token=token, ticket=fresh)

    assert ready["type"] == "ready"


async def test_a_stream_of_an_open_environment_is_not_resumed_where_there_are_accounts(
    world: World,
) -> None:
    token = make_secret("csr")
    terms = StreamTerms(
        stream_id=token.id,
        conversation_id=CONVERSATION,
        speaker="Ada",
        language="en-US",
        sample_rate=16_000,
        channels=1,
        separate=False,
        options={},
        token_hash=token.hash,
        right="",
    )
    world.ledger.create(LedgerEntry(terms=terms), due_at=datetime.now(UTC))

    refused = await world.first_of(f"{SPEAK}&attempt=1", token=str(token))

    assert refused["code"] == "access_revoked"
