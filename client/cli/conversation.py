"""The command `transcript`: print the stored utterances of a conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from client.aws import explained
from client.cli.documents import write_document
from client.cli.printing import Printer
from client.cli.running import interruptible_command
from client.conversations.formats import format_utterances, parse_moment
from client.conversations.table import TABLE_VARIABLE, open_table, table_resource
from client.errors import ExitCode, NoSuchConversation
from client.formats import TranscriptFormat
from client.live.endpoints import connect_parameters
from transcripts.documents import ConversationTranscript


@interruptible_command
def transcript(
    conversation: Annotated[str, typer.Argument(help="The conversation to read.")],
    *,
    table: Annotated[
        str | None,
        typer.Option(
            envvar=TABLE_VARIABLE,
            help="The table of conversations, reached with AWS's usual credentials and region.",
        ),
    ] = None,
    wanted: Annotated[
        TranscriptFormat,
        typer.Option("--format", help="Plain text, captions, or a JSON document with all fields."),
    ] = TranscriptFormat.TXT,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|AGO",
            help="Only captions since a time, such as 2026-11-20T17:00, or of the last 2h or 30m.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write to; - is stdout.", metavar="FILE|-")
    ] = None,
) -> ExitCode:
    """Print the stored captions of a conversation.

    Times of captions count from the first utterance that is printed.
    """
    name = connect_parameters(conversation).conversation_id
    now = datetime.now(UTC)
    begin = parse_moment(since, now) if since is not None else None
    resource = table_resource(table)
    with explained(resource):
        stored = open_table(resource)
        utterances = stored.read(name, begin) if begin else stored.read(name)
        first = next(utterances, None)
        if first is None:
            if begin is None or next(stored.read(name), None) is None:
                raise NoSuchConversation(f"{name}: nothing is stored of this conversation")
            Printer().print_note(f"{name}: nothing was said since {since}.")
        about = ConversationTranscript(conversation_id=name, created_at=now, since=begin)
        found = chain((first,) if first else (), utterances)
        write_document(format_utterances(about, found, wanted), wanted, output)
    return ExitCode.OK
