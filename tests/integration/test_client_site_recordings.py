"""The client's uploads against a fake site and bucket on loopback, with every fault of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from access.messages import ROOT as API
from access.messages import (
    AccountAccess,
    PartAddress,
    PartAddresses,
    Problem,
    Recording,
    StartedUpload,
    TranscriptAddress,
)
from client.accounts.site import Api
from client.errors import (
    ExitCode,
    NoConnection,
    NoSuchRecording,
    NoTranscript,
    NotYet,
    Refused,
    UnreadableAudio,
    UsageError,
)
from client.formats import TranscriptFormat
from client.recordings import site as client_site
from client.recordings.site import ATTEMPTS, SiteRecordings
from client.recordings.uploading import readable
from local_cloud import ROOT
from tests.support.access import NOW
from transcripts.models import Model

pytestmark = pytest.mark.integration

ID = "r" * 26
SECRET = "signature-of-this-address"  # noqa: S105 - a marker in addresses
#: Of the fake site; the client takes what the site says.
PART_BYTES = 300_000
#: Six parts, none of which is like another.
CONTENT = b"".join(number.to_bytes(4) for number in range(375_000)) + b"the end"


@dataclass(slots=True)
class Site:
    """The site, and what it has seen."""

    url: str = ""
    size: int = 0
    #: For each part, how its next requests are answered: a status, or None for a cut connection.
    faults: dict[int, list[int | None]] = field(default_factory=dict)
    #: Statuses of the next answers to `complete`.
    completing: list[int] = field(default_factory=list)
    parts: dict[int, bytes] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    asked: list[tuple[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    base: str = ""
    transcript: tuple[int, str] = 200, ""
    is_sending: asyncio.Event = field(default_factory=asyncio.Event)
    is_busy: asyncio.Event = field(default_factory=asyncio.Event)
    #: Answers to parts wait for this.
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    _now: int = 0
    _signed: int = 0

    @property
    def count(self) -> int:
        return -(-self.size // PART_BYTES)

    def count_asked(self, method: str, end: str) -> int:
        return sum(each == method and path.endswith(end) for each, path in self.asked)

    def address(self, number: int) -> PartAddress:
        self._signed += 1
        size = min(PART_BYTES, self.size - (number - 1) * PART_BYTES)
        where = f"{self.base or self.url}/part/{number}?sig={SECRET}%2B{self._signed}"
        return PartAddress(number=number, size=size, address=where)

    async def answer_api(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(API)
        self.asked.append((request.method, path))
        if request.method == "DELETE":
            return web.Response(status=204)
        body: Any = await request.json() if request.can_read_body else {}
        answers = {
            "recordings": self._begin,
            "parts": self._sign,
            "complete": self._complete,
            "transcript": self._find_transcript,
        }
        answer = answers.get(path.rpartition("/")[2])
        return answer(body) if answer else _problem(404, "recording_not_found")

    def _begin(self, body: Any) -> web.Response:
        self.size = body["size"]
        return _json(
            StartedUpload(
                recording=self.recording("uploading"),
                part_bytes=PART_BYTES,
                part_count=self.count,
                parts=tuple(map(self.address, range(1, min(2, self.count) + 1))),
                seconds_left=900,
            ),
            201,
        )

    def _sign(self, body: Any) -> web.Response:
        parts = tuple(map(self.address, body["numbers"]))
        return _json(PartAddresses(parts=parts, seconds_left=900))

    def _complete(self, _: Any) -> web.Response:
        status = self.completing.pop(0) if self.completing else 200
        if status == 200:
            return _json(self.recording("waiting"))
        return _problem(status, {503: "unavailable", 409: "changed", 410: "parts_missing"}[status])

    def _find_transcript(self, _: Any) -> web.Response:
        status, reason = self.transcript
        if status != 200:
            return _problem(status, reason)
        where = f"{self.base or self.url}/transcript?sig={SECRET}%2B"
        return _json(TranscriptAddress(address=where, seconds_left=300))

    async def take_part(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        assert request.query_string.startswith(f"sig={SECRET}%2B")  # exactly as it was signed
        self.tries[number] += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.is_sending.set()
        if self._now == client_site.PARALLEL:
            self.is_busy.set()
        try:
            content = await request.read()
            await self.may_answer.wait()
        finally:
            self._now -= 1
        fault = self.faults.get(number, [])
        if fault:
            status = fault.pop(0)
            if status is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"})
        assert int(request.headers["Content-Length"]) == len(content)
        assert "Transfer-Encoding" not in request.headers
        self.parts[number] = content
        return web.Response()

    def recording(self, state: Any) -> Recording:
        return Recording(
            recording_id=ID,
            title="Talk",
            file_name="talk.wav",
            size=self.size,
            content_type="audio/wav",
            created_at=NOW,
            state=state,
        )


def _json(model: Model, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=model.model_dump_json(by_alias=True), content_type="application/json"
    )


def _problem(status: int, reason: str) -> web.Response:
    return _json(Problem(title="No", status=status, detail="Not so.", reason=reason), status)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    site.may_answer.set()
    application = web.Application(client_max_size=10 * PART_BYTES)

    async def answer_transcript(request: web.Request) -> web.Response:
        assert request.query_string == f"sig={SECRET}%2B"
        return web.Response(text="Hello.")

    async def answer_access(_: web.Request) -> web.Response:
        return _json(
            AccountAccess(
                issuer=site.url,
                page_client_id="page",
                program_client_id="program",
                authorization_endpoint=f"{site.url}/authorize",
                token_endpoint=f"{site.url}/token",
            )
        )

    application.router.add_get("/access.json", answer_access)
    application.router.add_put("/part/{number}", site.take_part)
    application.router.add_get("/transcript", answer_transcript)
    application.router.add_route("*", f"{API}/{{rest:.*}}", site.answer_api)
    async with TestServer(application) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site


@pytest.fixture
def ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> SiteRecordings:
    monkeypatch.setattr(client_site, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(client_site, "_LONGEST_PAUSE", 0.002)

    async def find_api() -> Api:
        return Api(site.url, "csk_a_b")

    return SiteRecordings(find_api)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(CONTENT)
    return path


@dataclass(slots=True)
class Sent:
    """What the progress says."""

    total: int = 0
    least: int = 0

    def add(self, size: int) -> None:
        self.total += size
        self.least = min(self.least, self.total)


def change_file(file: Path, change: str) -> None:
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(CONTENT[:PART_BYTES] if change == "shorter" else CONTENT * 2)


async def upload(ours: SiteRecordings, file: Path, sent: Sent | None = None) -> Recording:
    return await ours.upload(readable(file, ""), "Talk", (sent or Sent()).add)


def content_of(site: Site) -> bytes:
    return b"".join(site.parts[number] for number in sorted(site.parts))


async def test_a_file_goes_in_parts_several_at_once(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    sent = Sent()
    site.may_answer.clear()
    uploading = asyncio.ensure_future(upload(ours, file, sent))
    async with asyncio.timeout(10):
        await site.is_busy.wait()
    site.may_answer.set()
    recording = await uploading

    assert recording.recording_id == ID
    assert content_of(site) == CONTENT
    assert site.most_at_once == client_site.PARALLEL
    assert sent.total == len(CONTENT)
    assert site.count_asked("DELETE", ID) == 0


@pytest.mark.parametrize("fault", [None, 307, 400, 403, 500, 503])
async def test_a_part_that_fails_is_sent_again(
    site: Site, ours: SiteRecordings, file: Path, fault: int | None
) -> None:
    sent = Sent()
    site.faults = {2: [fault, fault], 6: [fault]}

    await upload(ours, file, sent)

    assert content_of(site) == CONTENT
    assert (site.tries[2], site.tries[6], site.tries[1]) == (3, 2, 1)
    # Progress takes back what did not arrive.
    assert sent.total == len(CONTENT)
    assert sent.least >= 0


async def test_an_address_that_is_over_is_replaced(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    site.faults = {2: [403, 403]}

    await upload(ours, file)

    # Two came with the upload, four are fetched together, and twice one is replaced.
    assert site.count_asked("POST", "/parts") == 3
    assert site.tries[2] == 3
    assert content_of(site) == CONTENT


async def test_a_bucket_that_never_takes_a_part_aborts_the_upload(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    sent = Sent()
    site.faults = {3: [500] * 99}

    with pytest.raises(NoConnection, match="HTTP 500") as error:
        await upload(ours, file, sent)

    assert site.tries[3] == ATTEMPTS
    assert SECRET not in str(error.value)
    assert site.count_asked("DELETE", ID) == 1
    assert site.count_asked("POST", "/complete") == 0


async def test_an_upload_that_is_over_is_not_tried_again(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    site.faults = {1: [404]}

    with pytest.raises(Refused, match="Upload the file again"):
        await upload(ours, file)
    assert site.tries[1] == 1
    assert site.count_asked("POST", "/complete") == 0


async def test_an_interruption_aborts_the_upload(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    site.may_answer.clear()
    uploading = asyncio.ensure_future(upload(ours, file))
    async with asyncio.timeout(10):
        await site.is_sending.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    site.may_answer.set()

    assert site.count_asked("DELETE", ID) == 1
    assert site.count_asked("POST", "/complete") == 0


async def test_ctrl_c_aborts_the_upload_and_says_so(site: Site, file: Path) -> None:
    site.may_answer.clear()
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", "upload", str(file), "--force", "--url", site.url),
        cwd=ROOT,
        env=known | {"HOME": str(file.parent), "CLOUDSCRIBE_API_KEY": f"csk_{'a' * 26}_{'b' * 26}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        await site.is_sending.wait()
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    site.may_answer.set()

    assert (process.returncode, output) == (ExitCode.INTERRUPTED, b"")
    assert b"is being removed" in errors
    assert b"Traceback" not in errors
    assert site.count_asked("DELETE", ID) == 1


@pytest.mark.parametrize("change", ["longer", "shorter", "gone"])
async def test_a_file_that_changes_meanwhile_is_not_completed(
    site: Site, ours: SiteRecordings, file: Path, change: str
) -> None:
    site.may_answer.clear()
    uploading = asyncio.ensure_future(upload(ours, file))
    async with asyncio.timeout(10):
        await site.is_sending.wait()
    change_file(file, change)
    site.may_answer.set()

    with pytest.raises(UnreadableAudio):
        await uploading
    assert site.count_asked("POST", "/complete") == 0
    assert site.count_asked("DELETE", ID) == 1


@pytest.mark.parametrize("status", [503, 409])
async def test_completing_is_repeated(
    site: Site, ours: SiteRecordings, file: Path, status: int
) -> None:
    site.completing = [status, status]

    assert (await upload(ours, file)).state == "waiting"
    assert site.count_asked("POST", "/complete") == 3


async def test_an_upload_that_the_site_does_not_complete_is_aborted(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    site.completing = [410]

    with pytest.raises(Refused, match="parts_missing"):
        await upload(ours, file)
    assert site.count_asked("DELETE", ID) == 1


async def test_nothing_goes_to_an_address_without_tls(
    site: Site, ours: SiteRecordings, file: Path
) -> None:
    site.base = "http://bucket.example"

    with pytest.raises(UsageError, match="https only") as error:
        await upload(ours, file)
    assert SECRET not in str(error.value)
    assert not site.tries
    with pytest.raises(UsageError, match="https only"):
        await ours.download(ID, TranscriptFormat.TXT)


async def test_a_transcript_is_downloaded_or_its_lack_explained(
    site: Site, ours: SiteRecordings
) -> None:
    assert await ours.download(ID, TranscriptFormat.TXT) == b"Hello."
    for reason, kind in (
        ("recording_waiting", NotYet),
        ("recording_failed", NoTranscript),
        ("recording_gone", NoTranscript),
        ("recording_not_found", NoSuchRecording),
        ("blocked", Refused),
    ):
        site.transcript = 409, reason
        with pytest.raises(kind, match=r"Not so\."):
            await ours.download(ID, TranscriptFormat.TXT)
    with contextlib.suppress(NoSuchRecording):
        await ours.get(ID)
        pytest.fail("there is none")
