"""What can go wrong in the client, and the exit code that says so.

    ClientError
    +-- UsageError          2  a parameter that no service would take
    +-- UnreadableAudio     3  the file or the microphone gives no audio
    +-- NoConnection        4  nobody answers there, or not with this protocol
    +-- Refused             5  the service said no, and why
    +-- EndedByService      5  the service ended the stream before the audio did
    +-- ConnectionLost      6  the stream broke off before `closed`
    +-- OutputFailed        7  what was heard cannot be written

0 is success, 130 an interruption by the user (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transcripts.protocol import ERRORS, ErrorCode


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    OK = 0
    USAGE = 2
    UNREADABLE = 3
    NO_CONNECTION = 4
    REFUSED = 5
    CONNECTION_LOST = 6
    OUTPUT_FAILED = 7
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What the code tells, as one line."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "everything was said and received",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.UNREADABLE: "the file or the microphone gives no audio",
    ExitCode.NO_CONNECTION: "the service cannot be reached",
    ExitCode.REFUSED: "the service refused the stream or the rest of it, and said why",
    ExitCode.CONNECTION_LOST: "the connection broke off before the last words",
    ExitCode.OUTPUT_FAILED: "the output cannot be written",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM, or nobody reads the output)",
}


class ClientError(Exception):
    """Base of all errors of the client."""

    exit_code: ClassVar[ExitCode]


class UsageError(ClientError):
    """A URL or a parameter that no service would take."""

    exit_code = ExitCode.USAGE


class UnreadableAudio(ClientError):
    """The file cannot be read or decoded, or there is no microphone."""

    exit_code = ExitCode.UNREADABLE


class NoConnection(ClientError):
    """Nobody answers at the URL, or whoever does speaks another protocol."""

    exit_code = ExitCode.NO_CONNECTION


class ConnectionLost(ClientError):
    """The connection ended before the service said that all was said."""

    exit_code = ExitCode.CONNECTION_LOST


class OutputFailed(ClientError):
    """Captions cannot be written to stdout, e.g. because the disk is full."""

    exit_code = ExitCode.OUTPUT_FAILED


class EndedByService(ClientError):
    """The service ended the stream in order, but before the audio did."""

    exit_code = ExitCode.REFUSED


class Refused(ClientError):
    """The service refused or ended the connection and told why.

    `retry_after` is in seconds; `None` means that the service did not say.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, code: ErrorCode, message: str, retry_after: float | None = None) -> None:
        super().__init__(code, message, retry_after)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later."""
        return ERRORS[self.code].retryable

    def __str__(self) -> str:
        return f"{self.code}: {self.message} {self.advice}"

    @property
    def advice(self) -> str:
        """What to do, as a sentence: when to try again, or what else."""
        if self.code in _ADVICE:
            return _ADVICE[self.code]
        if not self.retryable:
            return "Trying again will not help."
        if self.retry_after is None:
            return "Try again later."
        return f"Try again in {self.retry_after:g} s."


_ADVICE = {
    ErrorCode.INVALID_OPTION: "Leave it out, or ask whoever runs the service to allow it.",
    ErrorCode.UNSUPPORTED_LANGUAGE: "`python -m client languages` shows what there is.",
}
