"""Connect to AWS, and explain its errors.

Credentials, region and endpoint come from AWS's usual chain: the environment, profiles, roles. This
module does not know whether the AWS is on this machine: `make demo` writes a file for shells
(`ENVIRONMENT_FILE`) that sets `AWS_ENDPOINT_URL`, credentials and names.

`explained` turns errors of botocore into those of `client.errors`, with advice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ClientError as AwsError
from botocore.exceptions import ConnectionError as AwsConnectionError

from client.errors import AccessRefused, ClientError, NoStorage, UsageError
from transcripts.recordings.objects import Contended

#: The file that `make demo` writes for shells: its names, endpoint and credentials.
ENVIRONMENT_FILE: Final = ".local/aws.env"
#: Advice if no bucket or table is named.
DEMO_HINT: Final = (
    f"For the demo on this machine: source {ENVIRONMENT_FILE}, which exists while the demo runs"
)

#: Timeouts, seconds: for a connection, and for an answer.
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


@dataclass(frozen=True, slots=True)
class AwsResource:
    """A bucket, a table or a vocabulary, as messages name it."""

    kind: Literal["bucket", "table", "vocabulary", "vocabulary filter"]
    name: str
    #: The environment variable that names it.
    variable: str
    #: Which rights are needed, as a sentence.
    rights: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


#: What refusals mean, and what to do; the codes are those of the API references of S3 and DynamoDB,
#: and of HEAD requests, which have no more than a status.
_REFUSALS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("NoSuchBucket", "ResourceNotFoundException"),
        "There is no {resource} ({reason}). Is it written as in {variable} of the environment, and "
        f"in this account and region? {DEMO_HINT}",
    ),
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        "AWS does not take the credentials ({reason}): they have expired, or are another AWS's. "
        f"Log in again. {DEMO_HINT}",
    ),
    **dict.fromkeys(
        ("RequestTimeTooSkewed", "RequestExpired"),
        "AWS refuses the time of this machine ({reason}): set its clock.",
    ),
    **dict.fromkeys(
        ("403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled"),
        "Access to the {resource} is denied ({reason}). {rights}",
    ),
}
_BUSY: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "SlowDown",
        "ThrottlingException",
    }
)
#: At or above this an answer is a failure of AWS itself.
_SERVER_ERROR = 500


def connect(service: Literal["s3", "dynamodb", "transcribe"], region: str | None = None) -> Any:
    """Return a client of an AWS service; `region` overrides the configured one.

    Raises:
        UsageError: AWS_ENDPOINT_URL is no URL.
        BotoCoreError: credentials, profile or region cannot be used; see `explained`.
    """
    import boto3  # noqa: PLC0415 - a sixth of a second that commands for captions need not wait

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    try:
        return boto3.Session().client(service, region_name=region, config=config)
    except ValueError as error:  # of botocore, about AWS_ENDPOINT_URL
        raise UsageError(f"AWS cannot be used as it is configured: {error}") from error


@contextlib.contextmanager
def explained(resource: AwsResource) -> Iterator[None]:
    """Turn refusals of AWS, and failures to reach it, into errors of the client.

    Raises:
        UsageError, AccessRefused, NoStorage: see `client.errors`.
    """
    try:
        yield
    except (BotoCoreError, AwsError, Contended) as error:
        raise explanation(error, resource) from error


def explanation(error: Exception, resource: AwsResource) -> ClientError:
    """Convert an error of AWS to a `ClientError` with advice. Quotes no credentials."""
    if isinstance(error, AwsError):
        return _refusal(error, resource)
    if isinstance(error, _CREDENTIALS):
        return AccessRefused(
            f"There are no credentials for AWS that can be used: {_sentence(error)} Log in, for "
            f"example by `aws sso login`, or choose a profile by AWS_PROFILE. {DEMO_HINT}"
        )
    if isinstance(error, NoRegionError | InvalidRegionError):
        return UsageError(
            f"{_sentence(error)} Set AWS_DEFAULT_REGION, or a region in the profile. {DEMO_HINT}"
        )
    if isinstance(error, ParamValidationError):
        return UsageError(f"{resource.name!r} is not the name of a {resource.kind}.")
    if isinstance(error, HTTPClientError | AwsConnectionError):
        return NoStorage(
            f"The {resource} cannot be reached: {_sentence(error)} Is there a connection, and does "
            f"AWS_ENDPOINT_URL, if it is set, lead to something that runs? {DEMO_HINT}"
        )
    return NoStorage(f"The {resource} cannot be used: {_sentence(error)}")


def _refusal(error: AwsError, resource: AwsResource) -> ClientError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    reason = f"{code}, {error.operation_name}"
    if code in _REFUSALS:
        words = {"resource": resource, "variable": resource.variable, "rights": resource.rights}
        return AccessRefused(_REFUSALS[code].format(reason=reason, **words))
    if code in {"InvalidBucketName", "ValidationException"}:
        return UsageError(f"{resource.name!r} is not the name of a {resource.kind}.")
    if status >= _SERVER_ERROR or code in _BUSY:
        return NoStorage(f"The {resource} fails at the moment ({reason}); try again later.")
    return AccessRefused(f"The {resource} refuses this: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
