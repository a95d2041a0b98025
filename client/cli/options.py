"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from client.aws import DEMO_HINT
from client.cli.running import EXIT_CODES
from client.live.endpoints import URL_VARIABLE
from client.recordings.bucket import BUCKET_VARIABLE

EPILOG = f"{DEMO_HINT}. {EXIT_CODES}"

BucketName = Annotated[
    str | None,
    typer.Option(
        "--bucket",
        envvar=BUCKET_VARIABLE,
        help="The bucket of recordings, reached with AWS's usual credentials and region.",
    ),
]
SiteUrl = Annotated[
    str,
    typer.Option(
        "--url",
        envvar=URL_VARIABLE,
        help="URL of a site with accounts, for your own recordings there; without --bucket.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON, one object a line.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until there is a transcript.")]
