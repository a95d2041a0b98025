"""The function behind the page's `/api/app/v1`: an HTTP API of API Gateway invokes it.

It decides nothing by itself: `access.decisions` does. It reads its environment once, at the cold
start: `ACCESS_TABLE`, `ISSUER`, `JWKS_URL`, `TOKEN_KIND`, `AUDIENCES`, `TICKET_KEYS`,
`RECORDINGS_BUCKET`; optional `RECORDING_DAYS`, `GROUPS_CLAIM`, `ADMINISTRATORS`, `USER_POOL_ID`,
`EDGE_SECRET`, `POWERTOOLS_METRICS_NAMESPACE`.
"""

from __future__ import annotations

import functools
import hmac
import os
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, SecretStr

from access.store import AccessTable
from access.tokens import MOST_KEY_BYTES, Issuer, IssuerKeys, TokenVerifier
from lambdas import environment
from lambdas.api.bodies import refuse_body
from lambdas.api.conversations import Conversations
from lambdas.api.identity import Identification
from lambdas.api.people import People
from lambdas.api.problems import ProblemError
from lambdas.api.recordings import Recordings
from lambdas.api.recordings_bucket import SIGNING, RecordingsBucket
from lambdas.api.routes import make_app, problem_response
from lambdas.api.signing import TicketSigner
from lambdas.environment import connect
from transcripts.functions import API, API_REFUSALS

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

#: How long the issuer may take to send its keys, seconds.
KEYS_TIMEOUT = 2.0
#: The header in which CloudFront sends the secret of this origin.
EDGE_HEADER = "x-cloudscribe-edge"


class Settings(environment.Settings):
    """The function's environment variables."""

    table: Annotated[str, Field(alias="ACCESS_TABLE", min_length=3)]
    issuer: Annotated[str, Field(alias="ISSUER", min_length=1)]
    #: Plain HTTP is for the issuer of one machine.
    keys_url: Annotated[
        str, Field(alias="JWKS_URL", pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])")
    ]
    token_kind: Annotated[Literal["cognito", "oidc"], Field(alias="TOKEN_KIND")]
    audiences: Annotated[str, Field(alias="AUDIENCES", min_length=1)]
    ticket_keys: Annotated[str, Field(alias="TICKET_KEYS", pattern=r"^/.*[^/]$")]
    recordings: Annotated[str, Field(alias="RECORDINGS_BUCKET", min_length=3)]
    #: How long the bucket keeps a recording; for ever unless it is given.
    recording_days: Annotated[int | None, Field(alias="RECORDING_DAYS", ge=1)] = None
    groups_claim: Annotated[str, Field(alias="GROUPS_CLAIM")] = "cognito:groups"
    administrators: Annotated[str, Field(alias="ADMINISTRATORS")] = "admins"
    user_pool: Annotated[str | None, Field(alias="USER_POOL_ID")] = None
    edge_secret: Annotated[SecretStr | None, Field(alias="EDGE_SECRET", min_length=32)] = None


def _now() -> datetime:
    return datetime.now(UTC)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it could lead from HTTPS to an address without."""

    def redirect_request(self, *_args: object) -> None:
        """Return no other request; urllib then raises the answer as an error."""


_issuer = urllib.request.build_opener(_NoRedirects)


def _fetch_keys() -> bytes:
    with _issuer.open(settings.keys_url, timeout=KEYS_TIMEOUT) as answer:
        return cast("bytes", answer.read(MOST_KEY_BYTES + 1))


@functools.cache
def _client(name: str) -> Any:
    return connect(name, connect_seconds=1, read_seconds=2, attempts=3)


def _connect_to_pool() -> CognitoIdentityProviderClient:
    return cast("CognitoIdentityProviderClient", _client("cognito-idp"))


@functools.cache
def _connect_to_bucket() -> S3Client:
    # S3 may take seconds to complete an upload, and sends something meanwhile.
    s3 = connect("s3", connect_seconds=1, read_seconds=3, attempts=2, **SIGNING)
    return cast("S3Client", s3)


settings = Settings.model_validate(os.environ)
logger = Logger(service=API)
metrics = Metrics(namespace=settings.namespace, service=API)
table = AccessTable(settings.table, cast("DynamoDBClient", _client("dynamodb")))
app = make_app(
    Identification(
        table,
        TokenVerifier(
            Issuer(
                issuer=settings.issuer,
                audience=frozenset(settings.audiences.split(",")),
                is_cognito=settings.token_kind == "cognito",  # noqa: S105 - a kind, no token
                groups_claim=settings.groups_claim,
                administrators=settings.administrators,
            ),
            IssuerKeys(_fetch_keys, time.monotonic),
        ),
    ),
    Conversations(
        table,
        TicketSigner(cast("SSMClient", _client("ssm")), settings.ticket_keys, table, _now),
        _now,
    ),
    People(
        settings.issuer,
        table,
        _connect_to_pool if settings.user_pool else None,
        settings.user_pool or "",
        settings.administrators,
    ),
    Recordings(
        table,
        RecordingsBucket(settings.recordings, _connect_to_bucket),
        timedelta(days=settings.recording_days) if settings.recording_days else None,
        _now,
    ),
)


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: an event holds credentials
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request of the HTTP API."""
    refusal = _refuse_early(event)
    if refusal is not None:
        answer = problem_response(refusal)
        response: dict[str, Any] = {
            "statusCode": answer.status_code,
            "headers": {**answer.headers, "Content-Type": "application/problem+json"},
            "body": answer.body,
        }
    else:
        response = app.resolve(event, context)
    if response["statusCode"] >= HTTPStatus.BAD_REQUEST:
        metrics.add_metric(name=API_REFUSALS, unit=MetricUnit.Count, value=1)
    return response


def _refuse_early(event: dict[str, Any]) -> ProblemError | None:
    """Refuse what did not come through the edge, and bodies that cannot be read."""
    sent = str(event.get("headers", {}).get(EDGE_HEADER, "")).encode(errors="surrogateescape")
    secret = settings.edge_secret
    if secret is not None and not hmac.compare_digest(sent, secret.get_secret_value().encode()):
        return ProblemError(
            HTTPStatus.FORBIDDEN, "not_the_edge", "This API answers at its page's address only."
        )
    return refuse_body(event)
