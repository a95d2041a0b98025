"""From the bucket to the reader: a transcript, or captions of it, as they are stored.

A chunk of a session has no captions of its own in the bucket. Its are made here, by the same
`transcripts.captions.formats` that makes all others.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from botocore.exceptions import ClientError as AwsError

from client.cli.output import writing_stdout
from client.errors import FileFailed
from client.recordings.bucket import Bucket
from transcripts.captions.formats import Transcript, captions
from transcripts.documents import RecordingTranscript, SessionTranscript
from transcripts.recordings.keys import beside
from transcripts.recordings.store import LIMITS, DocumentTooLarge, parse


class Format(StrEnum):
    """What can be fetched."""

    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"


def fetch(
    bucket: Bucket,
    transcript_key: str,
    kind: type[RecordingTranscript | SessionTranscript],
    wanted: Format,
) -> bytes | None:
    """Return a transcript in a format, as UTF-8; None if there is no transcript.

    Raises:
        UnreadableDocument: captions were to be made of what is no transcript, or it is too large.
        ClientError, BotoCoreError: of botocore, as everywhere in `transcripts.recordings.store`.
    """
    suffix = f".{wanted}"
    # Captions are written before the transcript, and count only with it.
    if wanted is not Format.JSON and bucket.recordings.exists(transcript_key):
        stored = _content(bucket, beside(transcript_key, suffix), LIMITS[kind])
        if stored is not None:
            return stored
    content = _content(bucket, transcript_key, LIMITS[kind])
    if content is None or wanted is Format.JSON:
        return content
    transcript: Transcript = parse(content, kind)
    return captions(transcript)[suffix].encode()


def _content(bucket: Bucket, key: str, limit: int) -> bytes | None:
    try:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
    except AwsError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    with contextlib.closing(answer["Body"]) as body:
        if answer["ContentLength"] > limit:
            raise DocumentTooLarge(f"it has more than {limit} bytes")
        content: bytes = body.read()
        return content


def deliver(pieces: Iterable[bytes], output: Path | None) -> None:
    """Write to a file, all or nothing, or to stdout for None. What `pieces` raises comes through.

    Raises:
        OutputFailed, FileFailed: it cannot be written.
        BrokenPipeError: whoever read stdout has left.
    """
    if output is None:
        with writing_stdout() as stdout:
            stdout.buffer.writelines(pieces)
            stdout.flush()
        return
    try:
        if output.exists() and not output.is_file():  # such as /dev/null, or a pipe
            with output.open("wb") as file:
                file.writelines(pieces)
        else:
            _replace(output, pieces)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileFailed(f"{output} cannot be written: {error.strerror}") from error


def _replace(output: Path, pieces: Iterable[bytes]) -> None:
    target = output.resolve()  # through a link, to the file that it names
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fetch-", delete=False) as file:
        try:
            file.writelines(pieces)
            file.close()
            # As if it had been opened for writing: what it was, or what is usual for new files.
            umask = os.umask(0)
            os.umask(umask)
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask
            Path(file.name).chmod(mode)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
