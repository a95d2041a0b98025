"""The commands `status` and `fetch`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from client.cli.delivery import announce_retry, deliver_transcript, print_status, wait_for_result
from client.cli.options import BucketName, Json, SiteUrl, Wait
from client.cli.printing import Printer
from client.cli.running import interruptible_command, run_until_interrupted
from client.cli.site_recordings import fetch_transcript, find_site, parse_id, show_status
from client.errors import ExitCode
from client.formats import TranscriptFormat
from client.live.endpoints import DEFAULT_URL
from client.recordings.bucket import explained, open_bucket
from client.recordings.status import SessionStatus
from client.recordings.targets import Status, poll_status, require_transcript, target
from transcripts.recordings.status import RecordingState

Key = Annotated[
    str | None,
    typer.Argument(
        metavar="KEY|FILE|ID",
        help="Key of a recording, or a file that was uploaded under its name; without a bucket "
        "the id of a recording.",
    ),
]
SessionName = Annotated[
    str | None, typer.Option("--session", metavar="USER/SESSION", help="Session, not one file.")
]


@interruptible_command
def status(
    key: Key = None,
    *,
    session: SessionName = None,
    bucket: BucketName = None,
    url: SiteUrl = DEFAULT_URL,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each change until there is a transcript.")
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Print the status of a recording or a session.

    The exit code is 0 if transcribed, 8 if not yet, 9 if failed, 10 if there is none.
    """
    printer = Printer(as_json=as_json)
    site = None if session else find_site(bucket, url)
    if site is not None:
        showing = show_status(site, printer, parse_id(key), is_watched=watch)
        return run_until_interrupted(showing, lambda: None)
    of = target(key, session)
    home = open_bucket(bucket)
    with explained(home.name):
        if not watch:
            seen = of.read_status(home)
            print_status(printer, seen)
            return EXIT_CODE_OF[seen.state]
        before: Status | None = None
        for each in poll_status(home, of, on_lost=partial(announce_retry, printer)):
            if each != before:
                print_status(printer, each)
            before = each
        return EXIT_CODE_OF[before.state] if before else ExitCode.OK


EXIT_CODE_OF: Final = {
    RecordingState.TRANSCRIBED: ExitCode.OK,
    RecordingState.WAITING: ExitCode.NOT_YET,
    RecordingState.FAILED: ExitCode.NO_TRANSCRIPT,
    RecordingState.UNKNOWN: ExitCode.NO_SUCH_RECORDING,
}


@interruptible_command
def fetch(
    key: Key = None,
    *,
    session: SessionName = None,
    bucket: BucketName = None,
    url: SiteUrl = DEFAULT_URL,
    wanted: Annotated[
        TranscriptFormat,
        typer.Option("--format", help="The transcript itself, captions, or plain text."),
    ] = TranscriptFormat.TXT,
    output: Annotated[
        Path | None, typer.Option(help="File to write to; - is stdout.", metavar="FILE|-")
    ] = None,
    wait: Wait = False,
) -> ExitCode:
    """Print the transcript of a recording or a session."""
    printer = Printer()
    site = None if session else find_site(bucket, url)
    if site is not None:
        fetching = fetch_transcript(
            site, printer, parse_id(key), wanted=wanted, output=output, is_awaited=wait
        )
        run_until_interrupted(fetching, lambda: None)
        return ExitCode.OK
    of = target(key, session)
    home = open_bucket(bucket)
    with explained(home.name):
        seen = wait_for_result(home, printer, of) if wait else of.read_status(home)
        if not (isinstance(seen, SessionStatus) and seen.readable):
            require_transcript(seen)
        deliver_transcript(home, printer, of, seen, wanted=wanted, output=output)
    return ExitCode.OK
