"""The commands `vocabulary put`, `status`, `list` and `delete`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from client import aws
from client.cli.options import EPILOG
from client.cli.printing import Printer
from client.cli.running import interruptible_command
from client.errors import ExitCode, UsageError
from client.recordings.bucket import BUCKET_VARIABLE, explained, open_bucket
from client.vocabularies import (
    ALL,
    FILTER,
    PATIENCE_SECONDS,
    TABLE_KEY,
    VOCABULARY,
    StoredVocabulary,
    Vocabularies,
    VocabularyKind,
    read,
)

app = typer.Typer(
    help="Manage custom vocabularies and vocabulary filters of Amazon Transcribe.",
    epilog=EPILOG,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Its name: letters, digits and the signs . _ -")]
IsFilter = Annotated[
    bool, typer.Option("--filter", help="A vocabulary filter: words to mask, remove or tag.")
]
Region = Annotated[
    str | None,
    typer.Option(help="Region of Amazon Transcribe; default: that of the AWS tools."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

#: Between two lines about waiting, seconds.
_LINE_SECONDS: Final = 60.0


@app.command(epilog=EPILOG)
@interruptible_command
def put(
    name: Name,
    file: Annotated[
        Path,
        typer.Argument(
            help="UTF-8 text with a phrase a line, or Amazon's table (Phrase, a tab, DisplayAs); "
            "for a filter, a word a line.",
            readable=False,
        ),
    ],
    *,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language of a new vocabulary, such as en-US; an existing one keeps its own."
        ),
    ] = None,
    is_filter: IsFilter = False,
    bucket: Annotated[
        str | None,
        typer.Option(
            envvar=BUCKET_VARIABLE,
            help="Bucket from which Amazon reads a table; a list of phrases needs none.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it is READY or FAILED.")
    ] = True,
    region: Region = None,
    as_json: Json = False,
) -> ExitCode:
    """Create a vocabulary, or replace its entries.

    The exit code is 0 if it is ready (with --no-wait: sent), 8 if not yet, 9 if it failed.
    """
    kind = _kind(is_filter)
    entries, content = read(kind, file)
    printer = Printer(as_json=as_json)
    account = _account(region, kind, name)
    upload = partial(_upload, bucket, name, content)
    stored, is_new = account.put(kind, name, language, entries, upload)
    did = "Created" if is_new else "Replaced"
    count = len(entries.phrases)
    noun = "entry" if count == 1 else "entries"
    printer.print_note(f"{did} the {kind.noun} {name}: {count} {noun}.")
    if stored.state == "PENDING" and wait:
        stored = _await(printer, account, name)
    _print_stored(printer, stored)
    if stored.state == "PENDING" and not wait:
        return ExitCode.OK
    return _EXIT_CODES[stored.state]


@app.command(epilog=EPILOG)
@interruptible_command
def status(
    name: Name, *, is_filter: IsFilter = False, region: Region = None, as_json: Json = False
) -> ExitCode:
    """Print whether a vocabulary is PENDING, READY or FAILED, and why.

    The exit code is 0 if it is ready, 8 if not yet, 9 if it failed, 10 if there is none.
    """
    kind = _kind(is_filter)
    stored = _account(region, kind, name).get(kind, name)
    _print_stored(Printer(as_json=as_json), stored)
    return _EXIT_CODES[stored.state]


@app.command("list", epilog=EPILOG)
@interruptible_command
def list_(*, is_filter: IsFilter = False, region: Region = None, as_json: Json = False) -> ExitCode:
    """Print the vocabularies of the account in the region, the newest first."""
    kind = _kind(is_filter)
    printer = Printer(as_json=as_json)
    is_empty = True
    for stored in _account(region, kind, ALL).all(kind):
        _print_stored(printer, stored)
        is_empty = False
    if is_empty:
        printer.print_note(f"There is no {kind.noun}. {kind.hint}")
    return ExitCode.OK


@app.command(epilog=EPILOG)
@interruptible_command
def delete(
    name: Name, *, is_filter: IsFilter = False, region: Region = None, as_json: Json = False
) -> ExitCode:
    """Delete a vocabulary. Streams that name it are refused from then on."""
    kind = _kind(is_filter)
    _account(region, kind, name).delete(kind, name)
    printer = Printer(as_json=as_json)
    printer.print_result(f"{name}: deleted")
    printer.print_event("deleted", name=name, filter=is_filter)
    return ExitCode.OK


_EXIT_CODES: Final = {
    "READY": ExitCode.OK,
    "PENDING": ExitCode.NOT_YET,
    "FAILED": ExitCode.NO_TRANSCRIPT,
}


def _kind(is_filter: bool) -> VocabularyKind:  # noqa: FBT001 - the option as it came
    return FILTER if is_filter else VOCABULARY


def _account(region: str | None, kind: VocabularyKind, name: str) -> Vocabularies:
    """Return the account; nothing is asked of it yet.

    Raises:
        ClientError: AWS cannot be used as it is configured.
    """
    with aws.explained(kind.resource(name)):
        return Vocabularies(aws.connect("transcribe", region))


def _upload(bucket: str | None, name: str, content: bytes) -> str:
    """Put a table where Amazon reads it from; return its address.

    Raises:
        UsageError: no bucket is named.
        AccessRefused, NoStorage: it does not take it.
    """
    if not bucket:
        raise UsageError(
            "Amazon reads a table from S3: give --bucket, one of the region, or set "
            f"{BUCKET_VARIABLE}. A list, with a phrase a line, needs none."
        )
    home = open_bucket(bucket)
    key = TABLE_KEY.format(name=name)
    with explained(bucket):
        home.client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="text/plain")
    return f"s3://{bucket}/{key}"


def _await(printer: Printer, account: Vocabularies, name: str) -> StoredVocabulary:
    """Return a vocabulary when it is no longer PENDING, or patience has ended."""
    printer.print_note(
        f"{name} is PENDING. Waiting up to {PATIENCE_SECONDS / 60:g} minutes; Ctrl-C leaves it to "
        "Amazon, and `vocabulary status` shows what becomes of it."
    )
    lines = 1
    for found, waited in account.poll(name):
        stored = found
        if found.state == "PENDING" and waited >= lines * _LINE_SECONDS:
            printer.print_note(f"Still PENDING after {waited / 60:.0f} min.")
            lines += 1
    return stored


def _print_stored(printer: Printer, stored: StoredVocabulary) -> None:
    printer.print_result(stored.line())
    printer.print_event("vocabulary", **stored.fields())
