"""The function that EventBridge invokes for an upload, or for a request for a transcript.

`lambdas.router.decide` decides whether the server transcribes a recording at once, whether it
becomes a job in the queue, or whether it is skipped because its state is final. Duplicates do no
harm: a transcript is written once, by whoever is first, and later ones find it. So there is no lock
here, and duplicate events at the same time may both reach the server.

An event that no retry can help goes to the undelivered events at once. A bucket or a queue
that cannot be reached is an error of the invocation: Lambda tries twice more, and what fails still
ends there as well. Nothing is dropped. Environment: `JOBS_QUEUE_URL`, `RECORDINGS_BUCKET`,
`UNDELIVERED_QUEUE_URL`; where there is a server `GPU_URL` and the secret that it asks for,
`AUTH_TOKEN`; where machines are started for what is queued `WAKE_QUEUE_URL`, a FIFO queue; optional
what is assumed of the server, `SERVER_SPEED` and `BYTES_PER_SECOND` (see
`lambdas.router.decide.TranscriptionPace`).
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Annotated, Any, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field, SecretStr

from lambdas import environment
from lambdas.environment import QueueUrl, connect
from lambdas.events import RefusedEvent, event_id
from lambdas.router.bucket import BucketLookup
from lambdas.router.decide import (
    BYTES_PER_SECOND,
    Enqueue,
    Reason,
    Skip,
    Transcribed,
    TranscriptionPace,
)
from lambdas.router.request import parse_request
from lambdas.router.route import InvocationClock, RecordingRouter, RouteResult
from lambdas.router.server import GpuServerClient
from lambdas.undelivered import Undelivered
from transcripts.functions import (
    EVENTS_REFUSED,
    RECORDINGS_QUEUED,
    RECORDINGS_TRANSCRIBED,
    ROUTER,
)
from transcripts.recordings.machines import ASSUMED_SPEED
from transcripts.recordings.objects import Objects
from transcripts.recordings.status import RecordingState

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from transcripts.recordings.keys import TranscriptionJob

#: Of all wakes within so many seconds SQS keeps one.
WAKE_SECONDS = 15


class Settings(environment.Settings):
    """The function's environment variables."""

    jobs_queue_url: Annotated[QueueUrl, Field(alias="JOBS_QUEUE_URL")]
    undelivered_queue_url: Annotated[QueueUrl, Field(alias="UNDELIVERED_QUEUE_URL")]
    bucket: Annotated[str, Field(alias="RECORDINGS_BUCKET", min_length=3)]
    wake_queue_url: Annotated[QueueUrl | None, Field(alias="WAKE_QUEUE_URL")] = None
    server_url: Annotated[str | None, Field(alias="GPU_URL", pattern=r"^https?://")] = None
    token: Annotated[SecretStr | None, Field(alias="AUTH_TOKEN", min_length=16)] = None
    speed: Annotated[float, Field(alias="SERVER_SPEED", gt=0)] = ASSUMED_SPEED
    bytes_per_second: Annotated[float, Field(alias="BYTES_PER_SECOND", gt=0)] = BYTES_PER_SECOND

    def create_client(self) -> GpuServerClient | None:
        """Return a client of the GPU server; None if the environment has no server."""
        if self.server_url is None:
            return None
        return GpuServerClient(
            self.server_url, self.token.get_secret_value() if self.token else None
        )


def _client(name: str) -> Any:
    # At their slowest both looks at the bucket, before the recording is queued, the queue itself
    # and a wake take less than `lambdas.router.decide.RESERVE`: 4 times 7 s, with the pause of a
    # second between two attempts.
    return connect(name, connect_seconds=1, read_seconds=2, attempts=2)


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
logger = Logger(service=ROUTER)
metrics = Metrics(namespace=settings.namespace, service=ROUTER)
sqs = cast("SQSClient", _client("sqs"))
undelivered = Undelivered(sqs, settings.undelivered_queue_url)
s3 = cast("S3Client", _client("s3"))


def _send(job: TranscriptionJob) -> None:
    sqs.send_message(
        QueueUrl=settings.jobs_queue_url, MessageBody=job.model_dump_json(by_alias=True)
    )
    if settings.wake_queue_url is not None:
        _wake(settings.wake_queue_url)


def _wake(queue_url: str) -> None:
    """Wake the batch worker; if that fails, it looks by itself within a minute."""
    try:
        sqs.send_message(
            QueueUrl=queue_url,
            MessageBody="{}",
            MessageGroupId="wake",
            MessageDeduplicationId=str(int(time.time()) // WAKE_SECONDS),
        )
    except (BotoCoreError, ClientError) as error:
        logger.warning("batch worker not woken: %s", type(error).__name__)


router = RecordingRouter(
    recordings=BucketLookup(Objects(settings.bucket, s3)),
    server=settings.create_client(),
    queue=_send,
    pace=TranscriptionPace(bytes_per_second=settings.bytes_per_second, speed=settings.speed),
)

#: A wrong secret or address: no recording is lost, but each takes the slow way.
_SETTINGS_ARE_WRONG = frozenset({Reason.SERVER_REFUSES})


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Have the recording that an event is about transcribed, or put it on the queue.

    Raises:
        Exception: bucket or queue cannot be reached; the event should be tried again.
    """
    about = {"event_id": event_id(event)}
    try:
        request = parse_request(event, settings.bucket)
    except RefusedEvent as refusal:
        metrics.add_metric(name=EVENTS_REFUSED, unit=MetricUnit.Count, value=1)
        logger.warning("event refused: %s: %s", type(refusal).__name__, refusal, extra=about)
        undelivered.keep(event, refusal, context)
        return
    if request is None:
        metrics.add_metric(name="FoldersIgnored", unit=MetricUnit.Count, value=1)
        logger.info("folder ignored", extra=about)
        return
    clock = InvocationClock(
        left=lambda: context.get_remaining_time_in_millis() / 1000,
        sleep=time.sleep,
        jitter=random.random,
    )
    begin = time.monotonic()
    try:
        report = router.route(request, clock)
    except Exception:
        metrics.add_metric(name="EventsFailed", unit=MetricUnit.Count, value=1)
        raise
    _record(report, about | {"size": request.job.size, "seconds": time.monotonic() - begin})


def _record(report: RouteResult, about: dict[str, Any]) -> None:
    """Count and log the result for a recording, without its name, which may be private."""
    about = about | {"attempts": report.attempts}
    match report.end:
        case Transcribed() | Skip(state=RecordingState.TRANSCRIBED) if report.attempts:
            _count(RECORDINGS_TRANSCRIBED)
            logger.info("recording transcribed", extra=about)
        case Enqueue(reason=reason):
            _count(RECORDINGS_QUEUED)
            write = logger.warning if reason in _SETTINGS_ARE_WRONG else logger.info
            write("recording queued", extra=about | {"reason": reason})
        case Skip() if report.attempts:
            _count("RecordingsFailed")
            logger.info("recording cannot be transcribed", extra=about)
        case Skip(state=state):
            _count("RecordingsSkipped")
            logger.info("recording skipped", extra=about | {"outcome": state})


def _count(name: str) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
