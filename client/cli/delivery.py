"""Wait for the transcript of a recording, print its status, and deliver it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from client.cli.documents import write_document
from client.cli.printing import Printer
from client.errors import NoStorage, NoTranscript, NotYet
from client.formats import TranscriptFormat
from client.recordings.bucket import Bucket
from client.recordings.chunks import format_spans
from client.recordings.status import SessionStatus
from client.recordings.targets import Status, Target, last, poll_status
from transcripts.recordings.store import UnreadableDocument


def print_status(printer: Printer, seen: Status) -> None:
    """Print the status of a recording or session."""
    for line in seen.lines():
        printer.print_result(line)
    printer.print_event("status", **seen.fields())


def announce_retry(printer: Printer, error: NoStorage) -> None:
    """Print that the bucket cannot be reached and that the client retries."""
    printer.print_note(f"{error} Trying again.")


def wait_for_result(bucket: Bucket, printer: Printer, of: Target) -> Status:
    """Wait until a recording is transcribed or has failed; return its status."""
    return last(poll_status(bucket, of, on_lost=partial(announce_retry, printer)))


def deliver_transcript(
    bucket: Bucket,
    printer: Printer,
    of: Target,
    seen: Status,
    *,
    wanted: TranscriptFormat,
    output: Path | None = None,
) -> None:
    """Write a transcript to a file or stdout, and print what is wrong with it on stderr.

    Raises:
        NoTranscript, NotYet: there is none that can be read.
        OutputFailed: it cannot be written.
    """
    try:
        content = of.fetch(bucket, wanted)
    except UnreadableDocument as error:
        raise NoTranscript(f"The transcript cannot be read by this client: {error}.") from error
    if content is None:
        raise NotYet("The transcript was deleted meanwhile.")
    # JSON is stored without a newline at its end.
    write_document((content, b"\n" if wanted is TranscriptFormat.JSON else b""), wanted, output)
    printer.print_note(*seen.notes)
    if isinstance(seen, SessionStatus) and seen.gaps:
        printer.print_note(f"Not in it: chunk {format_spans(seen.gaps)}; `status` says why.")
