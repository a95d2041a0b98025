"""The interface of a recogniser: it turns the audio of a stream into results of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from transcribe_endpoint.errors import ServiceError
from transcribe_endpoint.requests import TranscribeRequest


class ResultHandler(Protocol):
    """The callbacks of one stream's recognition, on the event loop."""

    def on_result(self, result: Mapping[str, Any]) -> None:
        """Handle a Result of the service, partial or final."""

    def on_end(self) -> None:
        """Handle the end of the recognition, after the last result."""

    def on_failure(self, error: ServiceError) -> None:
        """Handle a failure of the recognition; no callback follows."""


class StreamRecognition(Protocol):
    """The recognition of one stream of the service; takes PCM of `request.sample_rate`."""

    def audio(self, pcm: bytes) -> None:
        """Take audio: whole frames, at least one. Never blocks."""

    def end(self) -> None:
        """End the audio; `on_end` follows after the last result."""

    def close(self) -> None:
        """Stop, also in the middle. No callback follows. May be called twice."""


class Recogniser(Protocol):
    """Opens recognitions."""

    def recognise(self, request: TranscribeRequest, handler: ResultHandler) -> StreamRecognition:
        """Begin to recognise a stream; call `handler` later, never within this call."""
