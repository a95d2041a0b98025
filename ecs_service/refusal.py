"""The exception that refuses a client, or ends its connection, with a named error."""

from __future__ import annotations

from speech.engines.errors import EngineError, OptionError, UnsupportedLanguage
from transcripts.protocol import ERRORS, Error, ErrorCode, error


class Refusal(Exception):
    """Ends a connection with a named error; `code` implies the close code and the retry advice."""

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


def to_refusal(error: EngineError) -> Refusal:
    """Return the refusal for an engine's error; it is retryable exactly if the error is.

    A wrong language or option comes from the client, so the refusal quotes the error's text. Texts
    of other errors may name accounts and machines: of these the client gets only `public`.
    """
    if isinstance(error, UnsupportedLanguage):
        return Refusal(ErrorCode.UNSUPPORTED_LANGUAGE, f"{error}.")
    if isinstance(error, OptionError):
        return Refusal(ErrorCode.INVALID_OPTION, f"{error}.")
    code = ErrorCode.ENGINE_FAILED if error.retryable else ErrorCode.ENGINE_REFUSED
    return Refusal(code, error.public)
