"""What the smoke check tries of accounts: that nobody gets in without a right, and a key does.

Without a right, everything is tried that strangers try: both sockets, the API, and the API around
CloudFront. With an API key it speaks and listens in a conversation of the key's owner. The key is
in `CLOUDSCRIBE_API_KEY`, or in the parameter of SSM that the outputs name, which pipelines read.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError as AwsError
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from access.messages import (
    ROOT,
    Conversation,
    ConversationPage,
    NewConversation,
    OpenAccess,
    Problem,
)
from client.accounts.credentials import KEY_VARIABLE, Tickets
from client.accounts.site import Api, find_access, origin_of, send
from client.errors import ClientError
from client.live.endpoints import live_url
from foundation.origins import LOOPBACK_NAMES
from scripts.smoke_checks import Finding, Place, Verdict, connect, live
from transcripts.protocol import ConnectParameters, TranscribeParameters

#: The output with the API's own address, which is not that of the page.
API_OUTPUT: Final = "ApiUrl"
#: The output with the name of the parameter that may hold the API key.
KEY_OUTPUT: Final = "SmokeKeyName"
#: The title of the conversation in which the check speaks, and how many of the owner's newest
#: conversations are looked through for it.
TITLE: Final = "Smoke check"
MOST_PAGES: Final = 20
WITHOUT_KEY: Final = (
    f"not tried, for people sign in here: give an API key in {KEY_VARIABLE} "
    "(python -m client keys make --scope read --scope speak --scope manage), or store it for "
    "pipelines (docs/delivery.md)"
)

_document: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class WrongAnswer(Exception):
    """Something answers otherwise than it has to; the message says what."""


async def access(base: str, outputs: Mapping[str, str]) -> Finding:
    """Try to get in without a right: by sockets, by the API, and around CloudFront."""
    here = URL(base).host in LOOPBACK_NAMES
    try:
        found = await find_access(base)
        if isinstance(found, OpenAccess):
            if API_OUTPUT in outputs:
                text = f"{base}/access.json says that nobody signs in, though there are accounts"
                return Finding("access", Verdict.FAILED, text)
            if here:
                return Finding("access", Verdict.SKIPPED, "open, on this machine: nobody signs in")
            text = "OPEN: everybody who knows the address can listen, speak and spend"
            return Finding("access", Verdict.NOTE, text)
        # The emulator's tokens name an address of AWS as their issuer.
        keys = "the emulator's keys" if here else await _count_keys(found.issuer)
        await _check_sockets(base)
        await _check_api(str(origin_of(base)), HTTPStatus.UNAUTHORIZED, "not_signed_in")
        around = "no address of the API among the outputs"
        if api := outputs.get(API_OUTPUT):
            await _check_api(api, HTTPStatus.FORBIDDEN, "not_the_edge")
            around = "nor around CloudFront"
    except (WrongAnswer, ClientError) as error:
        return Finding("access", Verdict.FAILED, str(error))
    text = f"{found.issuer}: {keys}; without a right nobody gets in ({around})"
    return Finding("access", Verdict.OK, text)


async def _count_keys(issuer: str) -> str:
    """Return how many keys an issuer publishes; it has to publish some."""
    document = await _read(URL(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    if document.get("issuer") != issuer:
        raise WrongAnswer(f"the issuer calls itself {document.get('issuer')!r}, not {issuer!r}")
    keys = (await _read(URL(str(document.get("jwks_uri"))))).get("keys")
    if not isinstance(keys, list) or not keys:
        raise WrongAnswer(f"the issuer {issuer} publishes no keys")
    return f"{len(keys)} keys"


async def _read(url: URL) -> dict[str, Any]:
    status, body = await send("GET", url)
    try:
        if status != HTTPStatus.OK:
            raise WrongAnswer(f"{url} answers HTTP {status}")
        return _document.validate_json(body)
    except ValidationError:
        raise WrongAnswer(f"{url} answers with something else than a document") from None


async def _check_sockets(base: str) -> None:
    """Ask for both sockets without a ticket."""
    name = f"smoke-{secrets.token_hex(8)}"
    for parameters in (
        ConnectParameters(conversation_id=name),
        TranscribeParameters(conversation_id=name, sample_rate=16_000),
    ):
        socket = live_url(base, parameters)
        url = socket.with_scheme({"ws": "http", "wss": "https"}[socket.scheme])
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        }
        await _expect(url, HTTPStatus.UNAUTHORIZED, "ticket_missing", handshake)


async def _check_api(address: str, status: HTTPStatus, reason: str) -> None:
    await _expect(URL(f"{address.rstrip('/')}{ROOT}/me"), status, reason)


async def _expect(
    url: URL, wanted: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None
) -> None:
    """Check that a request is refused with this status and reason."""
    status, body = await send("GET", url, headers=headers or {})
    found = None
    with suppress(ValidationError):
        found = Problem.model_validate_json(body).reason
    if (status, found) != (wanted, reason):
        place = url.with_query(None)
        raise WrongAnswer(
            f"{place} has to refuse whoever has no right, with HTTP {wanted} and {reason}; it "
            f"answers HTTP {status}{f' and {found}' if found else ''}"
        )


def find_key(outputs: Mapping[str, str]) -> str | None:
    """Return the API key that a person stored for pipelines; None if there is none.

    Raises:
        AwsError: AWS refuses.
        BotoCoreError: AWS cannot be used.
    """
    name = outputs.get(KEY_OUTPUT)
    if name is None:
        return None
    try:
        found = connect("ssm").get_parameter(Name=name, WithDecryption=True)
    except AwsError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    key: str = found["Parameter"]["Value"]
    return key


async def find_conversation(api: Api) -> str:
    """Return the conversation of this check: that of an earlier one, or else a new one.

    Raises:
        ClientError: the key may not, or the API does not answer.
    """
    query: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = await api.ask("GET", "/conversations", ConversationPage, query=query)
        for each in page.conversations:
            if each.title == TITLE and each.role == "owner":
                return each.conversation_id
        if page.cursor is None:
            break
        query = {"cursor": page.cursor}
    created = await api.ask("POST", "/conversations", Conversation, NewConversation(title=TITLE))
    return created.conversation_id


async def speak(base: str, outputs: Mapping[str, str]) -> Finding:
    """Try live captions, where there are accounts with the API key."""
    try:
        if isinstance(await find_access(base), OpenAccess):
            return await live(base)
        key = os.environ.get(KEY_VARIABLE) or await asyncio.to_thread(find_key, outputs)
        if not key:
            return Finding("live", Verdict.SKIPPED, WITHOUT_KEY)
        api = Api(base, key)
        conversation = await find_conversation(api)
    except ClientError as error:
        return Finding("live", Verdict.FAILED, f"no right to speak: {error}")
    except (BotoCoreError, AwsError) as error:
        return Finding("live", Verdict.FAILED, f"the API key cannot be read: {error}")

    async def find_api() -> Api:
        return api

    reading, speaking = (
        Tickets(find_api, conversation, action).get for action in ("read", "speak")
    )
    return await live(base, Place(conversation, reading, speaking))
