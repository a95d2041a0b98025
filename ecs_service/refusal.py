"""The one exception by which a client is refused or its connection is ended."""

from __future__ import annotations

from transcripts.protocol import ERRORS, Error, ErrorCode, error


class Refusal(Exception):
    """Ends a connection with a named error: `code` fixes the close code and the retry advice."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def close_code(self) -> int:
        """The WebSocket close code of this error."""
        return ERRORS[self.code].close_code

    def as_message(self) -> Error:
        """Return the error message for the client."""
        return error(self.code, self.message, retry_after=self.retry_after)
