"""Upload files to the bucket, and decide which may be uploaded.

A recording has one transcript, under a key that follows from its own, and other bytes under the
same key get no second one. So a recording that has a transcript, or waits for one, is replaced only
with `--force`. One that failed may be replaced. The decision is pure (`verdict`); a conditional
write makes sure that nobody else was faster.

Large files go in parts of `PART_BYTES`, several at once (s3transfer). A caller that stops iterating
`transfers` removes incomplete uploads from the bucket.
"""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError as AwsError

from client.audio_files import read_header
from client.errors import AlreadyThere, ClientError, UnreadableAudio
from client.recordings.bucket import Bucket, explanation
from transcripts.recordings.objects import ObjectVersion

if TYPE_CHECKING:
    from s3transfer.futures import TransferFuture
    from s3transfer.subscribers import BaseSubscriber

#: Of a large file go so many bytes at once; s3transfer takes more where there would be more than
#: 10,000 parts.
PART_BYTES: Final = 8 * 1024**2
#: Requests at once.
CONCURRENCY: Final = 8
_MAX_PARTS: Final = 10_000
#: Time to read the header of a file, seconds; it takes milliseconds.
LOOK_SECONDS: Final = 10.0
#: Read at once for a digest, bytes.
_BLOCK: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Source:
    """A readable file, with its size and modification time when it was checked."""

    path: Path
    key: str
    #: Bytes.
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Item:
    """A file to be uploaded, and the ETag of what it replaces; None where there is nothing."""

    source: Source
    replaces: str | None = None


def readable(path: Path, key: str) -> Source:
    """Check that a file can be read, and return it as a `Source`.

    Raises:
        UnreadableAudio: there is no such file, or nothing in it.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableAudio(f"{path}: not a file")
        known = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise UnreadableAudio(f"{path}: {error.strerror or error}") from error
    if not known.st_size:
        raise UnreadableAudio(f"{path}: the file is empty")
    return Source(path, key, known.st_size, known.st_mtime_ns)


def not_audio(source: Source, *, patience: float = LOOK_SECONDS) -> str | None:
    """Return why a file could not be transcribed, as far as its header shows; None if it could.

    Returns None, too, if FFmpeg is not done after `patience` seconds, because some headers make it
    read the whole file. It reads in a thread of its own, because Python handles no Ctrl-C while
    FFmpeg reads.
    """
    seen: Future[None] = Future()

    def read() -> None:
        try:
            read_header(source.path)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            seen.set_exception(error)
        else:
            seen.set_result(None)

    threading.Thread(target=read, name="read-header", daemon=True).start()
    try:
        seen.result(patience)
    except UnreadableAudio as error:
        return str(error)
    except TimeoutError:
        return None
    return None


# --- what may go there --------------------------------------------------------------------------


class UploadVerdict(Enum):
    """The decision whether a file is uploaded, and why not."""

    UPLOAD = auto()
    #: The bucket has the same bytes.
    SKIP = auto()
    #: Other bytes have that key and a transcript.
    TRANSCRIBED = auto()
    #: Other bytes have that key and wait for their transcript.
    WAITS = auto()


def verdict(
    *, there: bool, same: bool, transcribed: bool, failed: bool, force: bool
) -> UploadVerdict:
    """Decide about a file from what the bucket has at its key.

    The same bytes are uploaded again only with `force` and without a transcript, which makes the
    server try them again after a failure.
    """
    if same and (transcribed or not force):
        return UploadVerdict.SKIP
    if force:
        return UploadVerdict.UPLOAD
    if transcribed:
        return UploadVerdict.TRANSCRIBED
    return UploadVerdict.WAITS if there and not failed else UploadVerdict.UPLOAD


def same_bytes(source: Source, listed: ObjectVersion) -> bool:
    """Return whether an object holds the bytes of a file, as far as its ETag shows.

    The ETag is an MD5 digest, or that of the parts' digests with their number (S3's user guide,
    "Checking object integrity"). It shows nothing if another program uploaded parts of another
    size, or if the object is encrypted with a KMS key: then the answer is no.
    """
    if listed.size != source.size:
        return False
    etag = listed.etag.strip('"')
    if "-" not in etag:
        return _digest(source.path, source.size).hex() == etag
    part = part_bytes(source.size)
    count = -(-source.size // part)
    if etag.rpartition("-")[2] != str(count):
        return False
    digests = b"".join(_digest(source.path, part, n * part) for n in range(count))
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{count}" == etag


def part_bytes(size: int) -> int:
    """Return the size of the parts in which s3transfer uploads a file of `size` bytes."""
    part = PART_BYTES
    while -(-size // part) > _MAX_PARTS:
        part *= 2
    return part


def _digest(path: Path, size: int, begin: int = 0) -> bytes:
    """Return the MD5 digest of `size` bytes of a file from `begin` on."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            file.seek(begin)
            while size > 0 and (block := file.read(min(size, _BLOCK))):
                digest.update(block)
                size -= len(block)
    except OSError as error:
        raise UnreadableAudio(f"{path}: {error.strerror or error}") from error
    return digest.digest()


# --- how it goes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BytesSent:
    """Bytes of a file were sent; negative when an attempt starts again."""

    item: Item
    size: int


@dataclass(frozen=True, slots=True)
class FileDone:
    """The upload of a file succeeded, or failed with `error`."""

    item: Item
    error: ClientError | None = None


Event: TypeAlias = BytesSent | FileDone


def transfers(bucket: Bucket, items: Sequence[Item]) -> Generator[Event, None, None]:
    """Upload files, several at once, and yield progress. Close the generator to stop.

    Raises:
        AccessRefused, NoStorage: nothing more can be uploaded; what is complete stays.
    """
    from s3transfer.manager import TransferConfig, TransferManager  # noqa: PLC0415 - as boto3

    events: queue.SimpleQueue[BytesSent | tuple[Item, TransferFuture]] = queue.SimpleQueue()
    config = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_request_concurrency=CONCURRENCY,
    )
    with _conditional_writes(bucket, items), TransferManager(bucket.client, config) as manager:
        for item in items:
            manager.upload(
                str(item.source.path),
                bucket.name,
                item.source.key,
                extra_args=_extra(item.source),
                # A base class, in a module that is loaded late, would add nothing.
                subscribers=[cast("BaseSubscriber", _Subscriber(item, events))],
            )
        left = len(items)
        while left:
            event = events.get()
            if isinstance(event, BytesSent):
                yield event
                continue
            left -= 1
            item, future = event
            yield FileDone(item, _problem(bucket, item, future))


class _Subscriber:
    """Reports the progress of one transfer, in s3transfer's threads."""

    def __init__(
        self, item: Item, events: queue.SimpleQueue[BytesSent | tuple[Item, TransferFuture]]
    ) -> None:
        self._item = item
        self._events = events

    def on_progress(self, future: TransferFuture, bytes_transferred: int, **_: Any) -> None:
        """Report the bytes that were sent."""
        del future
        self._events.put(BytesSent(self._item, bytes_transferred))

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        """Report the end of the transfer."""
        self._events.put((self._item, future))


def _problem(bucket: Bucket, item: Item, future: TransferFuture) -> ClientError | None:
    """Return why a file is not in the bucket as it should be.

    Raises:
        ClientError: what concerns every file.
    """
    source = item.source
    try:
        future.result()
    except OSError as error:
        return UnreadableAudio(f"{source.path}: {error.strerror or error}")
    except AwsError as error:
        code = error.response.get("Error", {}).get("Code")
        if code not in {"PreconditionFailed", "ConditionalRequestConflict"}:
            raise explanation(error, bucket.name) from error
        # Also the answer to a second attempt when that to the first one got lost.
        there = find(bucket, source.key)
        if there is None or not same_bytes(source, there):
            return AlreadyThere(
                f"{source.path}: somebody else has uploaded another {source.key} in this moment"
            )
    except BotoCoreError as error:
        raise explanation(error, bucket.name) from error
    try:
        known = source.path.stat()
    except OSError:
        return None
    if (known.st_size, known.st_mtime_ns) != (source.size, source.modified_ns):
        return UnreadableAudio(
            f"{source.path}: the file has changed while it was uploaded; when it is finished, "
            "upload it again with --force"
        )
    return None


def find(bucket: Bucket, key: str) -> ObjectVersion | None:
    """Return the version of one object, from a listing; None if there is none."""
    first = next(bucket.objects.list(key), None)  # no key that begins with it sorts before
    return first if first is not None and first.key == key else None


def _extra(source: Source) -> dict[str, str]:
    kind, _ = mimetypes.guess_type(source.path.name)
    return {"ContentType": kind or "application/octet-stream"}


@contextlib.contextmanager
def _conditional_writes(bucket: Bucket, items: Sequence[Item]) -> Iterator[None]:
    """Make every write conditional on what was found before; s3transfer has no option for it."""
    replaced = {item.source.key: item.replaces for item in items}

    def condition(params: dict[str, Any], **_: Any) -> None:
        if params["Key"] in replaced:
            etag = replaced[params["Key"]]
            params |= {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}

    hooks = bucket.client.meta.events
    names = [
        f"provide-client-params.s3.{each}" for each in ("PutObject", "CompleteMultipartUpload")
    ]
    for name in names:
        hooks.register(name, condition)
    try:
        yield
    finally:
        for name in names:
            hooks.unregister(name, condition)
