"""The bucket of recordings: found by its name, reached as every AWS tool reaches it.

Credentials, region and endpoint are those of AWS's usual chain: the environment, profiles, roles.
Nothing here asks whether the bucket is on this machine: `make demo` writes a file that sets
`AWS_ENDPOINT_URL`, credentials and `RECORDINGS_BUCKET`, and a shell reads it (`ENVIRONMENT_FILE`).

What botocore raises becomes one of `client.errors` in `explained`, with what to do about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ClientError as AwsError
from botocore.exceptions import ConnectionError as AwsConnectionError

from client.errors import AccessRefused, ClientError, NoBucket, UsageError
from transcripts.bucket import Contended, Recordings
from transcripts.recordings import UPLOADS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The environment variable that names the bucket.
BUCKET_VARIABLE: Final = "RECORDINGS_BUCKET"
#: What `make demo` writes, for shells: its bucket, endpoint and credentials.
ENVIRONMENT_FILE: Final = ".local/aws.env"
#: What to do where nobody knows which AWS is meant.
DEMO_HINT: Final = f"For the demo on this machine: source {ENVIRONMENT_FILE}"

#: Patience, seconds: with a connection, and with an answer.
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60
_ATTEMPTS: Final = 4

_CREDENTIALS = (
    ConfigParseError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
#: What S3's refusals mean, and what to do; the codes are those of its API reference, and of HEAD
#: requests, which have no more than a status.
_REFUSALS: Final[Mapping[str, str]] = {
    "NoSuchBucket": f"There is no bucket {{bucket}} ({{told}}). Is it written as in "
    f"{BUCKET_VARIABLE} of the environment, and in this account? {DEMO_HINT}",
    **dict.fromkeys(
        ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
        "AWS does not take the credentials ({told}): they have expired, or are another AWS's. "
        f"Log in again. {DEMO_HINT}",
    ),
    **dict.fromkeys(
        ("RequestTimeTooSkewed", "RequestExpired"),
        "AWS refuses the time of this machine ({told}): set its clock.",
    ),
    **dict.fromkeys(
        ("403", "AccessDenied", "AllAccessDisabled"),
        "Access to the bucket {bucket} is denied ({told}). Needed are s3:GetObject and "
        "s3:PutObject on what is in it, and s3:ListBucket on itself; s3:DeleteObject to have "
        "tried again what failed (--force).",
    ),
}
#: At or above this an answer is a failure of S3 itself.
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that answers: its name, its documents, and the client for everything else."""

    name: str
    client: S3Client
    recordings: Recordings


def open_bucket(name: str | None) -> Bucket:
    """Return the bucket of this name, after it has answered once.

    A listing is asked for, since every command needs that right, and since the answer to a HEAD
    does not tell a bucket that is not there from a recording that is not.

    Raises:
        UsageError: no bucket is named, or by a name that no bucket has.
        AccessRefused: AWS does not let one in, or there is no such bucket.
        NoBucket: nobody answers.
    """
    if not name:
        raise UsageError(
            f"No bucket is named: give --bucket, or set {BUCKET_VARIABLE}. {DEMO_HINT}"
        )
    import boto3  # noqa: PLC0415 - a sixth of a second that commands for captions need not wait

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    with explained(name):
        try:
            client = boto3.Session().client("s3", config=config)
        except ValueError as error:  # of botocore, about AWS_ENDPOINT_URL
            raise UsageError(f"AWS cannot be used as it is configured: {error}") from error
        client.list_objects_v2(Bucket=name, Prefix=UPLOADS, MaxKeys=1)
    return Bucket(name, client, Recordings(name, client))


@contextlib.contextmanager
def explained(bucket: str) -> Iterator[None]:
    """Turn what AWS refuses, and what is in the way to it, into errors of the client.

    Raises:
        UsageError, AccessRefused, NoBucket: see `client.errors`.
    """
    try:
        yield
    except (BotoCoreError, AwsError, Contended) as error:
        raise explanation(error, bucket) from error


def explanation(error: Exception, bucket: str) -> ClientError:
    """Return an error of AWS as one of the client, with what to do. Quotes no credentials."""
    if isinstance(error, AwsError):
        return _refusal(error, bucket)
    if isinstance(error, _CREDENTIALS):
        return AccessRefused(
            f"There are no credentials for AWS that can be used: {_sentence(error)} Log in, for "
            f"example by `aws sso login`, or choose a profile by AWS_PROFILE. {DEMO_HINT}"
        )
    if isinstance(error, ParamValidationError):
        return UsageError(f"{bucket!r} is not the name of a bucket.")
    if isinstance(error, HTTPClientError | AwsConnectionError):
        return NoBucket(
            f"The bucket {bucket} cannot be reached: {_sentence(error)} Is there a connection, and "
            f"does AWS_ENDPOINT_URL, if it is set, lead to something that runs? {DEMO_HINT}"
        )
    return NoBucket(f"The bucket {bucket} cannot be used: {_sentence(error)}")


def _refusal(error: AwsError, bucket: str) -> ClientError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = f"{code}, {error.operation_name}"
    if code in _REFUSALS:
        return AccessRefused(_REFUSALS[code].format(bucket=bucket, told=told))
    if code == "InvalidBucketName":
        return UsageError(f"{bucket!r} is not the name of a bucket.")
    if status >= _SERVER_ERROR or code in {"SlowDown", "RequestTimeout"}:
        return NoBucket(f"The storage of {bucket} fails at the moment ({told}); try again later.")
    return AccessRefused(f"The bucket {bucket} refuses this: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
