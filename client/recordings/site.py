"""Recordings of whoever is signed in, at a site with accounts: upload, look, download.

A file goes in parts to addresses that the site's API signs, several at once. A part that fails is
sent again after a pause; an address that is over is replaced. An upload that does not succeed is
aborted. Addresses are secrets, so no message quotes one.
"""

from __future__ import annotations

import asyncio
import mimetypes
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from access.messages import (
    NewRecording,
    PartAddress,
    PartAddresses,
    Recording,
    RecordingPage,
    StartedUpload,
    TranscriptAddress,
    WantedParts,
)
from access.records import ContentType
from client.accounts.credentials import ApiSource
from client.accounts.site import check_secrecy
from client.errors import (
    ClientError,
    NoConnection,
    NoSuchRecording,
    NoTranscript,
    NotYet,
    Refused,
    UnreadableAudio,
)
from client.formats import TranscriptFormat
from client.recordings.uploading import Source
from foundation.backoff import backoff
from transcripts.documents import RecordingTranscript
from transcripts.models import Model
from transcripts.recordings.store import LIMITS

#: Parts that are sent at once; each is in memory.
PARALLEL: Final = 4
#: Addresses that are asked for at once.
_ADDRESSES: Final = 16
#: An address that ends so soon is not used, seconds.
_MARGIN: Final = 60.0
#: How often a part is sent, or the API is asked, before an upload fails; and the pauses between.
ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 20.0
#: A part of which nothing is taken for so long has failed, seconds.
_STALL_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 10.0
#: Handed to the connection at once, bytes: the unit of progress.
_BLOCK: Final = 64 * 1024
#: Refusals that another attempt may find otherwise.
_MOMENTARY: Final = frozenset({"changed", "parts_changed", "unavailable"})
#: Between two looks while a command waits, seconds: at first and at most.
_FIRST_LOOK: Final = 1.0
_LONGEST_LOOK: Final = 10.0
_OVER: Final = "upload_over"

_M = TypeVar("_M", bound=Model)
_content_type: TypeAdapter[str] = TypeAdapter(ContentType)


@dataclass(frozen=True, slots=True)
class SiteRecordings:
    """The recordings of whoever is signed in at a site.

    Args:
        find_api: returns the API; asked for each request, because tokens last for minutes.
    """

    find_api: ApiSource

    async def upload(
        self, source: Source, title: str, on_bytes: Callable[[int], object]
    ) -> Recording:
        """Upload a file and return the recording; what does not succeed is aborted.

        Args:
            source: the file.
            title: what people call it.
            on_bytes: is called with the number of bytes that were sent, which is negative where
                a part has to be sent again.

        Raises:
            UnreadableAudio: the file cannot be read, or changes meanwhile.
            Refused: the site refuses it.
            NoConnection: site or bucket do not answer.
        """
        wanted = NewRecording(
            title=title,
            file_name=_name(source.path),
            size=source.size,
            content_type=find_content_type(source.path),
        )
        api = await self.find_api()
        started = await api.ask("POST", "/recordings", StartedUpload, wanted)
        recording_id = started.recording.recording_id
        try:
            async with aiohttp.ClientSession(timeout=_timeout()) as session:
                await _Parts(self, source, started, session, on_bytes).send()
            _check_unchanged(source)
            return await self.ask("POST", f"/recordings/{recording_id}/complete", Recording)
        except BaseException:
            # It may be complete, if only the answer was lost: then the API keeps it.
            with suppress(ClientError):
                await (await self.find_api()).order("DELETE", f"/recordings/{recording_id}")
            raise

    async def get(self, recording_id: str) -> Recording:
        """Return a recording.

        Raises:
            NoSuchRecording: there is none of ours with this id.
        """
        return await self.ask("GET", f"/recordings/{recording_id}", Recording)

    async def pages(self) -> AsyncIterator[RecordingPage]:
        """Yield our recordings page by page, newest first."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"cursor": cursor} if cursor else {}
            api = await self.find_api()
            page = await api.ask("GET", "/recordings", RecordingPage, query=query)
            yield page
            cursor = page.cursor or None

    async def poll(
        self, recording_id: str, on_lost: Callable[[NoConnection], object]
    ) -> AsyncIterator[Recording]:
        """Look at a recording until nothing more happens to it; yield every answer.

        A site that does not answer is asked again; `on_lost` is called once per outage.

        Raises:
            NoConnection: the site did not answer the first time.
        """
        pause, is_lost = _FIRST_LOOK, False
        seen: Recording | None = None
        while True:
            try:
                seen = await self.get(recording_id)
            except NoConnection as error:
                if seen is None:
                    raise
                if not is_lost:
                    on_lost(error)
                is_lost = True
            else:
                is_lost = False
                yield seen
                if seen.state not in {"waiting", "uploading"}:
                    return
            await asyncio.sleep(pause)
            pause = min(_LONGEST_LOOK, pause * 1.5)

    async def download(self, recording_id: str, wanted: TranscriptFormat) -> bytes:
        """Return the transcript of a recording in a format.

        Raises:
            NotYet, NoTranscript, NoSuchRecording: why there is none.
            NoConnection: site or bucket do not answer.
        """
        api = await self.find_api()
        path = f"/recordings/{recording_id}/transcript"
        try:
            found = await api.ask("GET", path, TranscriptAddress, query={"format": str(wanted)})
        except Refused as error:
            raise explain(error) from None
        url = _parse_address(found.address)
        limit = LIMITS[RecordingTranscript]
        try:
            async with (
                aiohttp.ClientSession(timeout=_timeout(_STALL_SECONDS)) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != HTTPStatus.OK:
                    raise NoConnection(f"{url.origin()} answers HTTP {answer.status}")
                content = bytearray()
                async for piece in answer.content.iter_any():
                    content += piece
                    if len(content) > limit:
                        raise NoConnection(f"{url.origin()} answers with too much")
                return bytes(content)
        except (aiohttp.ClientError, OSError) as error:
            raise NoConnection(_describe(url, error)) from None

    async def ask(self, method: str, path: str, kind: type[_M], body: Model | None = None) -> _M:
        """Send a request that may be repeated, again and again while the site does not answer.

        Raises:
            NoSuchRecording: there is none of ours with this id.
            Refused, NoConnection: as `client.accounts.site.Api.ask`.
        """
        failures = 0
        while True:
            try:
                return await (await self.find_api()).ask(method, path, kind, body)
            except (NoConnection, Refused) as error:
                failures += 1
                if isinstance(error, Refused) and error.code not in _MOMENTARY:
                    raise explain(error) from None
                if failures >= ATTEMPTS:
                    raise
            await asyncio.sleep(backoff(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE))


@dataclass(slots=True)
class _Parts:
    """Sends the parts of one file."""

    site: SiteRecordings
    source: Source
    started: StartedUpload
    session: aiohttp.ClientSession
    on_bytes: Callable[[int], object]
    _known: dict[int, tuple[PartAddress, float]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self) -> None:
        """Send all parts, several at once; the first failure ends the others."""
        self._keep(self.started)
        numbers = iter(range(1, self.started.part_count + 1))
        count = min(PARALLEL, self.started.part_count)
        senders = [asyncio.create_task(self._send_some(numbers)) for _ in range(count)]
        try:
            await asyncio.gather(*senders)
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)

    async def _send_some(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._send_one(number)

    async def _send_one(self, number: int) -> None:
        begin = (number - 1) * self.started.part_bytes
        failures = 0
        while True:
            part = await self._find_address(number)
            content = await asyncio.to_thread(_read, self.source.path, begin, part.size)
            try:
                await self._put(part, content)
            except NoConnection:
                failures += 1
                if failures >= ATTEMPTS:
                    raise
            else:
                return
            await asyncio.sleep(backoff(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE))

    async def _put(self, part: PartAddress, content: bytes) -> None:
        """Send one part once.

        Raises:
            NoConnection: it failed, and may succeed with the next attempt.
            Refused: the upload is over.
        """
        url = _parse_address(part.address)
        sent = 0

        async def blocks() -> AsyncIterator[memoryview]:
            nonlocal sent
            whole = memoryview(content)
            for at in range(0, len(content), _BLOCK):
                block = whole[at : at + _BLOCK]
                yield block
                sent += len(block)
                self.on_bytes(len(block))
                limit.reschedule(asyncio.get_running_loop().time() + _STALL_SECONDS)

        status = 0
        reason: Exception | None = None
        try:
            async with (
                asyncio.timeout(_STALL_SECONDS) as limit,
                self.session.put(
                    url,
                    data=blocks(),
                    # The address is signed for this length.
                    headers={"Content-Length": str(len(content))},
                    skip_auto_headers=("Content-Type",),
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError) as error:
            reason = error
        finally:
            if status != HTTPStatus.OK:
                self.on_bytes(-sent)
        if status == HTTPStatus.OK:
            return
        if status == HTTPStatus.NOT_FOUND:
            raise Refused(_OVER, "The upload was completed or aborted meanwhile.", retryable=False)
        if status == HTTPStatus.FORBIDDEN:  # it is over, or the credentials that signed it are
            self._known.pop(part.number, None)
        raise NoConnection(_describe(url, reason) if reason else f"{url.origin()}: HTTP {status}")

    async def _find_address(self, number: int) -> PartAddress:
        """Return the address of a part; those of the next ones are fetched with it."""
        async with self._lock:
            known = self._known.get(number)
            if known is not None and time.monotonic() < known[1]:
                return known[0]
            last = min(self.started.part_count, number + _ADDRESSES - 1)
            path = f"/recordings/{self.started.recording.recording_id}/parts"
            wanted = WantedParts(numbers=tuple(range(number, last + 1)))
            found = await self.site.ask("POST", path, PartAddresses, wanted)
            self._keep(found)
            part = next((part for part in found.parts if part.number == number), None)
            if part is None:
                raise NoConnection("the site gives no address for a part")
            return part

    def _keep(self, found: PartAddresses) -> None:
        ends_at = time.monotonic() + found.seconds_left - _MARGIN
        self._known |= {part.number: (part, ends_at) for part in found.parts}


def explain(error: Refused) -> ClientError:
    """Return a refusal of the API as the error that the commands have for it."""
    match error.code:
        case "recording_not_found":
            return NoSuchRecording(error.message)
        case "recording_waiting" | "recording_uploading":
            return NotYet(error.message, "There is no transcript yet; --wait waits for it.")
        case "recording_failed" | "recording_aborted" | "recording_gone":
            return NoTranscript(error.message)
        case _:
            return error


def find_content_type(path: Path) -> str:
    """Return the type of a file by its name, as far as the API takes it."""
    kind, _ = mimetypes.guess_type(path.name)
    try:
        return _content_type.validate_python(kind)
    except ValidationError:
        return "application/octet-stream"


def _name(path: Path) -> str:
    """Return a file's name as the API takes it: one line of UTF-8."""
    readable = path.name.encode(errors="replace").decode()
    return "".join(each if each.isprintable() else "?" for each in readable)


def _read(path: Path, begin: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read(size)
    except OSError as error:
        raise UnreadableAudio(f"{path}: {error.strerror or error}") from error
    if len(content) != size:
        raise _changed(path)
    return content


def _check_unchanged(source: Source) -> None:
    try:
        known = source.path.stat()
    except OSError as error:
        raise UnreadableAudio(f"{source.path}: {error.strerror or error}") from error
    if (known.st_size, known.st_mtime_ns) != (source.size, source.modified_ns):
        raise _changed(source.path)


def _changed(path: Path) -> UnreadableAudio:
    return UnreadableAudio(f"{path}: the file has changed while it was uploaded; upload it again")


def _parse_address(text: str) -> URL:
    """Return an address as it was signed.

    Raises:
        NoConnection: it is none.
        UsageError: nothing secret may go there.
    """
    try:
        url = URL(text, encoded=True)
    except ValueError:
        raise NoConnection("the site gives an address that is none") from None
    check_secrecy(url)
    return url


def _describe(url: URL, error: Exception) -> str:
    # Without the error's own text, which may quote the address.
    return f"{url.origin()} does not answer: {type(error).__name__}"


def _timeout(read_seconds: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=read_seconds)
