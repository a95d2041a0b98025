"""The interface between a session and its connection: a session knows no socket, a link no results.

Each stream has a `Link` of its own. The link sends audio to the service, and passes what comes back
to its `Receiver`, as models of Amazon's SDK and exceptions of `errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from amazon_transcribe.model import Result
from botocore.credentials import ReadOnlyCredentials

from speech.engines.errors import EngineError


class Receiver(Protocol):
    """The callbacks of a link. Called on the event loop; must not raise."""

    def on_results(self, results: Iterable[Result]) -> None:
        """Take the results of one event; an event of another kind has none."""

    def on_drained(self) -> None:
        """Learn that everything that waited was sent."""

    def on_end(self) -> None:
        """Learn that the service has ended the stream in good order."""

    def on_failure(self, error: EngineError) -> None:
        """Learn that the stream has failed; nothing follows."""


class Link(Protocol):
    """The connection of one stream. `open` it, then send; in the end `close`."""

    #: Set before `open`.
    receiver: Receiver

    @property
    def request_id(self) -> str | None:
        """The service's name for the request, to ask its support about."""

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        """Open the stream that `parameters` ask for, by the service's names, within `seconds`.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the stream.
        """

    def send_audio(self, pcm: bytes) -> None:
        """Send an event of audio, never none. Never blocks: what does not leave waits."""

    def end_audio(self) -> None:
        """Tell the service that the audio is complete. Nothing is sent after it."""

    @property
    def waiting(self) -> int:
        """Bytes that were sent and that the system has not taken yet; a little more than audio."""

    async def close(self) -> None:
        """Leave, also in mid-stream; bounded. May be called twice."""
