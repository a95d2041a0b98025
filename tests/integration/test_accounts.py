"""`ACCESS=accounts make demo` with everything real: from a sign-in to a guest who loses access."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client.errors import ExitCode
from local_cloud import ROOT
from local_cloud.accounts.setup import SOURCES
from local_cloud.launcher.demo import DIST
from tests.support.demo import RunningDemo, free_port, ready_demo, still_alive
from tests.support.recordings import silence, wav
from tests.support.sign_in import SignIn

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (DIST / "index.html").exists() or not SOURCES.is_dir(),
        reason="the page or the API's function is not built (make setup)",
    ),
]

CHUNK = bytes(3_200)  # 100 ms at 16 kHz
#: A revocation ends sockets within a minute.
REVOKED_SECONDS = 60


@dataclass
class Api:
    """The API at the page's address, with one credential."""

    url: str
    client: aiohttp.ClientSession
    credential: str | None = None

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        async with self.client.request(
            method, f"{self.url}/api/app/v1{path}", json=body, headers=headers
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        status, document = await self.call(method, path, body)
        assert status in {200, 201, 204}, document
        return document

    async def ticket(self, conversation_id: str, action: str) -> str:
        question = {"conversationId": conversation_id, "action": action}
        ticket: str = (await self.done("POST", "/tickets", question))["ticket"]
        return ticket


def passwords(demo: RunningDemo) -> dict[str, str]:
    """Return the passwords that were printed."""
    return dict(re.findall(r"(\S+@example\.com) +(\S+)  \(", demo.output))


async def signed_in(demo: RunningDemo, client: aiohttp.ClientSession, email: str) -> Api:
    tokens = await (await SignIn.at(demo.url, client)).tokens(email, passwords(demo)[email])
    return Api(demo.url, client, tokens["access_token"])


async def opened(
    demo: RunningDemo, client: aiohttp.ClientSession, path: str, ticket: str, **query: object
) -> aiohttp.ClientWebSocketResponse:
    """Open a socket as a browser does."""
    return await client.ws_connect(
        f"{demo.url}/api/stt/{path}",
        params={name: str(value) for name, value in query.items()},
        protocols=["cloudscribe.v1", f"ticket.{ticket}"],
        headers={"Origin": demo.url},
    )


async def find_the_door_closed(
    demo: RunningDemo, client: aiohttp.ClientSession, conversation: str, reading: str
) -> None:
    """Nobody speaks with a ticket to read, and nobody reads without one."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await opened(
            demo, client, "transcribe", reading, conversationId=conversation, sampleRate=16_000
        )
    assert refused.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(f"{demo.url}/api/stt/connect?conversationId={conversation}")
    assert refused.value.status == 401


async def read_without_protocol(
    demo: RunningDemo, client: aiohttp.ClientSession, conversation: str, ticket: str
) -> None:
    """A client that offers its ticket and no protocol is served, too."""
    async with client.ws_connect(
        f"{demo.url}/api/stt/connect?conversationId={conversation}",
        protocols=[f"ticket.{ticket}"],
    ) as viewer:
        assert viewer.protocol is None
        await message(viewer, "snapshot")


async def message(
    socket: aiohttp.ClientWebSocketResponse, kind: str, *, seconds: float = 20
) -> Mapping[str, Any]:
    """Return the next message of a kind."""
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = await socket.receive_json()
            if found["type"] == kind:
                return found


async def test_a_conversation_is_shared_heard_and_taken_away_and_nothing_secret_is_logged(
    tmp_path: Path,
) -> None:
    async with ready_demo(tmp_path, access="accounts") as demo, aiohttp.ClientSession() as client:
        await demo.until("Nobody sends invitations")
        ada = await signed_in(demo, client, "ada@example.com")
        sam = await signed_in(demo, client, "sam@example.com")
        me = await ada.done("GET", "/me")
        assert me["isAdministrator"]
        assert not (await sam.done("GET", "/me"))["isAdministrator"]

        created = await ada.done("POST", "/conversations", {"title": "Stand-up"})
        conversation = created["conversationId"]
        shared = await ada.done(
            "POST", f"/conversations/{conversation}/links", {"role": "reader", "label": "hall"}
        )
        status, problem = await sam.call(
            "POST", "/tickets", {"conversationId": conversation, "action": "read"}
        )
        assert (status, problem["reason"]) in {(403, "not_found"), (404, "not_found")}

        speaking = await ada.ticket(conversation, "speak")
        guest = Api(demo.url, client, shared["secret"])
        reading = await guest.ticket(conversation, "read")
        viewer = await opened(demo, client, "connect", reading, conversationId=conversation)
        assert viewer.protocol == "cloudscribe.v1"
        await message(viewer, "snapshot")
        speaker = await opened(
            demo, client, "transcribe", speaking, conversationId=conversation, sampleRate=16_000
        )
        await message(speaker, "ready")
        for _ in range(30):
            await speaker.send_bytes(CHUNK)
        await speaker.send_json({"type": "stop"})
        spoken = await message(speaker, "final")
        assert await message(viewer, "final")
        assert spoken["utteranceId"]
        await speaker.close()

        await find_the_door_closed(demo, client, conversation, reading)

        await read_without_protocol(demo, client, conversation, reading)

        link = shared["link"]["linkId"]
        began = time.monotonic()
        await ada.done("DELETE", f"/conversations/{conversation}/links/{link}")
        error = await message(viewer, "error", seconds=REVOKED_SECONDS)
        assert (error["code"], error["retryable"]) == ("access_revoked", False)
        assert time.monotonic() - began < REVOKED_SECONDS
        await viewer.receive()
        assert viewer.close_code == 4403
        status, problem = await guest.call(
            "POST", "/tickets", {"conversationId": conversation, "action": "read"}
        )
        assert (status, problem["reason"]) in {(401, "link_invalid"), (403, "link_invalid")}

        children = demo.children()
        proofs = [*(api.credential for api in (ada, sam, guest)), reading, speaking]
        secrets = [*proofs, *passwords(demo).values(), *passwords(demo)]
        assert await demo.end(signal.SIGINT) == 0
        assert still_alive(children, seconds=0) == []
    assert "Ready: " in demo.output
    # The launcher prints the passwords, and nothing else that proves something.
    assert_absent(secrets, read_logs(tmp_path))
    assert_absent(proofs, demo.output)


def assert_absent(secrets: Sequence[str | None], text: str) -> None:
    """What proves something is a token's or a secret's last part."""
    assert text
    for secret in secrets:
        assert secret is not None
        assert secret.rpartition(".")[2].rpartition("_")[2] not in text


def read_logs(folder: Path) -> str:
    """Return all logs of a demo."""
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*.log"))


async def test_the_client_signs_in_shares_streams_and_watches(tmp_path: Path) -> None:
    """The way of a person with a terminal and a browser, and of a guest with a link."""
    async with ready_demo(tmp_path, access="accounts") as demo, aiohttp.ClientSession() as client:
        await demo.until("Nobody sends invitations")

        async def run(*arguments: str, home: str = "ada", **variables: str) -> tuple[int, str, str]:
            process = await start_client(demo, tmp_path / home, *arguments, **variables)
            output, errors = await process.communicate()
            return process.returncode or 0, output.decode().strip(), errors.decode()

        assert (await run("whoami"))[0] == ExitCode.REFUSED
        signing_in = await start_client(demo, tmp_path / "ada", "login", "--no-browser")
        assert signing_in.stderr is not None
        await signing_in.stderr.readline()
        address = (await signing_in.stderr.readline()).decode().strip()
        way = await SignIn.at(demo.url, client)
        form = await way.open(address)
        back = await way.submit(form, "ada@example.com", passwords(demo)["ada@example.com"])
        async with client.get(back.headers["Location"].replace("state=", "state=x")) as strange:
            assert strange.status == 400
        async with client.get(back.headers["Location"]) as done:
            assert done.status == 200
            assert "code" not in await done.text()
        assert await signing_in.wait() == ExitCode.OK

        assert "administrator" in (await run("whoami"))[1]
        conversation = (await run("conversations", "create", "Stand-up"))[1]
        assert "Stand-up" in (await run("conversations", "list"))[1]
        link = (await run("share", "make", conversation, "--label", "hall"))[1]
        code, key, _ = await run("keys", "make", "--scope", "speak", "--scope", "read")
        assert (code, key[:4]) == (ExitCode.OK, "csk_")

        watching = await start_client(demo, tmp_path / "guest", "watch", "--link", link)
        assert watching.stderr is not None
        await watching.stderr.readline()  # connected
        code, said, _ = await run(
            *("stream", str(wav(tmp_path / "talk.wav", silence(3))), "--fast"),
            *("--conversation", conversation),
            home="program",
            CLOUDSCRIBE_API_KEY=key,
        )
        assert (code, bool(said)) == (ExitCode.OK, True)
        assert watching.stdout is not None
        async with asyncio.timeout(20):
            assert said.splitlines()[0] in (await watching.stdout.readline()).decode()
        link_id = (await run("share", "list", conversation))[1].split()[0]
        assert (await run("share", "revoke", conversation, link_id))[0] == ExitCode.OK
        async with asyncio.timeout(REVOKED_SECONDS):
            assert await watching.wait() == ExitCode.REFUSED
        code, _, errors = await run("watch", "--link", link, home="guest")
        assert code == ExitCode.REFUSED
        assert "link_invalid" in errors
        assert "Signed out" in (await run("logout"))[1]
        assert (await run("whoami"))[0] == ExitCode.REFUSED


async def start_client(
    demo: RunningDemo, home: Path, *arguments: str, **variables: str
) -> asyncio.subprocess.Process:
    await asyncio.to_thread(home.mkdir, exist_ok=True)
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", *arguments),
        cwd=ROOT,
        env=known
        | {"HOME": str(home), "CLOUDSCRIBE_URL": demo.url}
        # A developer's own keyring is not written to.
        | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_second_start_is_quick_and_keeps_people_and_conversations(tmp_path: Path) -> None:
    port = free_port()
    async with (
        ready_demo(tmp_path, access="accounts", port=port) as demo,
        aiohttp.ClientSession() as client,
    ):
        await demo.until("Nobody sends invitations")
        known = passwords(demo)
        ada = await signed_in(demo, client, "ada@example.com")
        created = await ada.done("POST", "/conversations", {"title": "Stand-up"})
    file = tmp_path / "people.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == known

    began = time.monotonic()
    async with (
        ready_demo(tmp_path, access="accounts") as demo,
        aiohttp.ClientSession() as client,
    ):
        assert time.monotonic() - began < 10
        await demo.until("Nobody sends invitations")
        assert passwords(demo) == known
        again = Api(demo.url, client, ada.credential)
        assert await again.ticket(created["conversationId"], "read")


async def test_without_accounts_the_same_folder_is_open(tmp_path: Path) -> None:
    async with ready_demo(tmp_path, access="accounts"):
        pass
    async with (
        ready_demo(tmp_path, access="open", access_table="elsewhere") as demo,
        aiohttp.ClientSession() as client,
    ):
        assert "@example.com" not in demo.output
        async with client.get(f"{demo.url}/access.json") as answer:
            assert await answer.json() == {"kind": "open"}
        async with client.get(f"{demo.url}/oauth2/authorize") as answer:
            assert "<!doctype html>" in (await answer.text()).lower()
        async with client.ws_connect(
            f"{demo.url}/api/stt/connect?conversationId=anybody"
        ) as viewer:
            assert await message(viewer, "snapshot")
