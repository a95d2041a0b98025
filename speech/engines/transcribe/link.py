"""The interface between a session and the wire.

Each stream has a `Link` of its own. The link sends audio to the service, and delivers the answers
to its `Receiver` as models of the SDK and exceptions of `errors.py`. So a session needs no socket,
and a link interprets no results.
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
        """Handle the results of one event; none for an event of another kind."""

    def drained(self) -> None:
        """Handle an empty buffer: all bytes were sent."""

    def ended(self) -> None:
        """Handle the graceful end of the stream by the service."""

    def failed(self, error: EngineError) -> None:
        """Handle the error that has ended the stream; no callback follows."""


class Link(Protocol):
    """The connection of one stream: `open` it, send, and finally `close` it."""

    #: Set before `open`.
    receiver: Receiver

    @property
    def request_id(self) -> str | None:
        """The service's id of the request, which AWS Support asks for."""

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        """Open a stream within `seconds`; `parameters` have the service's names.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the stream.
        """

    def send_audio(self, pcm: bytes) -> None:
        """Send an event with audio, which is not empty. Never blocks: unsent bytes are buffered."""

    def end_audio(self) -> None:
        """End the audio. Nothing is sent after it."""

    @property
    def waiting(self) -> int:
        """The number of buffered bytes that the kernel has not taken, framing included."""

    async def close(self) -> None:
        """Close the connection within a bound, also in mid-stream. Idempotent."""
