"""What all handlers take from their environment: settings, and clients of AWS."""

from __future__ import annotations

from typing import Annotated, Any, Final

import botocore.session
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from transcripts.functions import DEFAULT_NAMESPACE

#: Of one process. botocore alone: boto3 would bring S3's transfer manager, a quarter of the cold
#: start.
_SESSION: Final = botocore.session.get_session()

QueueUrl = Annotated[str, Field(pattern=r"^https?://")]


class Settings(BaseModel):
    """A function's environment variables; no error quotes them, for they hold the credentials."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    namespace: Annotated[str, Field(alias="POWERTOOLS_METRICS_NAMESPACE")] = DEFAULT_NAMESPACE


def connect(
    service: str,
    *,
    connect_seconds: int,
    read_seconds: int,
    attempts: int,
    connections: int = 10,
    **options: Any,
) -> Any:
    """Return a client of a service of AWS with these timeouts and this many attempts.

    `options` are further ones of botocore's `Config`.
    """
    return _SESSION.create_client(
        service,
        config=Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": attempts},
            **options,
        ),
    )
