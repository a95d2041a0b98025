"""The HTTP API. `/docs` describes it for people, `/openapi.json` for programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from foundation.invalid import explain
from gpu_server.host.warmth import Warmth
from gpu_server.http.access import Authenticator
from gpu_server.http.admission import AdmissionMiddleware, problem_response
from gpu_server.http.download import Downloader
from gpu_server.http.transfers import Transfers
from gpu_server.http.uploads import FILE, receive_form
from gpu_server.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    Problem,
    ProblemDocument,
    RefusedPlace,
    to_problem,
)
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import RecordingTranscriber, to_job
from gpu_server.work.spool import Spool
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import Stopped, TranscriberError
from transcripts.documents import AudioTrack, FailureCode, Segment
from transcripts.models import InWords, Language, Model, Seconds, Timestamp
from transcripts.recordings.keys import MAX_KEY_BYTES

T = TypeVar("T")

log = structlog.get_logger(__name__)

UPLOAD: Final = "/transcribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that the API needs. `recordings` is None where no bucket is configured."""

    authenticator: Authenticator
    inference: Inference
    spool: Spool
    downloader: Downloader
    recordings: RecordingTranscriber | None
    warmth: Warmth
    metrics: Metrics
    uploads: Transfers
    downloads: Transfers
    max_seconds: float
    #: The most requests at a time.
    requests: int
    #: Time for the body of a request that uploads nothing.
    body_seconds: float
    started: float = field(default_factory=time.monotonic)


class TranscriptionRequest(Model):
    """The options of every transcription."""

    model_config = ConfigDict(alias_generator=None, extra="forbid")

    language: Annotated[
        Language | None,
        Field(description="BCP 47, e.g. `en-US`; without it the server's, or it is detected"),
    ] = None
    diarize: Annotated[
        bool | None,
        Field(description="tell speakers apart; without it: where the server is set up for it"),
    ] = None


class S3Request(TranscriptionRequest):
    """A recording in S3."""

    s3_input_path: Annotated[
        str,
        Field(
            pattern=r"^s3://[^/]+/.+", max_length=MAX_KEY_BYTES + 100, description="s3://BUCKET/KEY"
        ),
        InWords("s3://BUCKET/KEY"),
    ]
    s3_output_path: Annotated[
        str | None,
        Field(
            pattern=r"^s3://[^/]+/.+\.json$",
            max_length=MAX_KEY_BYTES + 100,
            description="where to put the transcript; without it: beside the recording's others, "
            "as docs/transcripts.md lays down",
        ),
        InWords("s3://BUCKET/KEY, with a key that ends in .json"),
    ] = None
    return_text: Annotated[bool, Field(description="return what was said as well")] = False


class UrlRequest(TranscriptionRequest):
    """A recording at a public address."""

    audio_url: Annotated[
        str,
        Field(min_length=1, max_length=4096, description="http or https, public addresses only"),
    ]


class WarmupRequest(Model):
    """How long to stay up."""

    until: Annotated[AwareDatetime, Field(description="ISO 8601 with a time zone; a day at most")]


class TranscriptAnswer(Model):
    """A transcript. Times are seconds from the start of the recording."""

    text: Annotated[str, Field(description="all of it, a segment to a line")]
    language: Language
    duration: Annotated[Seconds, Field(description="of the audio as it was decoded")]
    engine: Annotated[str, Field(description="who recognised it")]
    audio_track: Annotated[
        AudioTrack | None, Field(description="which audio track of how many was transcribed")
    ] = None
    segments: tuple[Segment, ...]


class S3Answer(Model):
    """The transcript is stored."""

    s3_output_path: Annotated[str, Field(description="s3://BUCKET/KEY", alias="s3_output_path")]
    already_transcribed: Annotated[
        bool, Field(description="it was there before; nothing was computed")
    ]
    duration: Seconds | None = None
    language: Language | None = None
    engine: str | None = None
    text: str | None = None


class QueueState(Model):
    """The queue in front of the model."""

    waiting: int
    running: int
    limit: Annotated[int, Field(description="so many may wait")]


class HealthAnswer(Model):
    """The state of the server."""

    status: Literal["ok", "loading", "restarting", "stopping"]
    ready: bool
    engine: str | None
    model: str | None
    device: str | None
    queue: QueueState
    uptime: Annotated[float, Field(description="seconds")]
    idle: Annotated[float, Field(description="seconds since there was any work")]
    warm_until: Timestamp | None


class WarmupAnswer(Model):
    """Until when the server stays up."""

    until: Timestamp


def _problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "The request is malformed",
        401: "The secret is missing or wrong",
        403: "Not for this server: a bucket, a key, or a web page behind the request",
        408: "The request, or the recording, arrives too slowly or not at all",
        409: "Another transcript is being made for the same place",
        422: "No retry helps; `code` says why: " + ", ".join(FailureCode),
        502: "The other side of the URL does not deliver",
        503: "The queue is full, or too many requests are in work; the model is being loaded or "
        "has failed; or the server is shutting down. `Retry-After` says when to try again",
        507: "The disk has no room for the recording",
    }
    schema = {"schema": ProblemDocument.model_json_schema()}
    return {
        status: {"description": meanings[status], "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {
                        FILE: {
                            "type": "string",
                            "format": "binary",
                            "description": "the recording, of any common audio or video format",
                        },
                        "language": {"type": "string", "description": "BCP 47, e.g. `en-US`"},
                        "diarize": {"type": "boolean", "description": "tell speakers apart"},
                    },
                }
            }
        },
    }
}

_ABOUT = """Recordings to text, with the times of segments and words.

Every route but `/health`, `/metrics` and this page wants `Authorization: Bearer SECRET` where a
secret is configured. Recordings are transcribed one after the other; there is one queue, and
beyond its bound the answer is 503 with `Retry-After`.

Errors are problem documents (RFC 9457) with a `code`, a `message` and whether the same request may
succeed later (`retryable`)."""


def create_application(parts: Parts) -> AdmissionMiddleware:
    """Create the ASGI application."""
    app = FastAPI(
        title="Cloudscribe: recordings",
        version="1",
        description=_ABOUT,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    _handle_errors(app)
    _add_transcriptions(app, parts)
    _add_state(app, parts)
    routes = frozenset(
        path for route in app.routes if isinstance(path := getattr(route, "path", None), str)
    )
    return AdmissionMiddleware(
        app,
        authenticator=parts.authenticator,
        metrics=parts.metrics,
        routes=routes,
        uploads=UPLOAD,
        requests=parts.requests,
        body_seconds=parts.body_seconds,
    )


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def _problem(_request: Request, problem: Problem) -> Response:
        return problem_response(problem)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it, but the metrics count it

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        details = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # without "body"
        return problem_response(InvalidRequest(explain(details, whole="body")))

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        problem = InvalidRequest(str(error.detail))
        problem.status = error.status_code
        return problem_response(problem)

    @app.exception_handler(Exception)
    async def _defect(_request: Request, _error: Exception) -> Response:
        return problem_response(Problem("The server has a defect; its log has the details."))


def _add_transcriptions(app: FastAPI, parts: Parts) -> None:
    @app.post(
        UPLOAD,
        response_model=TranscriptAnswer,
        responses=_problem_responses(400, 401, 408, 422, 503, 507),
        openapi_extra=_FORM,
        tags=["transcriptions"],
        summary="Transcribe an uploaded file",
    )
    async def transcribe(request: Request) -> Response:
        """Upload a recording as a form; the answer has the transcript. Nothing is stored.

        While the queue is full, or too many upload, the answer is 503 before the body is read: with
        `Expect: 100-continue` it need not be sent. An upload that is complete is not refused.
        """
        with parts.inference.receive_recording() as incoming, parts.spool.create_file() as file:
            with parts.uploads.admit(_caller(request)) as upload:
                fields = await receive_form(request.headers, request.stream(), file, upload)
                asked = _parse_fields(fields)
                place = await _while_connected(request, incoming.take_place())
            return _answer(
                await _while_connected(request, place.transcribe(file.path, _options(parts, asked)))
            )

    @app.post(
        "/transcribe-s3",
        response_model=S3Answer,
        response_model_exclude_none=True,
        responses=_problem_responses(400, 401, 403, 408, 409, 422, 503, 507),
        tags=["transcriptions"],
        summary="Transcribe a recording in S3 and store the transcript",
    )
    async def transcribe_s3(request: Request, body: S3Request) -> S3Answer:
        """Repeat the request as often as you like.

        A transcript that exists is the answer, and callers that ask while it is being made wait for
        the same work. A request for another transcript in the same place is refused meanwhile
        (409). Where no transcript can be made, the reason is stored in its place.
        """
        if parts.recordings is None:
            raise RefusedPlace("No bucket is configured.")
        bucket, key = _s3_path(body.s3_input_path)
        output = None
        if body.s3_output_path is not None:
            into, output = _s3_path(body.s3_output_path)
            if into != bucket:
                raise RefusedPlace("A transcript goes into the bucket of its recording.")
        parts.recordings.check_bucket(bucket)
        job = to_job(
            bucket, key, transcript_key=output, language=body.language, diarize=body.diarize
        )
        outcome = await _while_connected(request, parts.recordings.transcribe(job))
        transcript = outcome.transcript
        if transcript is None and body.return_text:
            transcript = await parts.recordings.stored(job)
        return S3Answer(
            s3_output_path=f"s3://{bucket}/{outcome.transcript_key}",
            already_transcribed=outcome.already,
            duration=transcript and transcript.duration,
            language=transcript and transcript.language,
            engine=transcript and transcript.engine,
            text=transcript.text if transcript and body.return_text else None,
        )

    @app.post(
        "/transcribe-url",
        response_model=TranscriptAnswer,
        responses=_problem_responses(400, 401, 408, 422, 502, 503, 507),
        tags=["transcriptions"],
        summary="Transcribe a recording at a public URL",
    )
    async def transcribe_url(request: Request, body: UrlRequest) -> Response:
        """Let the server fetch a recording, from public addresses only, also after redirects.

        Nothing is stored.
        """
        with parts.inference.receive_recording() as incoming, parts.spool.create_file() as file:

            async def fetched() -> Transcription:
                with parts.downloads.admit(_caller(request)) as download:
                    await parts.downloader.fetch(body.audio_url, file, download)
                    place = await incoming.take_place()
                return await place.transcribe(file.path, _options(parts, body))

            return _answer(await _while_connected(request, fetched()))


def _add_state(app: FastAPI, parts: Parts) -> None:
    @app.get(
        "/health",
        response_model=HealthAnswer,
        responses={
            503: {"model": HealthAnswer, "description": "There is no model ready for a job"}
        },
        tags=["state"],
        summary="The state of the server",
    )
    async def health() -> Response:
        """Answer 200 while a model is loaded, even if all slots are busy; otherwise 503."""
        state = _health(parts)
        return Response(
            state.model_dump_json(by_alias=True),
            status_code=200 if state.ready else 503,
            media_type="application/json",
        )

    @app.get("/metrics", tags=["state"], summary="Metrics for Prometheus")
    async def metrics() -> Response:
        """Return counts and durations, and nothing of the recordings."""
        gauges, inference = parts.metrics, parts.inference
        gauges.waiting.set(inference.waiting)
        gauges.running.set(inference.running)
        gauges.ready.set(inference.is_ready)
        gauges.idle.set(inference.idle_seconds)
        return Response(generate_latest(gauges.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post(
        "/warmup",
        response_model=WarmupAnswer,
        responses=_problem_responses(400, 401, 408),
        tags=["state"],
        summary="Keep the server up for a while",
    )
    async def warmup(body: WarmupRequest) -> WarmupAnswer:
        """Until then the server does not exit when it is idle.

        The answer says until when it stays up, which is later if somebody else asked for that.
        """
        return WarmupAnswer(until=parts.warmth.keep_until(body.until))


def _health(parts: Parts) -> HealthAnswer:
    inference = parts.inference
    model = inference.model
    status: Literal["ok", "loading", "restarting", "stopping"] = "ok"
    if inference.is_stopping:
        status = "stopping"
    elif not inference.is_ready:
        status = "restarting" if model else "loading"
    return HealthAnswer(
        status=status,
        ready=inference.is_ready,
        engine=model and model.engine,
        model=model and model.model,
        device=model and model.device,
        queue=QueueState(
            waiting=inference.waiting, running=inference.running, limit=inference.limit
        ),
        uptime=round(time.monotonic() - parts.started, 3),
        idle=round(inference.idle_seconds, 3),
        warm_until=parts.warmth.until,
    )


def _parse_fields(fields: dict[str, str]) -> TranscriptionRequest:
    """Parse the fields of a form.

    Raises:
        InvalidRequest: a field is unknown, or its value invalid.
    """
    try:
        return TranscriptionRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None


def _options(parts: Parts, asked: TranscriptionRequest) -> TranscriptionOptions:
    return TranscriptionOptions(
        language=asked.language, diarize=asked.diarize, max_seconds=parts.max_seconds
    )


def _answer(transcription: Transcription) -> Response:
    answer = TranscriptAnswer(
        text=transcription.text,
        language=transcription.language,
        duration=transcription.duration,
        engine=transcription.engine,
        audio_track=transcription.audio_track,
        segments=transcription.segments,
    )
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")


def _s3_path(path: str) -> tuple[str, str]:
    """Split a validated `s3://` path into bucket and key."""
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return bucket, key


def _caller(request: Request) -> str:
    """Return the caller's address."""
    return request.client.host if request.client is not None else ""


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Await `work`; cancel it when the caller hangs up.

    Raises:
        Problem: for an error of the transcriber.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        return await working
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # there is one
            working.cancel()
            raise
        raise to_problem(Stopped()) from None
    except (TranscriberError, Stopped) as error:
        raise to_problem(error) from error
    finally:
        watching.cancel()


async def _hung_up(request: Request) -> None:
    """Wait until the caller hangs up. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
