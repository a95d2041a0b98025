"""`ACCESS=accounts make demo` with everything real: from a sign-in to a guest who loses access."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
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
from yarl import URL

from access.secret import is_id, make_id
from client.errors import ExitCode
from local_cloud import ROOT
from local_cloud.accounts.setup import SOURCES
from local_cloud.launcher.demo import DIST
from speech.decode import decode
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
    assert text
    for secret in secrets:
        assert secret is not None
        assert find_proof(secret) not in text


def find_proof(secret: str) -> str:
    """Return the part that must stay secret: of a token its signature, of `csl_ID_PROOF` the end.

    A signature is base64url, so it may have an `_` itself.
    """
    if "@" in secret:
        return secret
    is_key_or_link = secret.startswith(("csl_", "csk_"))
    return secret.rpartition("_" if is_key_or_link else ".")[2]


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
        assert_absent([key, link], read_logs(tmp_path))
        assert_absent([key], demo.output)
        assert "Signed out" in (await run("logout"))[1]
        assert (await run("whoami"))[0] == ExitCode.REFUSED


async def test_a_recording_is_its_persons_from_the_upload_to_the_transcript(
    tmp_path: Path,
) -> None:
    """Ada uploads speech and reads its transcript; Sam finds nothing of it, by any route."""
    async with ready_demo(tmp_path, access="accounts") as demo, aiohttp.ClientSession() as client:
        await demo.until("Nobody sends invitations")
        speech = wav(tmp_path / "greeting.wav", b"".join(decode(ROOT / "scripts" / "smoke.ogg")))
        ada, sam = [await key_of(demo, client, each) for each in ("ada", "sam")]

        async def run(key: str, *arguments: str, **variables: str) -> tuple[int, str]:
            process = await start_client(
                demo, tmp_path / "home", *arguments, CLOUDSCRIBE_API_KEY=key, **variables
            )
            output, errors = await process.communicate()
            return process.returncode or 0, output.decode().strip() or errors.decode()

        code, id_ = await run(ada, "upload", str(speech), "--title", "Quarterly figures")
        assert (code, is_id(id_)) == (ExitCode.OK, True), id_
        code, transcript = await run(ada, "fetch", id_, "--wait")
        assert code == ExitCode.OK
        assert "hello" in transcript.lower()
        assert (await run(ada, "status", id_))[0] == ExitCode.OK
        assert "Quarterly figures" in (await run(ada, "recordings"))[1]
        for arguments in (("status", id_), ("fetch", id_)):
            assert (await run(sam, *arguments))[0] == ExitCode.NO_SUCH_RECORDING
        assert (await run(sam, "recordings")) == (ExitCode.OK, "")

        hers, his = Api(demo.url, client, ada), Api(demo.url, client, sam)
        begun = await hers.done(
            "POST", "/recordings", {"title": "Plans", "fileName": "plans.wav", "size": 100}
        )
        mine = begun["recording"]["recordingId"]
        await find_nothing_of(his, id_, mine)
        await send_exactly_what_is_signed(client, begun["parts"][0]["address"], id_, mine)
        await hers.done("POST", f"/recordings/{mine}/complete")
        async with client.put(
            URL(begun["parts"][0]["address"], encoded=True), data=bytes(100)
        ) as late:
            assert late.status == 404

        # A program with IAM rights uses the bucket as before.
        variables = shell_variables(tmp_path / "aws.env")
        speech.rename(tmp_path / "program.wav")
        code, transcript = await run(
            "", "upload", str(tmp_path / "program.wav"), "--format", "txt", **variables
        )
        assert code == ExitCode.OK, transcript
        assert "hello" in transcript.lower()
    assert_absent([ada, sam], read_logs(tmp_path))
    for private in ("Quarterly", "greeting.wav", "plans.wav", "Plans"):
        assert private not in read_logs(tmp_path)


async def key_of(demo: RunningDemo, client: aiohttp.ClientSession, name: str) -> str:
    """Return an API key for the recordings of a person."""
    person = await signed_in(demo, client, f"{name}@example.com")
    wanted = {"label": "recordings", "scopes": ["read", "manage"]}
    secret: str = (await person.done("POST", "/keys", wanted))["secret"]
    return secret


async def find_nothing_of(his: Api, *foreign: str) -> None:
    """Every route answers about a foreign recording as about one that does not exist."""
    for method, end, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/parts", {"numbers": [1]}),
        ("POST", "/complete", None),
        ("GET", "/transcript", None),
    ):
        unknown = await his.call(method, f"/recordings/{make_id()}{end}", body)
        assert unknown[0] == 404
        for each in foreign:
            assert await his.call(method, f"/recordings/{each}{end}", body) == unknown


async def send_exactly_what_is_signed(
    client: aiohttp.ClientSession, address: str, other: str, own: str
) -> None:
    """The bucket takes the part in its length, and nothing else with this address."""
    for changed, size in (
        (address, 99),
        (address, 101),
        (address.replace(own, other), 100),
        (address.replace("/uploads/people/", "/uploads/"), 100),
        (address.replace("partNumber=1", "partNumber=2"), 100),
        (address.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"), 100),
    ):
        assert size != 100 or changed != address
        async with client.put(URL(changed, encoded=True), data=bytes(size)) as refused:
            assert refused.status == 403, changed
    async with client.get(URL(address, encoded=True)) as refused:
        assert refused.status == 403
    async with client.put(URL(address, encoded=True), data=bytes(100)) as taken:
        assert taken.status == 200


def shell_variables(file: Path) -> dict[str, str]:
    """Return what a demo exports for a shell."""
    return {
        name: shlex.split(value)[0]
        for name, value in re.findall(r"^export (\w+)=(.+)$", file.read_text(), re.MULTILINE)
    }


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
