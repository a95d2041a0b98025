"""Recordings at a site with accounts: what `upload`, `status` and `fetch` do without a bucket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from access.messages import AccountAccess, Recording, RecordingFailure
from access.secret import is_id
from client.accounts.site import find_access
from client.cli.accounts import Url, account
from client.cli.documents import write_document
from client.cli.options import Json
from client.cli.printing import Printer
from client.cli.progress import UploadProgress, format_bytes
from client.errors import (
    ClientError,
    ExitCode,
    NoConnection,
    NoSuchRecording,
    NoTranscript,
    NotYet,
    UsageError,
)
from client.formats import TranscriptFormat
from client.live.endpoints import DEFAULT_URL
from client.recordings.site import SiteRecordings
from client.recordings.uploading import Source

#: The longest title. `access.records.Title`.
_LONGEST_TITLE: Final = 200
_EXIT_CODES: Final = {
    "transcribed": ExitCode.OK,
    "failed": ExitCode.NO_TRANSCRIPT,
    "aborted": ExitCode.NO_TRANSCRIPT,
    "gone": ExitCode.NO_TRANSCRIPT,
}


def find_site(bucket: str | None, url: str) -> SiteRecordings | None:
    """Return the recordings of a site with accounts, for commands without a bucket.

    None where a bucket is named, or where the site is open: then only a bucket can be meant.

    Raises:
        NoConnection: the site that was named does not answer.
    """
    if bucket:
        return None
    try:
        return asyncio.run(_find(url))
    except NoConnection:
        if url == DEFAULT_URL:
            return None
        raise


async def _find(url: str) -> SiteRecordings | None:
    access = await find_access(url)
    if not isinstance(access, AccountAccess):
        return None
    return SiteRecordings(partial(account().api_with, access, url))


def parse_id(text: str | None) -> str:
    """Return the id of a recording.

    Raises:
        UsageError: it is none.
    """
    if text is None or not is_id(text):
        raise UsageError(
            "Without a bucket a recording is named by its id of 26 letters and digits, which "
            "`upload` and `recordings` print."
        )
    return text


async def recordings(*, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """List your recordings at a site with accounts, newest first."""
    site = await _find(url)
    if site is None:
        raise UsageError("The site is open: it has no accounts, so nobody has recordings there.")
    printer = Printer(as_json=as_json)
    async for page in site.pages():
        if as_json:
            document = page.model_dump(mode="json", by_alias=True, exclude_none=True)
            printer.print_json(json.dumps(document, ensure_ascii=False))
        for each in page.recordings:
            printer.print_result(
                f"{each.recording_id}  {each.created_at:%Y-%m-%d %H:%M}  {each.state:11}  "
                f"{format_bytes(each.size):>8}  {each.title}"
            )
    return ExitCode.OK


# --- upload -------------------------------------------------------------------------------------


async def upload_files(
    site: SiteRecordings,
    printer: Printer,
    sources: Sequence[Source],
    *,
    title: str | None,
    is_awaited: bool,
    wanted: TranscriptFormat | None,
) -> list[ClientError]:
    """Upload files one after the other, each in parallel parts; return what went wrong.

    Each id is printed as soon as its file is there. With `is_awaited` or `wanted`, wait for the
    transcripts, and print the results.
    """
    errors: list[ClientError] = []
    done: list[Recording] = []
    size = sum(source.size for source in sources)
    with UploadProgress(printer, size=size, files=len(sources)) as progress:
        for source in sources:
            named = title or source.path.stem
            name = "".join(each for each in named if each.isprintable())[:_LONGEST_TITLE].strip()
            try:
                recording = await site.upload(source, name or "Recording", progress.add_bytes)
            except ClientError as error:
                errors.append(error)
                printer.print_note(f"{source.path}: {error.lines[0]}", *error.lines[1:])
                progress.add_file()
                continue
            progress.add_file()
            done.append(recording)
            printer.print_event(
                "uploaded",
                file=str(source.path),
                recordingId=recording.recording_id,
                size=recording.size,
            )
            if not (is_awaited or wanted):
                printer.print_result(recording.recording_id)
    if done:
        count = "1 file" if len(done) == 1 else f"{len(done)} files"
        sizes = format_bytes(sum(each.size for each in done))
        printer.print_note(f"{count} uploaded, {sizes}.")
    if is_awaited or wanted:
        for recording in done:
            try:
                await _await(site, printer, recording.recording_id, wanted)
            except ClientError as error:
                errors.append(error)
                if wanted is not None:
                    printer.print_note(*error.lines)
    return errors


async def _await(
    site: SiteRecordings, printer: Printer, recording_id: str, wanted: TranscriptFormat | None
) -> None:
    seen = await _wait(site, printer, recording_id)
    if wanted is None:
        print_recording(printer, seen)
    _require_transcript(seen)
    if wanted is not None:
        await _deliver(site, recording_id, wanted, None)


# --- status and fetch ---------------------------------------------------------------------------


async def show_status(
    site: SiteRecordings, printer: Printer, recording_id: str, *, is_watched: bool
) -> ExitCode:
    """Print the state of a recording, or with `is_watched` each change of it."""
    if not is_watched:
        seen = await _get(site, recording_id)
        print_recording(printer, seen)
        return _EXIT_CODES.get(seen.state, ExitCode.NOT_YET)
    before: Recording | None = None
    async for each in site.poll(recording_id, partial(_announce_retry, printer)):
        if each != before:
            print_recording(printer, each)
        before = each
    return _EXIT_CODES.get(before.state, ExitCode.NOT_YET) if before else ExitCode.NOT_YET


async def fetch_transcript(
    site: SiteRecordings,
    printer: Printer,
    recording_id: str,
    *,
    wanted: TranscriptFormat,
    output: Path | None,
    is_awaited: bool,
) -> None:
    """Write the transcript of a recording to a file or stdout.

    Raises:
        NotYet, NoTranscript, NoSuchRecording: why there is none.
        OutputFailed: it cannot be written.
    """
    if is_awaited:
        _require_transcript(await _wait(site, printer, recording_id))
    await _deliver(site, recording_id, wanted, output)


def print_recording(printer: Printer, seen: Recording) -> None:
    """Print a recording with its state."""
    failure = seen.failure
    state = f"failed, {failure.code}: {failure.message}" if failure else seen.state
    printer.print_result(f"{seen.recording_id}: {state}  ({seen.title})")
    fields = {"code": failure.code, "message": failure.message} if failure else {}
    printer.print_event(
        "status", recordingId=seen.recording_id, title=seen.title, state=seen.state, **fields
    )


async def _get(site: SiteRecordings, recording_id: str) -> Recording:
    try:
        return await site.get(recording_id)
    except NoSuchRecording as error:
        raise NoSuchRecording(f"{recording_id}: {error}") from None


async def _wait(site: SiteRecordings, printer: Printer, recording_id: str) -> Recording:
    seen = await _get(site, recording_id)
    async for each in site.poll(recording_id, partial(_announce_retry, printer)):
        seen = each
    return seen


def _require_transcript(seen: Recording) -> None:
    if seen.state == "transcribed":
        return
    failure = seen.failure or RecordingFailure(code=seen.state, message="There is no transcript.")
    if _EXIT_CODES.get(seen.state) is ExitCode.NO_TRANSCRIPT:
        raise NoTranscript(f"{seen.recording_id}: {failure.code}: {failure.message}")
    raise NotYet(f"{seen.recording_id}: {seen.state}")


async def _deliver(
    site: SiteRecordings, recording_id: str, wanted: TranscriptFormat, output: Path | None
) -> None:
    content = await site.download(recording_id, wanted)
    # JSON is stored without a newline at its end.
    end = b"\n" if wanted is TranscriptFormat.JSON else b""
    await asyncio.to_thread(write_document, (content, end), wanted, output)


def _announce_retry(printer: Printer, error: NoConnection) -> None:
    printer.print_note(f"{error} Trying again.")
