"""Reading of files in a local S3, which calls about vocabularies name as `s3://bucket/key`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from speech.vocabularies import MAX_BYTES
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.vocabularies.operations import Fetch

_SCHEME: Final = "s3://"
#: Timeouts for an S3 on this machine, seconds.
_TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})


def s3_at(endpoint: str) -> Fetch:
    """Return a reader of files in the S3 at `endpoint`, with the environment's credentials."""
    client: Any = boto3.client("s3", endpoint_url=endpoint, config=_TIMEOUTS)

    async def fetch(address: str) -> bytes:
        return await asyncio.to_thread(partial(_read, client, address))

    return fetch


def _read(client: Any, address: str) -> bytes:
    """Return a file, cut one byte after the largest size of a vocabulary.

    Raises:
        BadRequest: the address is malformed, or the file cannot be read.
    """
    bucket, _, key = address.removeprefix(_SCHEME).partition("/")
    if not address.startswith(_SCHEME) or not bucket or not key:
        raise BadRequest("This endpoint reads files at s3://BUCKET/KEY only.")
    try:
        found: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read(MAX_BYTES + 1)
    except (BotoCoreError, ClientError, UnicodeError) as error:  # halves of characters in a key
        raise BadRequest(
            "The S3 URI that you provided can't be accessed. Make sure that the file is there and "
            "try your request again."
        ) from error
    return found
