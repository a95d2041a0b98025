"""The function that EventBridge invokes when a chunk's transcript was written.

For the time being it counts them; with issue 5 it writes the session's transcript when the
last chunk is there. Environment: `RECORDINGS_BUCKET`.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field

from lambdas.session_combiner.decide import RefusedEvent, chunk_of

SERVICE = "session_combiner"


class Settings(BaseModel):
    """The function's environment variables."""

    # An error must not quote the environment, which holds the credentials.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    bucket: Annotated[str, Field(alias="RECORDINGS_BUCKET", min_length=3)]
    namespace: Annotated[str, Field(alias="POWERTOOLS_METRICS_NAMESPACE")] = "Cloudscribe"


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
logger = Logger(service=SERVICE)
metrics = Metrics(namespace=settings.namespace, service=SERVICE)


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Take note of a chunk that was transcribed.

    Raises:
        RefusedEvent: the event is about no chunk of ours.
    """
    about = {"event_id": event.get("id")}
    try:
        chunk = chunk_of(event, settings.bucket)
    except RefusedEvent as refusal:
        metrics.add_metric(name="EventsRefused", unit=MetricUnit.Count, value=1)
        logger.error("event refused: %s", refusal, extra=about)  # noqa: TRY400 - our own decision, without a stack trace
        raise
    metrics.add_metric(name="ChunksTranscribed", unit=MetricUnit.Count, value=1)
    logger.info(
        "chunk transcribed",
        extra=about
        | {
            "user_id": chunk.session.user_id,
            "session_id": chunk.session.session_id,
            "chunk": chunk.name,
        },
    )
