"""Fakes what the API's function calls, on one port: `python -m benchmarks.api_world KEYS SECRETS`.

It is a DynamoDB with one conversation and one API key, a Systems Manager without a key for tickets,
and an issuer. All respond at once, so that only the function's own time is measured. KEYS is the
issuer's JSON Web Key Set, SECRETS a JSON list: the hashes of the secrets of link and API key. It
prints its address and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from access.records import MOST_LINKS, MOST_PEOPLE, ApiKey, ConversationRecord, Role, Scope
from access.store import PARTITION_KEY, SORT_KEY, AccessTable
from access.tokens import person_id
from tests.support.access import ISSUER, api_key, link, record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "access"
LINK: Final = "l" * 26
KEY: Final = "k" * 26
OWNER: Final = person_id(ISSUER, "ada")

Item = dict[str, Any]


class _Kept:
    """Takes what `AccessTable` writes, so that the items have its form."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}

    def transact_write_items(self, *, TransactItems: list[Any], **_: Any) -> None:  # noqa: N803 - botocore's name
        for each in TransactItems:
            item = each["Put"]["Item"]
            self.items[item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]] = item


def _items(link_hash: str, key_hash: str) -> dict[tuple[str, str], Item]:
    """Return the items of a conversation that is as large as it may be, and of an API key."""
    kept = _Kept()
    table = AccessTable(TABLE, cast("DynamoDBClient", kept))
    now = datetime.now(UTC)
    times: dict[str, Any] = {"created_at": now, "expires_at": now + timedelta(days=1)}
    links = {f"l{number}": link(Role.READER, **times) for number in range(MOST_LINKS - 1)}
    conversation: ConversationRecord = record(
        owner=OWNER,
        people={f"p{number}": Role.READER for number in range(MOST_PEOPLE)},
        links={**links, LINK: link(Role.READER, secret_hash=link_hash, **times)},
    )
    key: ApiKey = api_key(OWNER, Scope.READ, key_id=KEY, secret_hash=key_hash, **times)
    table.create(conversation)
    table.add_key(key)
    return kept.items


class _Aws:
    """DynamoDB and the Systems Manager, by the operation's name in a header."""

    def __init__(self, items: dict[tuple[str, str], Item]) -> None:
        self._items = items

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        wanted = await request.json()
        status, found = 200, Item()
        if operation == "BatchGetItem":
            keys = wanted["RequestItems"][TABLE]["Keys"]
            asked = [(key[PARTITION_KEY]["S"], key[SORT_KEY]["S"]) for key in keys]
            items = [self._items[key] for key in asked if key in self._items]
            found = {"Responses": {TABLE: items}, "UnprocessedKeys": {}}
        elif operation == "GetParameter":
            status, found = 400, {"__type": "ParameterNotFound"}
        elif operation == "PutParameter":
            found = {"Version": 1}
        return web.Response(
            status=status,
            body=json.dumps(found).encode(),
            content_type="application/x-amz-json-1.1",
        )


async def _main(keys: str, secrets: str) -> None:
    async def publish(_request: web.Request) -> web.Response:
        return web.Response(body=keys.encode(), content_type="application/json")

    link_hash, key_hash = json.loads(secrets)
    app = web.Application()
    app.router.add_get("/keys", publish)
    app.router.add_post("/", _Aws(_items(link_hash, key_hash)).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
