"""The interface between a session and the wire.

Each stream has a `Link` of its own. The link sends audio to the service, and delivers the answers
to its `Receiver` as models of the SDK and exceptions of `errors.py`. So a session is independent of
sockets, and a link of results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from amazon_transcribe.model import Result
from botocore.credentials import ReadOnlyCredentials

from speech.engines.errors import EngineError


class Receiver(Protocol):
    """The callbacks of a link, called on the event loop. They must not raise."""

    def deliver(self, results: Iterable[Result]) -> None:
        """Take the results of one event; empty for an event of another kind."""

    def drained(self) -> None:
        """Take the notice that the waiting bytes were sent."""

    def ended(self) -> None:
        """Take the notice that the service has ended the stream in order."""

    def failed(self, error: EngineError) -> None:
        """Take the error that has ended the stream; no callback follows."""


class Link(Protocol):
    """The connection of one stream: `open` it, send, and finally `close` it."""

    #: Set before `open`.
    receiver: Receiver

    @property
    def request_id(self) -> str | None:
        """The service's id of the request, for its support."""

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        """Open a stream within `seconds`; `parameters` have the service's names.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the stream.
        """

    def send_audio(self, pcm: bytes) -> None:
        """Send an event with audio, which is not empty. Never blocks: the rest waits."""

    def end_audio(self) -> None:
        """End the audio. Nothing is sent after it."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for the system, with the framing of the audio."""

    async def close(self) -> None:
        """Close the connection within a bound, also in mid-stream. Idempotent."""
