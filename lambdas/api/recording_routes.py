"""The routes of recordings; see `lambdas.api.routes`."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from access.messages import (
    ROOT,
    NewRecording,
    PartAddresses,
    Recording,
    RecordingPage,
    StartedUpload,
    TranscriptAddress,
    TranscriptKind,
    WantedParts,
)
from access.records import RecordingId
from lambdas.api.identity import Identity
from lambdas.api.recordings import Recordings

_NO_CONTENT: Final = HTTPStatus.NO_CONTENT.value
_ALL: Final = f"{ROOT}/recordings"
_ONE: Final = f"{_ALL}/<recording_id>"

#: The time and the id of the last recording. A longer one is no key of DynamoDB.
Cursor = Annotated[str | None, Query(max_length=200)]
Id = Annotated[RecordingId, Path()]
Format = Annotated[TranscriptKind, Query(alias="format")]


def add_recordings(
    app: APIGatewayHttpResolver, caller: Callable[[], Identity], recordings: Recordings
) -> None:
    """Add the routes; `caller` returns who sends the present request."""

    @app.get(_ALL)
    def list_recordings(cursor: Cursor = None) -> RecordingPage:
        return recordings.list_page(caller(), cursor)

    @app.post(_ALL, status_code=HTTPStatus.CREATED.value)
    def create_recording(wanted: NewRecording) -> StartedUpload:
        return recordings.create(caller(), wanted)

    @app.get(_ONE)
    def get_recording(recording_id: Id) -> Recording:
        return recordings.get(caller(), recording_id)

    @app.delete(_ONE, status_code=_NO_CONTENT)
    def abort_upload(recording_id: Id) -> Response[None]:
        recordings.abort(caller(), recording_id)
        return Response(_NO_CONTENT)

    @app.post(f"{_ONE}/parts")
    def sign_parts(recording_id: Id, wanted: WantedParts) -> PartAddresses:
        return recordings.sign_parts(caller(), recording_id, wanted)

    @app.post(f"{_ONE}/complete")
    def complete_upload(recording_id: Id) -> Recording:
        return recordings.complete(caller(), recording_id)

    @app.get(f"{_ONE}/transcript")
    def sign_transcript(recording_id: Id, kind: Format = "json") -> TranscriptAddress:
        return recordings.sign_transcript(caller(), recording_id, kind)
